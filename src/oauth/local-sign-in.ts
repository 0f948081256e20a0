import { isCrossSite, networkSeen } from '../http/index.js';
import { continuePage, PASSWORD_AGAIN, type PasskeyFlaw, type PasswordFlaw, signInPage } from '../human/index.js';
import { readForm } from './requests.js';
import { type Interaction, type LocalSignIn, providerLinks, type Step } from './step.js';
import { answer, outdated } from './troubles.js';
import { welcome } from './welcome.js';

/** The page that asks for a passkey, with a challenge for this interaction only. */
export async function showPasskeySignIn(
  step: Step,
  interaction: Interaction,
  { passkeys, passwords }: LocalSignIn,
  { problem, password }: Readonly<{ problem?: PasskeyFlaw; password?: PasswordFlaw }> = {},
): Promise<void> {
  const { context, deps } = step;
  const options = await passkeys.requestOptions(purposeOf(interaction));
  const at = `${deps.issuer}/interaction/${interaction.uid}`;
  const byPassword = passwords && { action: `${at}/password`, problem: password };
  const form = { issuer: deps.issuer, action: `${at}/passkey`, options, problem, password: byPassword };
  answer(context, signInPage(form, providerLinks(step, interaction)));
}

/** Signs in whoever opens a passkey of a local account. `auth_time` is now, whatever the person did before. */
export async function signInByPasskey(step: Step, interaction: Interaction): Promise<void> {
  const { context, deps } = step;
  const { local, issuer } = deps;
  if (local === undefined || isCrossSite(context, issuer)) {
    outdated(context);
    return;
  }
  const form = await readForm(context);
  const seen = await deps.store.lastRevocation();
  const proved = await local.passkeys.verified(form?.get('answer') ?? '', purposeOf(interaction));
  if (!proved.ok) {
    await showPasskeySignIn(step, interaction, local, { problem: proved.error });
    return;
  }
  const { account, amr, authTime } = proved.value;
  const returnTo = await welcome(step, interaction, {
    ...{ person: account, issuer, seen },
    ...{ acr: local.acr, amr, authTime },
  });
  answer(context, continuePage(returnTo));
}

/** The same by a password for emergencies: `pwd`, of no class. */
export async function signInByPassword(step: Step, interaction: Interaction): Promise<void> {
  const { context, deps } = step;
  const { local, issuer } = deps;
  if (local?.passwords === undefined || isCrossSite(context, issuer)) {
    outdated(context);
    return;
  }
  const form = await readForm(context);
  const seen = await deps.store.lastRevocation();
  const [name, password] = [form?.get('name') ?? '', form?.get('password') ?? ''];
  const network = networkSeen(context.req);
  const proved = await local.passwords.verified({ name: name.trim(), password, network });
  if (!proved.ok) {
    await showPasskeySignIn(step, interaction, local, { password: proved.error });
    if (proved.error !== 'wrong') context.set('retry-after', PASSWORD_AGAIN);
    return;
  }
  const { account: person, amr, authTime } = proved.value;
  const returnTo = await welcome(step, interaction, { person, issuer, seen, acr: undefined, amr, authTime });
  answer(context, continuePage(returnTo));
}

const purposeOf = ({ uid }: Interaction): string => `sign-in ${uid}`;
