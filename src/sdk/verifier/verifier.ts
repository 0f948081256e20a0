import { AsyncLocalStorage } from 'node:async_hooks';
import { wellKnown } from '../../protocol/index.js';
import type { GuardRules } from './admit.js';
import { checkBinding, type Inbound, readCredential } from './credential.js';
import { createDecide } from './decision.js';
import { type AuthInfo, toAuthInfo, toDelegation } from './delegation.js';
import { inClassesOf, type Reason, VerifierError } from './errors.js';
import { followFeed } from './feed.js';
import { createGuard, type Guard } from './guard.js';
import { createIntrospect, createRenew, type Introspect } from './introspection.js';
import { createIssuer, type Issuer } from './issuer.js';
import { createMcpClients } from './mcp-clients.js';
import { memoryOnceStore } from './once.js';
import { createOutcomes } from './outcomes.js';
import { createOwnTools, createReport } from './own-tools.js';
import { followOf, readOptions, type Settings, type VerifierOptions } from './options.js';
import { resourceMetadata, type ResourceMetadata, type ResourceMetadataOptions } from './resource-metadata.js';
import { readSignIns } from './sign-in.js';
import { createStanding, type Standing } from './standing.js';
import { verifyToken } from './token.js';

/**
 * `scopes` maps a tool to the scopes it needs; a token that lists no tools may call only tools named here. `signIn` says how the
 * person must have signed in for a tool: who has not is told so by RFC 9470, and comes back with a fresh token. `onRefused` is told why a request was refused, for the log of this server.
 */
export type GuardOptions = Partial<GuardRules>;

/** Checks access tokens of one issuer for one MCP server. */
export interface Verifier {
  /**
   * Fits `OAuthTokenVerifier` of both official MCP SDKs. Outside a {@link Guard} it refuses what it could not enforce: a
   * token with tools, arguments or uses, one without any scope, and one that is bound to a key. Rejects with a {@link VerifierError}.
   */
  verifyAccessToken(token: string): Promise<AuthInfo>;
  /** Checks a whole request: token, binding and, for `tools/call`, tool, arguments and use. */
  guard(options?: GuardOptions): Guard;
  /** Asks the issuer whether a token is active (RFC 7662), and spends one use when `consume` names a tool. */
  introspect: Introspect;
  /** Tells Writ now what became of the calls so far; resolves with how many outcomes could not be sent and wait on. */
  flush(): Promise<number>;
  /**
   * For the end of this process: calls that still run are reported as `unknown`, and what waits is sent, for three
   * seconds at most. It ends the feed, and with it what the guard lets through where there is one.
   */
  close(): Promise<void>;
  /** The RFC 9728 document of this MCP server. */
  protectedResourceMetadata(options?: ResourceMetadataOptions): ResourceMetadata;
}

/**
 * Makes a {@link Verifier}. Nothing is fetched before the first token, but for `feed`, which begins at once.
 *
 * @example
 * const guard = createVerifier({ issuer: 'https://writ.example', resource: 'https://mcp.example/files' }).guard();
 * const handler = guard.fetch(createMcpHandler(() => server).fetch);
 */
export function createVerifier(options: VerifierOptions): Verifier {
  const settings = readOptions(options);
  const { clock, resource, dpopRequired, issuer: issuerId, endpoint = resource, clockSkewSeconds: skew } = settings;
  const issuer = createIssuer({ ...settings, jwks: settings.jwks });
  const once = settings.once ?? memoryOnceStore(clock);
  const introspect = createIntrospect({ ...settings, client: settings.introspection, issuerId, issuer });
  const decide = createDecide({ ...settings, client: settings.introspection, issuerId });
  const tools = createOwnTools(settings.tools, createReport({ ...settings, client: settings.introspection, issuerId }));
  const clients = createMcpClients();
  const outcomes = createOutcomes({ ...settings, client: settings.introspection, issuerId });
  const standing = standingOf(settings, issuer, introspect);
  const admitted = new AsyncLocalStorage<AuthInfo>();
  const rules = { issuer: issuerId, resource, shapes: settings.shapes, maxLifetime: settings.maxLifetimeSeconds, skew };

  async function authenticate(request: Inbound): Promise<AuthInfo> {
    const now = clock.now();
    const credential = orThrow(readCredential(request));
    const verified = orThrow(await verifyToken(credential.token, issuer, rules, now));
    const delegation = toDelegation(verified.claims);
    // Before the proof is spent, so that it is good for another attempt when the feed is too old.
    await standing.enter(delegation, credential.token, verified);
    orThrow(await checkBinding(credential, verified.claims, request, { endpoint, dpopRequired, once, now }));
    return toAuthInfo(credential.token, delegation, resource);
  }

  async function verifyBearer(token: string): Promise<AuthInfo> {
    const already = admitted.getStore();
    if (already?.token === token) return already;
    const verified = orThrow(await verifyToken(token, issuer, rules, clock.now()));
    const { claims } = verified;
    if (claims.cnf !== undefined || dpopRequired) throw new VerifierError('binding_required');
    const delegation = toDelegation(claims);
    // A token without scopes is for connecting: only a guard keeps it from calling tools.
    if (claims.authorization_details !== undefined || delegation.scopes.length === 0)
      throw new VerifierError('guard_required');
    await standing.enter(delegation, token, verified);
    return toAuthInfo(token, delegation, resource);
  }

  return Object.freeze({
    verifyAccessToken: (token: string) =>
      verifyBearer(token).catch((error: unknown) => rethrow(error, settings.errors)),
    introspect,
    flush: () => outcomes.flush(),
    close: () => {
      standing.close();
      return outcomes.close();
    },
    protectedResourceMetadata: (more: ResourceMetadataOptions = {}) =>
      resourceMetadata({ resource, issuer: issuerId, dpopRequired }, more),
    guard: ({ scopes = {}, signIn = {}, maxBodyBytes = 1_048_576, onRefused = () => undefined }: GuardOptions = {}) =>
      createGuard(
        { scopes, signIn: readSignIns(signIn), maxBodyBytes, onRefused },
        {
          authenticate,
          standing,
          introspect,
          decide,
          tools,
          clients,
          outcomes,
          once,
          uses: settings.uses,
          resource,
          resourceMetadata: settings.resourceMetadataUrl ?? wellKnown('oauth-protected-resource', resource),
          dpopRequired,
          clock,
          startedAt: clock.now(),
          skew,
        },
        (authInfo, rest) => admitted.run(authInfo, rest),
      ),
  });
}

function standingOf(settings: Settings, issuer: Issuer, introspect: Introspect): Standing {
  const { feed, introspection: client, issuer: issuerId, clockSkewSeconds: skew } = settings;
  const follow = followOf(feed);
  const source = follow && client && { ...settings, ...follow, client, issuerId, issuer };
  return createStanding({
    ...settings,
    ...(follow ?? { maxAgeMs: { exact: Infinity, other: Infinity }, onStale: 'refuse' }),
    follow: source && ((onNews) => followFeed({ ...source, onNews })),
    introspect,
    renew: settings.longCalls === 'renew' ? createRenew({ ...settings, client, issuerId, issuer }) : undefined,
    skew,
  });
}

function orThrow<T>(result: { ok: true; value: T } | { ok: false; error: Reason }): T {
  if (result.ok) return result.value;
  throw new VerifierError(result.error);
}

function rethrow(error: unknown, classes: VerifierOptions['errors']): never {
  throw error instanceof VerifierError ? inClassesOf(classes, error) : error;
}
