import type { AdapterPayload } from 'oidc-provider';
import type { Clock } from '../base/index.js';
import { DUMMY_SECRET_HASH, verifySecret } from '../client/index.js';
import { formatScope, isSecureUrl } from '../protocol/index.js';
import { isUsable, type RegisteredAgent, type RegistryReader } from '../registry/index.js';
import type { OneTimeRules } from './assertions.js';
import { currentContext, type EngineContext } from './library.js';

/** Finds the client that an agent of our registry is. One that is disabled, expired or unknown does not exist. */
export const clientFinder =
  (registry: RegistryReader, clock: Clock, admitClaim: OneTimeRules['admitClaim']) =>
  async (clientId: string): Promise<AdapterPayload | undefined> => {
    const agent = registry.current().agent(clientId);
    if (agent !== undefined && isUsable(agent, clock.now())) return clientOf(agent);
    await takeAsLongAsASecret((context) => admitClaim(context, clientId));
    return undefined;
  };

/** The ceiling of an agent as scope: what it gets when it names none, and what it can never exceed. */
export const ceilingOf = (agent: Pick<RegisteredAgent, 'allow'> | undefined): string =>
  formatScope((agent?.allow ?? []).flatMap(({ scopes }) => scopes));

function clientOf(agent: RegisteredAgent): AdapterPayload {
  // RFC 9700 section 2.6: a code never travels over plain http but on loopback.
  const redirectUris = agent.redirect_uris.filter(isSecureUrl);
  const interactive = redirectUris.length > 0;
  return {
    client_id: agent.client_id,
    client_name: agent.name,
    // Not `native`: with it the library would let a loopback redirect choose its port (AZ-02).
    application_type: 'web',
    redirect_uris: redirectUris,
    response_types: interactive ? ['code'] : [],
    grant_types: interactive ? ['authorization_code', 'refresh_token'] : [],
    dpop_bound_access_tokens: agent.dpop_required,
    ...authenticationOf(agent),
  };
}

function authenticationOf({ authentication, secretHash }: RegisteredAgent): AdapterPayload {
  if (authentication.method === 'private_key_jwt') {
    const { jwks, jwks_uri } = authentication;
    return {
      token_endpoint_auth_method: authentication.method,
      ...(jwks === undefined ? {} : { jwks: { keys: jwks.keys.map((key) => ({ ...key })) } }),
      ...(jwks_uri === undefined ? {} : { jwks_uri }),
    };
  }
  return { token_endpoint_auth_method: authentication.method, client_secret: secretHash ?? DUMMY_SECRET_HASH };
}

/** CA-16: that a client is unknown must not show in the time its refusal takes. */
async function takeAsLongAsASecret(admit: (context: EngineContext | undefined) => Promise<void>): Promise<void> {
  const context = currentContext();
  const secret = context?.oidc.params?.['client_secret'] ?? context?.get('authorization');
  if (typeof secret !== 'string' || secret === '') return;
  await admit(context);
  await verifySecret(secret.slice(0, 256), DUMMY_SECRET_HASH);
}
