import { perObject } from '../base/index.js';
import {
  DEFERRAL_CODE_TYPE,
  DEFERRED_GRANT,
  formatScope,
  type Json,
  MCP_TOOL_CALL,
  SIGNATURE_ALGORITHMS,
  TOKEN_EXCHANGE_GRANT,
  wellKnown,
} from '../protocol/index.js';
import type { IdentityProvider } from '../human/index.js';
import type { RegistryReader, RegistrySnapshot } from '../registry/index.js';
import type { EngineSigningKey } from './ports.js';
import { OWN_SCOPES } from './scopes.js';
import type { LocalSignIn } from './step.js';

export type Metadata = Readonly<Record<string, Json>>;

type MetadataDeps = Readonly<{
  issuer: string;
  registry: RegistryReader;
  keys: readonly EngineSigningKey[];
  identityProviders: readonly Pick<IdentityProvider, 'acrValues'>[];
  local?: Pick<LocalSignIn, 'acr'> | undefined;
  extras: Metadata;
}>;

/** RFC 8414 and OpenID Connect Discovery 1.0 in one document. What is not on is not in it. */
export function metadataOf({ issuer, registry, keys, extras, identityProviders, local }: MetadataDeps): Metadata {
  const algorithms = [...SIGNATURE_ALGORITHMS];
  const classes = new Set([...identityProviders.flatMap(({ acrValues = [] }) => acrValues), local?.acr ?? []].flat());
  const { methods, scopes } = offered(registry.current());
  return {
    issuer,
    authorization_endpoint: `${issuer}/auth`,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}/jwks`,
    pushed_authorization_request_endpoint: `${issuer}/request`,
    introspection_endpoint: `${issuer}/introspect`,
    revocation_endpoint: `${issuer}/revoke`,
    scopes_supported: scopes,
    response_types_supported: ['code'],
    response_modes_supported: ['query'],
    grant_types_supported: [...GRANTS],
    code_challenge_methods_supported: ['S256'],
    authorization_response_iss_parameter_supported: true,
    request_parameter_supported: false,
    request_uri_parameter_supported: false,
    token_endpoint_auth_methods_supported: methods,
    token_endpoint_auth_signing_alg_values_supported: algorithms,
    introspection_endpoint_auth_methods_supported: methods,
    introspection_endpoint_auth_signing_alg_values_supported: algorithms,
    revocation_endpoint_auth_methods_supported: methods,
    revocation_endpoint_auth_signing_alg_values_supported: algorithms,
    dpop_signing_alg_values_supported: algorithms,
    authorization_details_types_supported: [MCP_TOOL_CALL],
    transactional_access_tokens_supported: true,
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: [...new Set(keys.map(({ alg }) => alg))],
    claims_supported: ['sub', 'iss', 'aud', 'exp', 'iat', 'acr', 'amr', 'auth_time', 'nonce'],
    // RFC 9470 section 7: whoever reads it knows that acr_values is obeyed here.
    ...(classes.size === 0 ? {} : { acr_values_supported: [...classes] }),
    ...extras,
  };
}

const GRANTS = ['authorization_code', 'refresh_token', TOKEN_EXCHANGE_GRANT] as const;

/** Deferred Token Response (draft -01). */
export const DEFERRED_METADATA: Metadata = {
  deferred_token_response_supported: true,
  grant_types_supported: [...GRANTS, DEFERRED_GRANT],
  revocation_endpoint_token_type_values_supported: [DEFERRAL_CODE_TYPE],
};

/** MCP clients look in three places when the issuer has a path (RFC 8414 section 3.1; OpenID Connect Discovery section 4). */
export function metadataPaths(issuer: string): ReadonlySet<string> {
  const path = new URL(issuer).pathname.replace(/\/$/, '');
  return new Set([
    new URL(wellKnown('oauth-authorization-server', issuer)).pathname,
    `/.well-known/openid-configuration${path}`,
    `${path}/.well-known/openid-configuration`,
  ]);
}

/** What the registry has us say, worked out once for each of its versions. */
const offered = perObject(({ agents, servers }: RegistrySnapshot) => ({
  methods: authenticationMethods([...agents, ...servers]),
  scopes: [...OWN_SCOPES, ...formatScope([...servers].flatMap(({ scopes }) => scopes)).split(' ')].filter(Boolean),
}));

/** Secrets are advertised only where an administrator gave one to somebody. */
function authenticationMethods(
  clients: readonly Readonly<{ authentication: Readonly<{ method: string }> }>[],
): string[] {
  return [...new Set(['private_key_jwt', ...clients.map(({ authentication }) => authentication.method)])].sort();
}
