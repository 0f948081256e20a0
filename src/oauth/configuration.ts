import type { Configuration } from 'oidc-provider';
import type { Clock, Seconds } from '../base/index.js';
import type { PersonDirectory } from '../human/index.js';
import { isLoopback, type PersonsAccessToken, SIGNATURE_ALGORITHMS } from '../protocol/index.js';
import type { RegistryReader } from '../registry/index.js';
import { adapterFor, grantHash } from './adapter.js';
import type { OneTimeRules } from './assertions.js';
import { ceilingOf, clientFinder } from './clients.js';
import { callsOf, type EngineContext, errors, interactionPolicy, signingKey } from './library.js';
import type { EngineSigningKey, EngineStore } from './ports.js';
import { refuseUnreadable } from './readable.js';
import { completeScope, OWN_SCOPES } from './scopes.js';
import { WEAKER } from './step.js';

/** How long what the engine makes lives, in seconds. */
export type EngineLifetimes = Readonly<{
  accessToken: Seconds;
  code: Seconds;
  /** From the consent on; rotation does not prolong it. */
  refreshToken: Seconds;
  /** How long a person who signed in is remembered in that browser. */
  signIn: Seconds;
  /** How long the pages of one authorization stay valid. */
  interaction: Seconds;
}>;

export type ConfigurationDeps = Readonly<{
  issuer: string;
  registry: RegistryReader;
  store: EngineStore;
  people: PersonDirectory;
  clock: Clock;
  lifetimes: EngineLifetimes;
  skewSeconds: Seconds;
  cookieKeys: readonly string[];
  rules: OneTimeRules;
  renderError(context: EngineContext, error: Readonly<{ code: string; description: string | undefined }>): void;
}>;

/** Everything the library can do and we did not decide for is off. */
export function configure(deps: ConfigurationDeps, keys: readonly EngineSigningKey[]): Configuration {
  const { issuer, registry, lifetimes } = deps;
  const algorithms = [...SIGNATURE_ALGORITHMS];
  return {
    adapter: adapterFor({ ...deps, findClient: clientFinder(registry, deps.clock, deps.rules.admitClaim) }),
    jwks: { keys: keys.map(signingKey) },
    enabledJWA: {
      clientAuthSigningAlgValues: algorithms,
      idTokenSigningAlgValues: algorithms,
      dPoPSigningAlgValues: algorithms,
    },
    clientAuthMethods: ['private_key_jwt', 'client_secret_basic', 'client_secret_post'],
    clientDefaults: {
      id_token_signed_response_alg: keys[0]?.alg ?? 'ES256',
      token_endpoint_auth_method: 'private_key_jwt',
      grant_types: [],
      response_types: [],
    },
    clientBasedCORS: () => false,
    clockTolerance: deps.skewSeconds,
    responseTypes: ['code'],
    scopes: [...OWN_SCOPES],
    claims: { openid: ['sub'] },
    pkce: { required: () => true },
    routes: {
      authorization: '/auth',
      token: '/token',
      jwks: '/jwks',
      pushed_authorization_request: '/request',
      revocation: '/revoke',
    },
    allowOmittingSingleRegisteredRedirectUri: false,
    cookies: cookies(issuer, deps.cookieKeys),
    features: {
      ...OFF,
      dPoP: { enabled: true },
      externalSigningSupport: { enabled: true, ack: 'experimental-01' },
      pushedAuthorizationRequests: { enabled: true },
      resourceIndicators: { enabled: true, ...onlyOurselves(deps) },
      // RFC 7009 section 2.1: another client's token is refused, and the answer does not say whether there was one.
      revocation: { enabled: true, allowedPolicy: (_context, client, token) => token.clientId === client.clientId },
    },
    extraParams: {
      scope: (context: EngineContext, scope: string | undefined) => {
        refuseUnreadable(context);
        completeScope(registry, context, scope);
      },
    },
    interactions: { url: (_context, { uid }) => `${issuer}/interaction/${uid}`, policy: promptPolicy() },
    // Every authorization is consented anew: nothing that an earlier one granted is taken over.
    loadExistingGrant: async ({ oidc }) => {
      const grantId = oidc.result?.consent?.grantId;
      return grantId === undefined ? undefined : oidc.provider.Grant.find(grantId);
    },
    findAccount: async (_context, id) => {
      const person = await deps.people.byId(id);
      return person?.status === 'active' ? { accountId: id, claims: () => ({ sub: id }) } : undefined;
    },
    extraTokenClaims: (context, token) => personClaims(context, 'grantId' in token ? token.grantId : undefined),
    expiresWithSession: () => false,
    rotateRefreshToken: true,
    revokeGrantPolicy: () => true,
    assertJwtClientAuthClaimsAndHeader: (context) => deps.rules.judgeAssertion(context),
    renderError: (context, { error, error_description }) => {
      deps.renderError(context, { code: error, description: error_description });
    },
    fetch: fetcher(issuer),
    ttl: {
      AccessToken: lifetimes.accessToken,
      AuthorizationCode: lifetimes.code,
      Grant: lifetimes.refreshToken,
      IdToken: lifetimes.accessToken,
      Interaction: lifetimes.interaction,
      RefreshToken: ({ oidc }) => oidc.entities.RotatedRefreshToken?.remainingTTL ?? lifetimes.refreshToken,
      Session: lifetimes.signIn,
    },
  };
}

const OFF = {
  backchannelLogout: { enabled: false },
  ciba: { enabled: false },
  claimsParameter: { enabled: false },
  clientCredentials: { enabled: false },
  devInteractions: { enabled: false },
  deviceFlow: { enabled: false },
  encryption: { enabled: false },
  introspection: { enabled: false },
  jwtResponseModes: { enabled: false },
  registration: { enabled: false },
  requestObjects: { enabled: false },
  rpInitiatedLogout: { enabled: false },
  userinfo: { enabled: false },
} as const;

/** RFC 8707: what an agent gets by the code flow is for Writ itself, to be exchanged, and for nobody else. */
function onlyOurselves({ issuer, registry, lifetimes }: ConfigurationDeps) {
  return {
    defaultResource: () => issuer,
    useGrantedResource: () => true,
    getResourceServerInfo: (context: EngineContext, resource: string, client: Readonly<{ clientId: string }>) => {
      if (resource !== issuer) throw new errors.InvalidTarget('the resource must be this authorization server');
      return {
        audience: issuer,
        scope: ceilingOf(registry.current().agent(client.clientId)),
        accessTokenFormat: 'jwt' as const,
        // A token of a consent that ends sooner ends with it.
        accessTokenTTL: Math.max(
          1,
          Math.min(lifetimes.accessToken, context.oidc.entities.Grant?.remainingTTL ?? Infinity),
        ),
      };
    },
  };
}

/** A session of somebody who is gone or disabled is no session, and one of another class than was asked for is not enough. */
function promptPolicy() {
  const policy = interactionPolicy.base();
  const { Check } = interactionPolicy;
  const gone = ({ oidc }: EngineContext): boolean =>
    oidc.session?.accountId !== undefined && oidc.account === undefined;
  policy.get('login')?.checks.add(new Check('person_unknown', 'the person is not known any more', gone));
  policy
    .get('login')
    ?.checks.add(new Check(WEAKER, 'the sign-in is of none of the classes asked for', 'login_required', isWeaker));
  return policy;
}

/** RFC 9470 section 5: `acr_values` is more than the wish that OpenID Connect Core makes of it. */
function isWeaker({ oidc }: EngineContext): boolean {
  const wanted = oidc.params?.['acr_values'];
  if (typeof wanted !== 'string') return false;
  const classes = wanted.split(' ').filter((one) => one !== '');
  return classes.length > 0 && !classes.includes(oidc.session?.acr ?? '');
}

/** What the sign-in said and which consent it came from (PersonsAccessToken in protocol/). */
function personClaims({ oidc }: EngineContext, grantId: string | undefined): Record<string, unknown> {
  const { acr, amr, authTime } = oidc.entities.AuthorizationCode ?? oidc.entities.RefreshToken ?? {};
  return {
    ...(acr === undefined ? {} : { acr }),
    ...(amr === undefined ? {} : { amr }),
    // 0 stands for an identity provider that did not say when: it is never claimed, and older than any max_age.
    ...(authTime === undefined || authTime === 0 ? {} : { auth_time: authTime }),
    ...(grantId === undefined ? {} : { writ: consentClaim(grantHash(grantId), callsOf(oidc.entities.Grant)) }),
  };
}

const consentClaim = (grant: string, limited: ReturnType<typeof callsOf>): PersonsAccessToken['writ'] =>
  limited === undefined ? { grant } : { grant, budget: { consent: grant, ...limited } };

/** RFC 6265bis section 4.1.3: the prefixes keep a neighbour host or plain http from setting our cookies. */
function cookies(issuer: string, keys: readonly string[]): NonNullable<Configuration['cookies']> {
  const { protocol } = new URL(issuer);
  const [host, secure] = protocol === 'https:' ? ['__Host-', '__Secure-'] : ['', ''];
  const options = { httpOnly: true, sameSite: 'lax' as const, signed: true };
  return {
    names: { session: `${host}writ_session`, interaction: `${secure}writ_interaction`, resume: `${secure}writ_resume` },
    long: options,
    short: options,
    keys: [...keys],
  };
}

/** For key sets of agents. The library's own guard keeps private addresses out, which on a loopback Writ are all there are. */
function fetcher(issuer: string): NonNullable<Configuration['fetch']> {
  return (target, init = {}) => {
    const { dispatcher, ...rest } = Object.assign<{ dispatcher?: unknown }, RequestInit>({}, init);
    const url = target instanceof Request ? target.url : target.toString();
    const local = [issuer, url].every((address) => isLoopback(new URL(address).hostname));
    return fetch(url, {
      ...rest,
      redirect: 'error',
      ...(local || dispatcher === undefined ? {} : { dispatcher }),
    });
  };
}
