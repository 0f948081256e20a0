import { z } from 'zod';
import { isLoopback } from './words.js';

/** https, or http on loopback, without user information or fragment: the only addresses that keys and tokens travel to. */
export function isSecureUrl(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || text.includes('#') || url.username !== '' || url.password !== '') return false;
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname));
}

/** RFC 8414 section 2: an issuer is a secure URL without query or fragment, compared as text. */
export const Issuer = z
  .string()
  .max(512)
  .refine((text) => isSecureUrl(text) && !text.includes('?'), {
    error: 'must be an https URI (http on loopback) without query or fragment',
  });

/** RFC 8414 section 3.1, RFC 9728 section 3.1 and AuthZEN 1.0: the well-known part goes between host and path. */
export function wellKnown(
  name: 'oauth-authorization-server' | 'oauth-protected-resource' | 'authzen-configuration',
  identifier: string,
): string {
  const { origin, pathname } = new URL(identifier);
  return `${origin}/.well-known/${name}${pathname === '/' ? '' : pathname}`;
}

const SecureUrl = z.string().max(1_024).refine(isSecureUrl);

/** What both SDKs read of an authorization server's metadata (RFC 8414 section 2). */
export const ServerMetadata = z.object({
  issuer: z.string(),
  jwks_uri: SecureUrl,
  token_endpoint: SecureUrl,
  authorization_endpoint: SecureUrl.exactOptional(),
  revocation_endpoint: SecureUrl.exactOptional(),
  introspection_endpoint: SecureUrl.exactOptional(),
});
export type ServerMetadata = z.infer<typeof ServerMetadata>;
