import type { Context, Middleware } from 'koa';
import { z } from 'zod';
import { Fault, randomText } from '../base/index.js';
import { answerInTime, type Limit, networkSeen } from '../http/index.js';
import { companySession, sha256 } from '../protocol/index.js';
import { WORDS } from '../words/index.js';
import { ownSignInPage, type OwnSignInProblem } from './approvals-pages.js';
import { sendPage } from './html.js';
import type { SignInAt } from './identity-provider.js';
import type { Challenges } from './local-accounts.js';
import { ownCookie, type OwnSessions, setOwnCookie, type SignInRecords } from './own-session.js';
import { continuePage, troublePage } from './pages.js';
import type { Passkeys } from './passkeys.js';
import { PASSWORD_AGAIN, type PasswordFlaw, type Passwords } from './password.js';
import type { PersonDirectory } from './people.js';
import type { PageSecrets } from './secrets.js';

export type OwnSignInDeps = Readonly<{
  issuer: string;
  signIns: ReadonlyMap<string, SignInAt>;
  /** Only where there are local accounts. */
  passkeys: Passkeys | undefined;
  /** Only where they are switched on. */
  passwords: Passwords | undefined;
  /** What a sign-in by passkey claims. */
  passkeyAcr: string | undefined;
  challenges: Challenges;
  records: Pick<SignInRecords, 'lastRevocation'>;
  sessions: OwnSessions;
  people: PersonDirectory;
  secrets: Pick<PageSecrets, 'newSignIn' | 'signInOf'>;
  perNetwork: Limit;
  report: (thrown: unknown) => void;
}>;

/** Where below /approvals a sign-in leads: one request to people, or the page that makes a passkey. It is never an address. */
export const Place = z.string().regex(/^(apr_[\w-]{22}|passkey)$/);
export type Place = string;

export type Asking = Readonly<{
  problem?: OwnSignInProblem | undefined;
  to?: Place | undefined;
  /** What was wrong with a password. */
  password?: PasswordFlaw | undefined;
}>;

/** Asks who is there, afresh, and for Writ itself: no client opens this, and it leads to /approvals and nowhere else. */
export async function showOwnSignIn(
  ctx: Context,
  deps: OwnSignInDeps,
  { problem, to, password }: Asking = {},
): Promise<void> {
  const { issuer, passkeys, signIns } = deps;
  const wait = await deps.perNetwork.take(networkSeen(ctx.req));
  if (wait !== undefined) {
    sendPage(ctx, troublePage(WORDS.trouble.tooManySignIns));
    ctx.set('retry-after', String(wait));
    return;
  }
  // AP-20: whoever only asks for the headers begins nothing.
  const browser = ctx.method === 'HEAD' ? '' : browserOf(ctx, issuer);
  const options =
    passkeys === undefined || browser === '' ? undefined : await passkeys.requestOptions(purposeOf(browser));
  const providers = [...signIns.values()].map(({ provider: { id, name } }) => ({ id, name }));
  const action = `${issuer}/approvals/sign-in`;
  const byPassword = deps.passwords && { problem: password };
  sendPage(ctx, ownSignInPage({ issuer, action, to, options, providers, problem, password: byPassword }));
}

/** The one form of that page: the answer of a passkey, or the provider to go to. */
export async function beginOwnSignIn(
  ctx: Context,
  form: URLSearchParams | undefined,
  deps: OwnSignInDeps,
): Promise<void> {
  const browser = ctx.cookies.get(ownCookie(deps.issuer, BROWSER)) ?? '';
  const chosen = deps.signIns.get(form?.get('provider') ?? '');
  const to = Place.safeParse(form?.get('to')).data;
  if (form === undefined || !SECRET.test(browser)) await showOwnSignIn(ctx, deps, { problem: 'not_from_here', to });
  else if (form.has('answer') && deps.passkeys !== undefined)
    await signInByPasskey(ctx, { answer: form.get('answer') ?? '', browser, to, passkeys: deps.passkeys }, deps);
  else if (form.has('password') && deps.passwords !== undefined)
    await signInByPassword(ctx, { form, to, passwords: deps.passwords }, deps);
  else if (chosen === undefined) await showOwnSignIn(ctx, deps, { problem: 'not_from_here', to });
  else await goToProvider(ctx, { chosen, browser, to }, deps);
}

async function signInByPasskey(
  ctx: Context,
  {
    answer,
    browser,
    to,
    passkeys,
  }: Readonly<{ answer: string; browser: string; to: Place | undefined; passkeys: Passkeys }>,
  deps: OwnSignInDeps,
): Promise<void> {
  const seen = await deps.records.lastRevocation(); // before anybody is authenticated: what is revoked meanwhile ends it
  const proved = await passkeys.verified(answer, purposeOf(browser));
  if (!proved.ok) return showOwnSignIn(ctx, deps, { problem: proved.error, to });
  const { account, amr, authTime } = proved.value;
  if (account.status !== 'active') return showOwnSignIn(ctx, deps, { problem: 'account', to });
  const { issuer, passkeyAcr: acr } = deps;
  const how = { verifiedAt: authTime, acr, amr };
  await deps.sessions.begin(ctx, { person: account.id, issuer, ...how, seen, sessions: [] });
  sendPage(ctx, continuePage(addressOf(issuer, to)));
}

/** As sure of the person as a password is: `pwd`, of no class. */
async function signInByPassword(
  ctx: Context,
  { form, to, passwords }: Readonly<{ form: URLSearchParams; to: Place | undefined; passwords: Passwords }>,
  deps: OwnSignInDeps,
): Promise<void> {
  const seen = await deps.records.lastRevocation(); // before anybody is authenticated: what is revoked meanwhile ends it
  const [name, password] = [form.get('name') ?? '', form.get('password') ?? ''];
  const proved = await passwords.verified({ name: name.trim(), password, network: networkSeen(ctx.req) });
  if (!proved.ok) {
    await showOwnSignIn(ctx, deps, { password: proved.error, to });
    if (proved.error !== 'wrong') ctx.set('retry-after', PASSWORD_AGAIN);
    return;
  }
  const { account, amr, authTime } = proved.value;
  const how = { verifiedAt: authTime, acr: undefined, amr };
  await deps.sessions.begin(ctx, { person: account.id, issuer: deps.issuer, ...how, seen, sessions: [] });
  sendPage(ctx, continuePage(addressOf(deps.issuer, to)));
}

/** What binds a sign-in on its way to this browser and this place. */
const Begun = z.strictObject({
  place: z.literal('approvals'),
  provider: z.string(),
  browser: z.string(),
  seen: z.number(),
  to: Place.optional(),
});
type Begun = z.infer<typeof Begun>;

/** OpenID Connect Core section 3.1.2.1: the provider asks again, whoever is signed in there, and says when it did. */
async function goToProvider(
  ctx: Context,
  { chosen, browser, to }: Readonly<{ chosen: SignInAt; browser: string; to: Place | undefined }>,
  deps: OwnSignInDeps,
): Promise<void> {
  const secrets = deps.secrets.newSignIn();
  const seen = await deps.records.lastRevocation();
  const started = await chosen.start(secrets, { maxAge: AT_MOST_SECONDS, afresh: true });
  if (!started.ok) {
    deps.report(started.error.cause);
    return showOwnSignIn(ctx, deps, { problem: 'unavailable', to });
  }
  const begun: Begun = { place: 'approvals', provider: chosen.provider.id, browser: sha256(browser), seen, to };
  await deps.challenges.keep(secrets.state, JSON.stringify(begun), ON_ITS_WAY_SECONDS);
  sendPage(ctx, continuePage(started.value));
}

/**
 * The address that identity providers send people back to, before the engine: answers what was begun here, in this browser,
 * and leaves the rest.
 */
export function ownCallback(deps: OwnSignInDeps): Middleware {
  const mount = new URL(deps.issuer).pathname.replace(/\/$/, '');
  const prefix = `${mount}/interaction/callback/`;
  return async (ctx, next) => {
    const state = ctx.query['state'];
    const browser = ctx.cookies.get(ownCookie(deps.issuer, BROWSER)) ?? '';
    const isOne = ctx.method === 'GET' && ctx.path.startsWith(prefix) && typeof state === 'string';
    const begun =
      isOne && SECRET.test(state) && SECRET.test(browser) ? begunOf(await deps.challenges.take(state)) : undefined;
    const chosen = deps.signIns.get(ctx.path.slice(prefix.length));
    if (begun === undefined || typeof state !== 'string') await next();
    else if (chosen?.provider.id !== begun.provider || begun.browser !== sha256(browser))
      await showOwnSignIn(ctx, deps, { problem: 'stale', to: begun.to });
    else await answerInTime(() => finish(ctx, { chosen, state, begun }, deps), ctx.req, SIGN_IN_WITHIN_MS);
  };
}

function begunOf(purpose: string | undefined): Begun | undefined {
  if (purpose?.startsWith('{') !== true) return undefined;
  return Begun.safeParse(JSON.parse(purpose)).data;
}

async function finish(
  ctx: Context,
  { chosen, state, begun: { seen, to } }: Readonly<{ chosen: SignInAt; state: string; begun: Begun }>,
  deps: OwnSignInDeps,
): Promise<void> {
  const signedIn = await chosen.finish(ctx.search, deps.secrets.signInOf(state), AT_MOST_SECONDS);
  if (!signedIn.ok) {
    const { reason, cause } = signedIn.error;
    if (reason !== 'denied') deps.report(cause);
    return showOwnSignIn(ctx, deps, { problem: reason === 'invalid' ? 'unverified' : reason, to });
  }
  const { issuer, subject, attributes, groups, acr, amr, authTime, sid } = signedIn.value;
  if (authTime === undefined) throw new Fault('internal', `${issuer} was asked when, and its answer passed without it`);
  const person = await deps.people.ensure(issuer, subject, attributes, groups);
  if (person.status !== 'active') return showOwnSignIn(ctx, deps, { problem: 'account', to });
  const sessions = sid === undefined ? [] : [companySession(issuer, sid)];
  await deps.sessions.begin(ctx, { person: person.id, issuer, verifiedAt: authTime, acr, amr, seen, sessions });
  // Not a redirect: of a chain that another site began, the browser would keep the cookie and not yet send it.
  sendPage(ctx, continuePage(addressOf(deps.issuer, to)));
}

const addressOf = (issuer: string, to: Place | undefined): string =>
  `${issuer}/approvals${to === undefined ? '' : `/${to}`}`;

/** AZ-14, AZ-16, AZ-20: what is begun in one browser is finished in no other. */
function browserOf(ctx: Context, issuer: string): string {
  const name = ownCookie(issuer, BROWSER);
  const known = ctx.cookies.get(name) ?? '';
  const browser = SECRET.test(known) ? known : randomText(32);
  setOwnCookie(ctx, issuer, name, browser);
  return browser;
}

const BROWSER = 'writ_approvals_browser';
const SECRET = /^[\w-]{43}$/;
const purposeOf = (browser: string): string => `approvals sign-in ${sha256(browser)}`;
const AT_MOST_SECONDS = 300;
const ON_ITS_WAY_SECONDS = 900;
/** A sign-in also waits for an identity provider, up to five seconds for each of its answers. */
const SIGN_IN_WITHIN_MS = 15_000;
