import { createPublicKey, type KeyObject } from 'node:crypto';
import type { ParameterizedContext } from 'koa';
import type { Client, Configuration, KoaContextWithOIDC } from 'oidc-provider';
import { z } from 'zod';
import { verifySecret } from '../client/index.js';
import { importKey, PublicJwk, tooManyRequests, type VerificationKey } from '../protocol/index.js';
import type { EngineSigningKey } from './ports.js';

/** The one door to oidc-provider and to what it does not export. Tried with 9.13.3; read this file again at every upgrade. */
const { Provider, errors, interactionPolicy, ExternalSigningKey } = await quietly(() => import('oidc-provider'));
const { default: stateOf } = await import('oidc-provider/lib/helpers/weak_cache.js');

export { errors, interactionPolicy };

/** RFC 6585 section 4, in the words of OAuth; whoever throws it has set Retry-After. */
export class TooManyRequests extends errors.CustomOIDCProviderError {
  constructor() {
    const { status, body } = tooManyRequests(1);
    super(body.error, body.error_description);
    Object.assign(this, { status, statusCode: status });
  }
}
export type Provider = InstanceType<typeof Provider>;
export type EngineContext = KoaContextWithOIDC;

/** The request that the library is answering now. */
export const currentContext = (): EngineContext | undefined => Provider.ctx;

export type Seams = Readonly<{
  issuer: string;
  /** One-time use of a DPoP proof or an assertion, by the library's own id of it. */
  isFirstUse(clientId: string, jti: string, expiresAt: number): Promise<boolean>;
  redeem: GrantSeam;
  /** Somebody claims to be this client by a secret that is not checked yet; throws when that is too often. */
  admitClaim(clientId: string): Promise<void>;
  /** A client that has proved its secret; throws when it asks too often. */
  admit(clientId: string): Promise<void>;
}>;

type AccessToken = InstanceType<Provider['AccessToken']>;

/** Stands around each grant: `handle` does what the library does, all but signing; `sign` makes the token. */
export type GrantSeam = (
  context: EngineContext,
  handle: () => Promise<void>,
  sign: (token: AccessToken) => Promise<string>,
) => Promise<void>;

/** A provider whose links, audiences and one-time checks are ours. */
export function makeProvider(
  configuration: Configuration,
  { issuer, isFirstUse, redeem, admit, admitClaim }: Seams,
): Provider {
  const provider = new Provider(issuer, configuration);
  takeLinksFromTheIssuer(provider, new URL(issuer));
  // Its own is find-then-save: two replicas would both pass (STYLE E10).
  provider.ReplayDetection.unique = isFirstUse;
  provider.OIDCContext.prototype.clientJwtAuthExpectedAudience = () => new Set([issuer]);
  // What the library holds as client_secret is the hash from the registry.
  provider.Client.prototype.compareClientSecret = async function (secret: string) {
    await admitClaim(this.clientId);
    const isRight = this.clientSecret !== undefined && (await verifySecret(secret, this.clientSecret));
    if (isRight) await admit(this.clientId);
    return isRight;
  };
  signWhenRedeemed(provider, redeem);
  keepTheKeyOfTheFirstToken(provider);
  answerByQueryAlone(provider);
  rememberOrigins(provider);
  return provider;
}

/** The library signs in the middle of a grant; here a grant names its token, and signs it when it is through. */
function signWhenRedeemed(provider: Provider, redeem: GrantSeam): void {
  const { grantTypeHandlers } = stateOf(provider);
  const sign = (token: AccessToken): Promise<string> => provider.BaseToken.prototype.save.call(token);
  for (const [name, handle] of grantTypeHandlers)
    grantTypeHandlers.set(name, (context) => redeem(context, () => handle(context), sign));
  provider.AccessToken.prototype.save = function () {
    // RFC 9396 section 7: what the person left of what was asked stands in the token and in the answer.
    const left = currentContext()?.oidc.entities.Grant?.rar;
    if (left !== undefined) this.rar = left;
    return Promise.resolve('not signed yet');
  };
}

/** What it would answer in a fragment (an error about `response_type=token`, say) goes into the query, and no mode else exists. */
function answerByQueryAlone(provider: Provider): void {
  const { responseModes } = stateOf(provider);
  for (const mode of responseModes.keys()) if (mode !== 'query') responseModes.delete(mode);
  responseModes.set('fragment', responseModes.get('query'));
  provider.Client.prototype.responseModeAllowed = (mode, responseType) => mode === 'query' || responseType !== 'code';
}

/**
 * How a sign-in came about, kept with it and with the consents that are given in it: by whose word, in which sessions of theirs
 * (hashes), and what had been revoked by then.
 */
export const Origin = z.object({ issuer: z.string(), seen: z.number(), sessions: z.array(z.string()).default([]) });
export type Origin = Readonly<z.infer<typeof Origin>>;

const originOf = (value: object | undefined): Origin | undefined =>
  value === undefined ? undefined : Origin.safeParse(Reflect.get(value, 'origin')).data;

/** A grant keeps which sign-in it was given in, as codes and refresh tokens do. */
export function keepSignIn(grant: InstanceType<Provider['Grant']>, signIn: InstanceType<Provider['Session']>): void {
  Object.assign(grant, { sessionUid: signIn.uid, origin: originOf(signIn) });
}

/** So many calls in all the person allowed with it. */
export const keepCalls = (grant: InstanceType<Provider['Grant']>, calls: number): void => {
  Object.assign(grant, { calls });
};

/** With the end of the consent. */
export function callsOf(grant: object | undefined): Readonly<{ calls: number; until: number }> | undefined {
  if (grant === undefined) return undefined;
  const calls: unknown = Reflect.get(grant, 'calls');
  const until: unknown = Reflect.get(grant, 'exp');
  return Limited.safeParse({ calls, until }).data;
}
const Limited = z.object({ calls: z.number().int(), until: z.number().int() });

/** Who is signed in in this browser, for pages that are none of the library's. */
export async function signInOf(
  provider: Provider,
  context: ParameterizedContext,
): Promise<Readonly<{ uid: string; person: string }> | undefined> {
  const cookies = provider.createContext(context.req, context.res).cookies;
  const id = cookies.get(provider.cookieName('session'), { signed: true });
  const session = id === undefined ? undefined : await provider.Session.find(id);
  return session?.accountId === undefined ? undefined : { uid: session.uid, person: session.accountId };
}

export function clearSignIn(provider: Provider, context: ParameterizedContext): void {
  context.cookies.set(provider.cookieName('session'), null, { signed: true, httpOnly: true, sameSite: 'lax' });
}

/** What a model keeps is a list of names, and a sign-in takes over of its interaction what the library knows. */
function rememberOrigins({ Session, Grant }: Provider): void {
  const keep = (model: object, ...names: readonly string[]): void => {
    const known = z.array(z.string()).parse(Reflect.get(model, 'IN_PAYLOAD'));
    Object.defineProperty(model, 'IN_PAYLOAD', { value: [...known, ...names] });
  };
  keep(Session, 'origin');
  keep(Grant, 'origin', 'sessionUid', 'calls');
  const loginAccount = Reflect.get(Session.prototype, 'loginAccount');
  Session.prototype.loginAccount = function (details) {
    const before = this.accountId === details.accountId ? originOf(this) : undefined;
    loginAccount.call(this, details);
    const { login } = currentContext()?.oidc.entities.Interaction?.result ?? {};
    const now = originOf(login);
    // Signed in again, it ends with either session at the company.
    const sessions = [...new Set([...(now?.sessions ?? []), ...(before?.sessions ?? [])])].slice(0, MOST_SESSIONS);
    const origin = before ?? now;
    Reflect.set(this, 'origin', origin && { ...origin, sessions });
  };
}

const MOST_SESSIONS = 64;

/** Neither Host nor X-Forwarded-* nor an absolute request target ever makes a link, a cookie's scope or a DPoP `htu`. */
function takeLinksFromTheIssuer(provider: Provider, issuer: URL): void {
  provider.OIDCContext.prototype.urlFor = (name, options) => provider.urlFor(name, options);
  Object.defineProperty(provider.request, 'protocol', { get: () => issuer.protocol.slice(0, -1) });
  Object.defineProperty(provider.request, 'host', { get: () => issuer.host });
}

/** RFC 9449 binds refresh tokens of public clients only; here a family that began bound to a key stays bound to it. */
function keepTheKeyOfTheFirstToken(provider: Provider): void {
  provider.RefreshToken.prototype.save = function () {
    const jkt = currentContext()?.oidc.entities.AccessToken?.jkt;
    if (jkt !== undefined) this.jkt ??= jkt;
    return provider.BaseToken.prototype.save.call(this);
  };
}

/** The keys that the library has of a client now, those of a jwks_uri included. */
export function clientKeys(client: Client): readonly VerificationKey[] {
  const keys: unknown = Reflect.get(client, 'asymmetricKeyStore');
  if (typeof keys !== 'object' || keys === null || !isIterable(keys)) return [];
  return [...keys]
    .map((key) => PublicJwk.safeParse(key))
    .flatMap((key) => (key.success ? [importKey(key.data)] : []))
    .flatMap((key) => (key.ok ? [key.value] : []));
}

const isIterable = (value: object): value is Iterable<unknown> => Symbol.iterator in value;

/** Signs for the library with a key that this room never sees. */
class SigningKey extends ExternalSigningKey {
  readonly #key: EngineSigningKey;
  readonly #public: KeyObject;
  constructor(key: EngineSigningKey) {
    super();
    this.#key = key;
    this.#public = createPublicKey({ key: { ...key.publicJwk }, format: 'jwk' });
  }
  override get kid(): string {
    return this.#key.kid;
  }
  override get alg(): string {
    return this.#key.alg;
  }
  override keyObject(): KeyObject {
    return this.#public;
  }
  override sign(data: Uint8Array): Uint8Array | Promise<Uint8Array> {
    return this.#key.sign(data);
  }
}

export const signingKey = (key: EngineSigningKey): SigningKey => new SigningKey(key);

/** At its import the library warns of Node.js 20, which we test with. */
async function quietly<T>(load: () => Promise<T>): Promise<T> {
  /* eslint-disable no-console -- the library writes to the console and has no switch for it */
  const { warn } = console;
  console.warn = () => undefined;
  try {
    return await load();
  } finally {
    console.warn = warn;
  }
  /* eslint-enable no-console */
}
