import { z } from 'zod';
import type { Seconds } from '../base/index.js';
import { chooserPage, type SignInAt } from '../human/index.js';
import { recordKey } from '../protocol/index.js';
import { showPasskeySignIn } from './local-sign-in.js';
import {
  finish,
  type Interaction,
  type InteractionDeps,
  providerLinks,
  redirect,
  refusal,
  type Step,
  WEAKER,
} from './step.js';
import { answer, NO_PROVIDER, outdated, PROVIDER_DOWN, SIGN_IN_FAILED } from './troubles.js';
import { welcome } from './welcome.js';

export async function beginSignIn(step: Step, interaction: Interaction, providerId: string | undefined): Promise<void> {
  const { context, deps } = step;
  const { local, signIns } = deps;
  const [only, ...others] = signIns.values();
  const chosen = providerId === undefined ? only : signIns.get(providerId);
  if (interaction.lastSubmission?.login !== undefined) {
    // A sign-in that still does not satisfy the request will not do so by repetition.
    redirect(context, await finish(step, interaction, unsatisfied(interaction)));
  } else if (providerId === undefined && local !== undefined) await showPasskeySignIn(step, interaction, local);
  else if (only === undefined) answer(context, NO_PROVIDER);
  else if (providerId === undefined && others.length > 0)
    answer(context, chooserPage(providerLinks(step, interaction)));
  else if (chosen === undefined) outdated(context);
  else await sendToProvider(step, interaction, chosen);
}

/** OpenID Connect Core Error Code unmet_authentication_requirements, section 2: what RFC 9470 section 5 has us answer. */
const unsatisfied = ({ prompt: { reasons } }: Interaction) =>
  reasons.includes(WEAKER)
    ? refusal('unmet_authentication_requirements', 'the sign-in is of none of the classes asked for')
    : refusal('login_required', 'the sign-in does not satisfy the request');

async function sendToProvider({ context, deps }: Step, interaction: Interaction, chosen: SignInAt): Promise<void> {
  const { reasons } = interaction.prompt;
  const { max_age: maxAge, acr_values: acrValues, login_hint: loginHint } = Wish.parse(interaction.params);
  const secrets = deps.secrets.newSignIn();
  const seen = await deps.store.lastRevocation(); // before anybody is authenticated: what is revoked meanwhile ends it
  const started = await chosen.start(secrets, {
    maxAge,
    acrValues,
    loginHint,
    afresh: reasons.includes('login_prompt') || reasons.includes('max_age') || isWeak(interaction),
  });
  if (!started.ok) {
    deps.onFault(started.error.cause);
    answer(context, PROVIDER_DOWN);
    return;
  }
  await deps.store.put({
    key: recordKey('SignIn', secrets.state),
    model: 'SignIn',
    payload: JSON.stringify({
      interaction: recordKey('Interaction', interaction.uid),
      provider: chosen.provider.id,
      maxAge,
      seen,
    }),
    grant: undefined,
    uid: undefined,
    expiresAt: deps.clock.now() + deps.interactionSeconds,
  });
  context.cookies.set(signInCookie(secrets.state), interaction.uid, cookieOptions(deps));
  redirect(context, started.value);
}

/** Somebody is signed in by another class: without this the provider could answer with that again. */
const isWeak = ({ prompt: { reasons } }: Interaction): boolean =>
  reasons.includes(WEAKER) && !reasons.includes('no_session');

const Wish = z.looseObject({
  max_age: z.coerce.number().int().nonnegative().optional().catch(undefined),
  acr_values: z.string().max(512).optional().catch(undefined),
  login_hint: z.string().max(256).optional().catch(undefined),
});

/** One per sign-in, so that two tabs do not undo each other. */
const signInCookie = (state: string): string => `writ_signin_${recordKey('SignIn', state).slice(0, 12)}`;

const cookieOptions = ({ issuer, interactionSeconds }: InteractionDeps) => ({
  path: `${new URL(issuer).pathname.replace(/\/$/, '')}/interaction/callback`,
  httpOnly: true,
  sameSite: 'lax' as const,
  signed: true,
  maxAge: interactionSeconds * 1000,
});

const SignInRecord = z.object({
  interaction: z.string(),
  provider: z.string(),
  maxAge: z.number().optional(),
  seen: z.number(),
});

export async function finishSignIn(step: Step, providerId: string): Promise<void> {
  const { provider, context, deps } = step;
  const state = context.query['state'];
  const begun = typeof state === 'string' ? await takeSignIn(step, state, providerId) : undefined;
  const interaction = begun === undefined ? undefined : await provider.Interaction.find(begun.uid);
  const chosen = deps.signIns.get(providerId);
  if (
    typeof state !== 'string' ||
    begun === undefined ||
    interaction?.prompt.name !== 'login' ||
    chosen === undefined
  ) {
    outdated(context);
    return;
  }
  const signedIn = await chosen.finish(context.search, deps.secrets.signInOf(state), begun.maxAge);
  if (signedIn.ok) {
    const { subject, attributes, groups, ...how } = signedIn.value;
    const person = await deps.people.ensure(how.issuer, subject, attributes, groups);
    redirect(context, await welcome(step, interaction, { ...how, person, seen: begun.seen }));
  } else if (signedIn.error.reason === 'denied') {
    redirect(context, await finish(step, interaction, refusal('access_denied', 'the sign-in was not completed')));
  } else {
    deps.onFault(signedIn.error.cause);
    answer(context, signedIn.error.reason === 'unavailable' ? PROVIDER_DOWN : SIGN_IN_FAILED);
  }
}

type Begun = Readonly<{ uid: string; maxAge?: Seconds | undefined; seen: number }>;

/** The state is good once, in the browser that it was made for, for the provider that it was made for. */
async function takeSignIn({ context, deps }: Step, state: string, providerId: string): Promise<Begun | undefined> {
  const uid = context.cookies.get(signInCookie(state), { signed: true });
  if (uid === undefined) return undefined;
  context.cookies.set(signInCookie(state), null, { ...cookieOptions(deps), maxAge: undefined });
  const record = await deps.store.take(recordKey('SignIn', state));
  if (record === undefined || (record.expiresAt ?? 0) <= deps.clock.now()) return undefined;
  // One that a replica of before has begun does not say all of it: the person begins again.
  const begun = SignInRecord.safeParse(JSON.parse(record.payload)).data;
  if (begun === undefined) return undefined;
  const { interaction, provider, ...wished } = begun;
  return interaction === recordKey('Interaction', uid) && provider === providerId ? { uid, ...wished } : undefined;
}
