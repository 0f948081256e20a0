import type { ParameterizedContext } from 'koa';
import { z } from 'zod';
import type { Clock, Seconds } from '../base/index.js';
import {
  chooserPage,
  consentPage,
  type ConsentRequest,
  consentRequest,
  continuePage,
  type PageSecrets,
  type Person,
  type PersonDirectory,
  type SignedIn,
  type SignInAt,
} from '../human/index.js';
import { isUsable, type RegistryReader } from '../registry/index.js';
import { recordKey } from './adapter.js';
import { errors, type Provider } from './library.js';
import type { EngineStore } from './ports.js';
import { readForm } from './requests.js';
import { answer, NO_PROVIDER, outdated, PROVIDER_DOWN, SIGN_IN_FAILED } from './troubles.js';

export type InteractionDeps = Readonly<{
  issuer: string;
  registry: RegistryReader;
  store: EngineStore;
  people: PersonDirectory;
  clock: Clock;
  signIns: ReadonlyMap<string, SignInAt>;
  secrets: PageSecrets;
  interactionSeconds: Seconds;
  onFault(cause: unknown): void;
}>;

type Interaction = Awaited<ReturnType<Provider['interactionDetails']>>;
type Step = Readonly<{ provider: Provider; context: ParameterizedContext; deps: InteractionDeps }>;

/** Sign-in and consent, in the browser that began the authorization and in no other (AZ-14, AZ-16). False: not one of its pages. */
export async function answerInteraction(step: Step): Promise<boolean> {
  const { method, path } = step.context;
  const [, first = '', second, third] =
    /^\/interaction\/([\w-]{1,64})(?:\/([\w-]{1,32})(?:\/([\w-]{1,32}))?)?$/.exec(path) ?? [];
  const page = `${method} ${second ?? ''}`;
  if (first === '') return false;
  if (first === 'callback' && method === 'GET' && second !== undefined) await finishSignIn(step, second);
  else if (page === 'GET ' || page === 'GET sign-in' || page === 'POST consent')
    await withInteraction(step, first, page, third);
  else return false;
  return true;
}

async function withInteraction(step: Step, uid: string, page: string, providerId: string | undefined): Promise<void> {
  const { provider, context } = step;
  const interaction = await found(() => provider.interactionDetails(context.req, context.res));
  if (interaction?.uid !== uid) outdated(context);
  else if (page === 'POST consent' && interaction.prompt.name === 'consent') await decideConsent(step, interaction);
  else if (page === 'GET ' && interaction.prompt.name === 'consent') await showConsent(step, interaction);
  else if (page !== 'POST consent' && interaction.prompt.name === 'login')
    await beginSignIn(step, interaction, providerId);
  else outdated(context);
}

/** The library throws when cookie, interaction and session do not belong together. */
async function found<T>(load: () => Promise<T>): Promise<T | undefined> {
  try {
    return await load();
  } catch (error) {
    if (error instanceof errors.SessionNotFound) return undefined;
    throw error;
  }
}

async function beginSignIn(step: Step, interaction: Interaction, providerId: string | undefined): Promise<void> {
  const { context, deps } = step;
  const [only, ...others] = deps.signIns.values();
  if (only === undefined) {
    answer(context, NO_PROVIDER);
  } else if (interaction.lastSubmission?.login !== undefined) {
    // A sign-in that still does not satisfy the request will not do so by repetition.
    const returnTo = await finish(
      step,
      interaction,
      refusal('login_required', 'the sign-in does not satisfy the request'),
    );
    redirect(context, returnTo);
  } else if (providerId === undefined && others.length > 0) {
    const choices = [only, ...others].map(({ provider: { id, name } }) => ({
      name,
      address: `${deps.issuer}/interaction/${interaction.uid}/sign-in/${id}`,
    }));
    answer(context, chooserPage(choices));
  } else {
    const chosen = providerId === undefined ? only : deps.signIns.get(providerId);
    if (chosen === undefined) outdated(context);
    else await sendToProvider(step, interaction, chosen);
  }
}

async function sendToProvider({ context, deps }: Step, interaction: Interaction, chosen: SignInAt): Promise<void> {
  const { reasons } = interaction.prompt;
  const { max_age: maxAge, acr_values: acrValues, login_hint: loginHint } = Wish.parse(interaction.params);
  const secrets = deps.secrets.newSignIn();
  const started = await chosen.start(secrets, {
    maxAge,
    acrValues,
    loginHint,
    afresh: reasons.includes('login_prompt') || reasons.includes('max_age'),
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
    }),
    grant: undefined,
    uid: undefined,
    expiresAt: deps.clock.now() + deps.interactionSeconds,
  });
  context.cookies.set(signInCookie(secrets.state), interaction.uid, cookieOptions(deps));
  redirect(context, started.value);
}

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

const SignInRecord = z.object({ interaction: z.string(), provider: z.string(), maxAge: z.number().optional() });

async function finishSignIn(step: Step, providerId: string): Promise<void> {
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
    await welcome(step, interaction, signedIn.value);
  } else if (signedIn.error.reason === 'denied') {
    redirect(context, await finish(step, interaction, refusal('access_denied', 'the sign-in was not completed')));
  } else {
    deps.onFault(signedIn.error.cause);
    answer(context, signedIn.error.reason === 'unavailable' ? PROVIDER_DOWN : SIGN_IN_FAILED);
  }
}

/** The state is good once, in the browser that it was made for, for the provider that it was made for. */
async function takeSignIn(
  { context, deps }: Step,
  state: string,
  providerId: string,
): Promise<{ uid: string; maxAge: Seconds | undefined } | undefined> {
  const uid = context.cookies.get(signInCookie(state), { signed: true });
  if (uid === undefined) return undefined;
  context.cookies.set(signInCookie(state), null, { ...cookieOptions(deps), maxAge: undefined });
  const record = await deps.store.take(recordKey('SignIn', state));
  if (record === undefined || (record.expiresAt ?? 0) <= deps.clock.now()) return undefined;
  const { interaction, provider, maxAge } = SignInRecord.parse(JSON.parse(record.payload));
  return interaction === recordKey('Interaction', uid) && provider === providerId ? { uid, maxAge } : undefined;
}

async function welcome(step: Step, interaction: Interaction, who: SignedIn): Promise<void> {
  const { context, deps } = step;
  const person = await deps.people.ensure(who.issuer, who.subject, who.attributes);
  if (person.status !== 'active') {
    redirect(context, await finish(step, interaction, refusal('access_denied', 'the person may not sign in')));
    return;
  }
  const before = interaction.session;
  if (before?.uid !== undefined && before.accountId !== person.id) {
    // Somebody else now: their sign-in is not carried on, and the library does not ask about it.
    await deps.store.removeByUid('Session', before.uid);
    interaction.session = undefined;
  }
  const login = {
    accountId: person.id,
    // 0: the identity provider did not say when. `undefined` would become "now" (see personClaims).
    ts: who.authTime ?? 0,
    ...(who.acr === undefined ? {} : { acr: who.acr }),
    ...(who.amr === undefined ? {} : { amr: [...who.amr] }),
  };
  redirect(context, await finish(step, interaction, { login }));
}

async function showConsent(step: Step, interaction: Interaction, changed = false): Promise<void> {
  const { context, deps } = step;
  const request = await whatIsAsked(step, interaction);
  if (request === undefined) {
    outdated(context);
    return;
  }
  const action = `${deps.issuer}/interaction/${interaction.uid}/consent`;
  answer(
    context,
    consentPage(request, { action, token: deps.secrets.consentToken(interaction.uid, request), changed }),
  );
}

async function whatIsAsked({ deps }: Step, interaction: Interaction): Promise<ConsentRequest | undefined> {
  const registry = deps.registry.current();
  const { client_id: clientId, redirect_uri: redirectUri } = Asked.parse(interaction.params);
  const agent = registry.agent(clientId);
  const person = await personOf(deps, interaction);
  if (agent === undefined || !isUsable(agent, deps.clock.now()) || person === undefined) return undefined;
  const { own, resource } = missing(interaction, deps.issuer);
  return consentRequest(registry, { agent, person, redirectUri, scopes: [...own, ...resource] });
}

const Asked = z.looseObject({ client_id: z.string(), redirect_uri: z.string() });

async function personOf({ people }: InteractionDeps, interaction: Interaction): Promise<Person | undefined> {
  const id = interaction.session?.accountId;
  const person = id === undefined ? undefined : await people.byId(id);
  return person?.status === 'active' ? person : undefined;
}

const Missing = z.looseObject({
  missingOIDCScope: z.array(z.string()).default([]),
  missingResourceScopes: z.record(z.string(), z.array(z.string())).default({}),
});

function missing(
  interaction: Interaction,
  issuer: string,
): Readonly<{ own: readonly string[]; resource: readonly string[] }> {
  const { missingOIDCScope, missingResourceScopes } = Missing.parse(interaction.prompt.details);
  return { own: missingOIDCScope, resource: missingResourceScopes[issuer] ?? [] };
}

async function decideConsent(step: Step, interaction: Interaction): Promise<void> {
  const { context, deps } = step;
  const form = await readForm(context);
  const request = await whatIsAsked(step, interaction);
  if (form === undefined || request === undefined || isCrossSite(context)) {
    outdated(context);
    return;
  }
  const decision = form.get('decision');
  if (!deps.secrets.isConsentToken(form.get('token') ?? '', interaction.uid, request)) {
    await showConsent(step, interaction, true);
  } else if (decision === 'allow') {
    answer(
      context,
      continuePage(await finish(step, interaction, { consent: { grantId: await grant(step, interaction) } })),
    );
  } else {
    answer(
      context,
      continuePage(await finish(step, interaction, refusal('access_denied', 'the person did not allow it'))),
    );
  }
}

/** Beside the token and the Lax cookie. `Origin` would not do: with no-referrer a browser sends `null` from our own page. */
const isCrossSite = (context: ParameterizedContext): boolean =>
  !['', 'same-origin'].includes(context.get('sec-fetch-site'));

async function grant({ provider, deps }: Step, interaction: Interaction): Promise<string> {
  const { own, resource } = missing(interaction, deps.issuer);
  const given = new provider.Grant({
    accountId: interaction.session?.accountId,
    clientId: String(interaction.params['client_id']),
  });
  if (own.length > 0) given.addOIDCScope(own.join(' '));
  if (resource.length > 0) given.addResourceScope(deps.issuer, resource.join(' '));
  return given.save();
}

const refusal = (error: string, error_description: string): Readonly<{ error: string; error_description: string }> => ({
  error,
  error_description,
});

/** Keeps the result for the library, and answers where it goes on. */
async function finish(
  { deps }: Step,
  interaction: Interaction,
  result: NonNullable<Interaction['result']>,
): Promise<string> {
  interaction.result = 'error' in result ? result : { ...interaction.lastSubmission, ...result };
  await interaction.save(interaction.exp - deps.clock.now());
  return interaction.returnTo;
}

/** RFC 9700 section 4.12: 303, so that no browser repeats a form at the next address. */
function redirect(context: ParameterizedContext, address: string): void {
  context.status = 303;
  context.set('cache-control', 'no-store');
  context.set('referrer-policy', 'no-referrer');
  context.redirect(address);
}
