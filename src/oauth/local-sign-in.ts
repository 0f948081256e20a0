import { isCrossSite } from '../http/index.js';
import { continuePage, type PasskeyFlaw, signInPage } from '../human/index.js';
import { readForm } from './requests.js';
import { type Interaction, type LocalSignIn, providerLinks, type Step } from './step.js';
import { answer, outdated } from './troubles.js';
import { welcome } from './welcome.js';

/** The page that asks for a passkey, with a challenge for this interaction only. */
export async function showPasskeySignIn(
  step: Step,
  interaction: Interaction,
  { passkeys }: LocalSignIn,
  problem?: PasskeyFlaw,
): Promise<void> {
  const { context, deps } = step;
  const options = await passkeys.requestOptions(purposeOf(interaction));
  const action = `${deps.issuer}/interaction/${interaction.uid}/passkey`;
  answer(context, signInPage({ issuer: deps.issuer, action, options, problem }, providerLinks(step, interaction)));
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
    await showPasskeySignIn(step, interaction, local, proved.error);
    return;
  }
  const { account, amr, authTime } = proved.value;
  const returnTo = await welcome(step, interaction, {
    ...{ person: account, issuer, seen },
    ...{ acr: local.acr, amr, authTime },
  });
  answer(context, continuePage(returnTo));
}

const purposeOf = ({ uid }: Interaction): string => `sign-in ${uid}`;
