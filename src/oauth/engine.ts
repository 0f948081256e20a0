import type { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Middleware, ParameterizedContext } from 'koa';
import { type Clock, Fault, type Seconds } from '../base/index.js';
import type { AgentKeys, ClientLimits } from '../client/index.js';
import { ANSWER_WITHIN_MS, answerInTime, isCutOff } from '../http/index.js';
import { type IdentityProvider, pageSecrets, type PersonDirectory, SignInAt } from '../human/index.js';
import type { RegistryReader } from '../registry/index.js';
import { oneTimeRules } from './assertions.js';
import { configure, type ConfigurationDeps, type EngineLifetimes } from './configuration.js';
import { admitBeginning, type BeginningLimits } from './beginnings.js';
import { answerInteraction } from './interaction.js';
import { currentContext, type EngineContext, makeProvider, type Provider, TooManyRequests } from './library.js';
import { type Metadata, metadataOf, metadataPaths } from './metadata.js';
import type { EngineLog, EngineSigningKey, EngineStore, SignOuts } from './ports.js';
import { answerSignOut, isSignOutPath } from './sign-out.js';
import type { InteractionDeps, LocalSignIn } from './step.js';
import { redeemer } from './redemption.js';
import { bodyReadBefore, judgeForm, judgeProof, replayBody } from './requests.js';
import { answer, refusedPage } from './troubles.js';

export type EngineDeps = Readonly<{
  issuer: string;
  registry: RegistryReader;
  agentKeys: Pick<AgentKeys, 'endOf'>;
  /** Those that sign or may still be verified, the one that signs first. Another list makes another provider. */
  keys: () => readonly EngineSigningKey[];
  store: EngineStore;
  log: EngineLog;
  signOuts: SignOuts;
  people: PersonDirectory;
  identityProviders: readonly IdentityProvider[];
  /** Only where there are local accounts. */
  local?: LocalSignIn | undefined;
  /** Sign cookies and pages; the first one makes, all of them check. The same in every replica. */
  cookieKeys: readonly [string, ...string[]];
  clock: Clock;
  /** One for all routes: a client has one rate. */
  limits: ClientLimits;
  beginnings: BeginningLimits;
  lifetimes?: Partial<EngineLifetimes>;
  skewSeconds?: Seconds;
  /** Members to add to the metadata, or to put in the place of ours. */
  metadataExtras?: () => Metadata;
  /** Outages and bugs; what they say never reaches a client. */
  onFault(cause: unknown): void;
}>;

/** The authorization endpoint, its pages, sign-out, PAR, the two grants of the engine, revocation of refresh tokens, and metadata. */
export type Engine = Readonly<{
  /** Answers the engine's own paths and leaves every other to the next. */
  middleware: Middleware;
  /** The same for a caller that has decided: `POST /token` for a grant of the engine, `POST /revoke` for a refresh token. */
  handle(request: IncomingMessage, response: ServerResponse): Promise<void>;
  metadata(): Metadata;
  /** The identity providers where people sign in, by id. */
  signIns: ReadonlyMap<string, SignInAt>;
}>;

export const ENGINE_LIFETIMES: EngineLifetimes = {
  accessToken: 600,
  code: 60,
  refreshToken: 30 * 86_400,
  signIn: 8 * 3_600,
  interaction: 900,
};

export function createEngine(deps: EngineDeps): Engine {
  const mount = new URL(deps.issuer).pathname.replace(/\/$/, '');
  const wellKnown = metadataPaths(deps.issuer);
  const metadata = (): Metadata => metadataOf({ ...deps, keys: deps.keys(), extras: deps.metadataExtras?.() ?? {} });
  const interactions = interactionDeps(deps);
  const provider = providerOfTheseKeys(deps, interactions);
  const handle: Engine['handle'] = async (request, response) => {
    const body = bodyReadBefore(request);
    if (body !== undefined) replayBody(request, body);
    request.url = (request.url ?? '/').slice(mount.length);
    await provider().callback()(request, response);
  };
  return {
    metadata,
    signIns: interactions.signIns,
    handle,
    middleware: async (context, next) => {
      if (wellKnown.has(context.path) && ['GET', 'HEAD'].includes(context.method)) {
        publish(context, metadata());
      } else if (context.path.startsWith(`${mount}/`) && OWN_PATH.test(context.path.slice(mount.length))) {
        context.respond = false;
        await handle(context.req, context.res);
      } else {
        await next();
      }
    },
  };
}

const OWN_PATH = /^\/(?:auth(?:\/[\w-]+)?|token|request|revoke|sign-out|interaction\/.*)$/;

function publish(context: ParameterizedContext, metadata: Metadata): void {
  context.set({ 'access-control-allow-origin': '*', 'cache-control': 'public, max-age=300' });
  context.body = metadata;
}

/** The library takes its keys once; when ours change, the next request meets a new provider over the same store. */
function providerOfTheseKeys(deps: EngineDeps, interactions: InteractionDeps): () => Provider {
  let made: Readonly<{ kids: string; provider: Provider }> | undefined;
  return () => {
    const keys = deps.keys();
    const kids = keys.map(({ kid }) => kid).join(' ');
    if (made?.kids !== kids) made = { kids, provider: build(deps, interactions, keys) };
    return made.provider;
  };
}

function build(deps: EngineDeps, interactions: InteractionDeps, keys: readonly EngineSigningKey[]): Provider {
  const configuration = configurationDeps(deps);
  const { rules } = configuration;
  const late = new WeakSet<object>();
  const refused = (path: string, cause: string): void => {
    deps.log.refused({ ...NOBODY, route: path.replace(/^\/auth\/.*/, '/auth'), cause });
  };
  const provider = makeProvider(configure(configuration, keys), {
    issuer: deps.issuer,
    redeem: redeemer({ ...deps, isLate: (context) => late.has(context) }),
    admit: (clientId) => rules.admit(currentContext(), clientId),
    admitClaim: (clientId) => rules.admitClaim(currentContext(), clientId),
    isFirstUse: (clientId, jti, expiresAt) => rules.isFirstUse(currentContext(), { clientId, jti, expiresAt }),
  });
  const fail = (context: ParameterizedContext, error: unknown): void => {
    deps.onFault(error);
    sayOutage(context, error);
  };
  provider.use(async (context, next) => {
    const { method, path, req } = context;
    context.set('referrer-policy', 'no-referrer');
    const isPage = path.startsWith('/interaction/') || isSignOutPath(path);
    const work = async (): Promise<void> => {
      const isPosted = method === 'POST' && !isPage;
      if (isPosted && !judgeProof(context, `${deps.issuer}${path}`, deps.clock.now()))
        refused(path, 'invalid_dpop_proof');
      else if (isPosted && !(await judgeForm(context))) {
        if (context.status === 401) refused(path, 'invalid_client');
      } else if (!(await admitBeginning(context, deps))) return;
      else if (isSignOutPath(path)) await answerSignOut({ provider, context, deps: interactions });
      else if (isPage) await answerInteraction({ provider, context, deps: interactions });
      else await next();
    };
    try {
      await answerInTime(work, req, isPage ? SIGN_IN_WITHIN_MS : ANSWER_WITHIN_MS);
      refuseMismatchAsAuthentication(context);
    } catch (error) {
      late.add(context);
      fail(context, error);
    }
  });
  // What a request comes to after its outage was told is of no interest: it writes to an answer that is gone.
  provider.on('server_error', (context, error) => {
    if (!late.has(context)) fail(context, error);
  });
  recordRefusals(provider, deps);
  const koa: EventEmitter = provider;
  koa.on('error', (thrown: unknown, context: EngineContext) => {
    if (!isCutOff(thrown, context)) deps.onFault(thrown);
  });
  return provider;
}

/** Proofs and the form of assertions are judged before anybody is authenticated. */
const NOBODY = { client: undefined, claimed: undefined } as const;

/** STYLE E1: failed authentication never reaches a handler of ours; these events are where it can be heard. */
function recordRefusals(provider: Provider, { log, registry }: EngineDeps): void {
  const hear = (route: string) => (context: EngineContext, error: Readonly<{ error: string }>) => {
    if (error instanceof TooManyRequests) return;
    const named = context.oidc.client?.clientId ?? context.oidc.params?.['client_id'];
    const claimed = typeof named === 'string' && registry.current().agent(named) !== undefined ? named : undefined;
    const client = error.error === 'invalid_client' ? undefined : context.oidc.client?.clientId;
    log.refused({ client, claimed, route, cause: error.error });
  };
  provider.on('grant.error', hear('/token'));
  provider.on('pushed_authorization_request.error', hear('/request'));
  provider.on('revocation.error', hear('/revoke'));
}

function configurationDeps(deps: EngineDeps): ConfigurationDeps {
  const skewSeconds = deps.skewSeconds ?? 30;
  return {
    ...deps,
    skewSeconds,
    lifetimes: { ...ENGINE_LIFETIMES, ...deps.lifetimes },
    rules: oneTimeRules({ ...deps, skewSeconds }),
    renderError: (context, { code }) => {
      answer(context, refusedPage(context.status, code));
    },
  };
}

function interactionDeps(deps: EngineDeps): InteractionDeps {
  const { identityProviders, issuer, cookieKeys, lifetimes } = deps;
  const callback = (id: string): string => `${issuer}/interaction/callback/${id}`;
  return {
    ...deps,
    signIns: new Map(identityProviders.map((provider) => [provider.id, new SignInAt(provider, callback(provider.id))])),
    local: deps.local,
    secrets: pageSecrets(cookieKeys[0]),
    consentSeconds: lifetimes?.refreshToken ?? ENGINE_LIFETIMES.refreshToken,
    interactionSeconds: lifetimes?.interaction ?? ENGINE_LIFETIMES.interaction,
  };
}

/** A sign-in also waits for an identity provider, up to five seconds for each of its answers. */
const SIGN_IN_WITHIN_MS = 15_000;

const isJson = (body: unknown): body is object => typeof body === 'object' && body !== null;

/** An outage is a 5xx and never reads as a refusal; what it was stays here. */
function sayOutage(context: ParameterizedContext, error: unknown): void {
  const isOutage = error instanceof Fault && error.code !== 'internal';
  const [status, code] = isOutage ? ([503, 'temporarily_unavailable'] as const) : ([500, 'server_error'] as const);
  if (context.accepts('json', 'html') === 'html') answer(context, refusedPage(status, code));
  else context.body = { error: code, error_description: 'the server could not answer; try again later' };
  context.set('cache-control', 'no-store');
  context.status = status;
  if (isOutage) context.set('retry-after', '1');
}

/** CA-14: an assertion of one client with the id of another is failed authentication, as any other failure of it is. */
function refuseMismatchAsAuthentication(context: ParameterizedContext): void {
  const body: unknown = context.body;
  if (!isJson(body) || !('error_description' in body) || body.error_description !== 'client_id mismatch') return;
  context.status = 401;
  context.body = { error: 'invalid_client', error_description: 'client authentication failed' };
}
