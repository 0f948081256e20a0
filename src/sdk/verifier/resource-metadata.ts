/** RFC 9728 section 2: what an MCP server says of itself, so that a client finds the issuer. */
export type ResourceMetadata = Readonly<{
  resource: string;
  authorization_servers: readonly [string];
  bearer_methods_supported: readonly ['header'];
  scopes_supported?: readonly string[];
  resource_name?: string;
  dpop_signing_alg_values_supported?: readonly string[];
  dpop_bound_access_tokens_required?: true;
}>;

/** What is not known from the verifier's own options. */
export type ResourceMetadataOptions = Readonly<{ scopes?: readonly string[]; name?: string }>;

/** The body to serve at the well-known address of the resource (RFC 9728 section 3.1). */
export function resourceMetadata(
  { resource, issuer, dpopRequired }: Readonly<{ resource: string; issuer: string; dpopRequired: boolean }>,
  { scopes, name }: ResourceMetadataOptions,
): ResourceMetadata {
  return {
    resource,
    authorization_servers: [issuer],
    bearer_methods_supported: ['header'],
    ...(scopes && { scopes_supported: scopes }),
    ...(name !== undefined && { resource_name: name }),
    dpop_signing_alg_values_supported: ['ES256', 'EdDSA'],
    ...(dpopRequired && { dpop_bound_access_tokens_required: true }),
  };
}
