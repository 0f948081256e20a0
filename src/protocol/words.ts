import { z } from 'zod';

/** MCP tool name (MC-15): case-sensitive, unique per server. */
export const ToolName = z.string().regex(/^[A-Za-z0-9_.-]{1,128}$/);

/** RFC 6749 appendix A.4. */
export const ScopeToken = z.string().regex(/^[\x21\x23-\x5B\x5D-\x7E]{1,128}$/);

/** Text that can be stored, logged and shown anywhere: well-formed Unicode without control characters. */
export const Text = z.string().refine(isPlainText, {
  error: 'must be well-formed text without control characters',
});

/** How much harm one call of a tool can do; authority is proportional to it. */
export const Tier = z.enum(['low', 'medium', 'high', 'critical']);
export type Tier = z.infer<typeof Tier>;

/** What a call of a tool does to the world. */
export const ActionClass = z.enum(['read', 'write', 'delete', 'execute', 'send', 'pay']);
export type ActionClass = z.infer<typeof ActionClass>;

/** How closely held the data is that a tool touches. */
export const DataClass = z.enum(['public', 'internal', 'confidential', 'restricted']);
export type DataClass = z.infer<typeof DataClass>;

/** Client ids: our own are never URLs (CM-05), so no client can look like an MCP server. */
export const ClientId = z.string().regex(/^[A-Za-z0-9_.~-]{1,128}$/);

/**
 * RFC 8707 section 2: an absolute URI without fragment. Compared as text, so one spelling only: lower-case scheme and
 * host, no default port, no dot segments, no user information; https, or http on loopback.
 */
export const ResourceUri = z.string().max(512).refine(isCanonicalResource, {
  error:
    'must be an absolute https URI (http on loopback) in canonical form, without fragment, query or trailing slash',
});

/** Splits a `scope` value (RFC 6749 section 3.3: single spaces, order without meaning); `undefined` when malformed. */
export function parseScope(scope: string): readonly string[] | undefined {
  const tokens = scope.split(' ');
  if (tokens.length > 256 || tokens.some((token) => !ScopeToken.safeParse(token).success)) return undefined;
  return [...new Set(tokens)];
}

/** The reverse of {@link parseScope}, in a stable order. */
export const formatScope = (scopes: Iterable<string>): string => [...new Set(scopes)].sort().join(' ');

/** True for `localhost` and the loopback addresses, in the spelling of a URL's `hostname`. */
export const isLoopback = (hostname: string): boolean =>
  hostname === 'localhost' || hostname === '[::1]' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(hostname);

function isCanonicalResource(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || text.includes('#') || text.includes('?')) return false;
  if (url.username !== '' || url.password !== '') return false;
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopback(url.hostname))) return false;
  return text === (url.pathname === '/' ? url.origin : url.href) && !(url.pathname !== '/' && text.endsWith('/'));
}

/** No control character (PostgreSQL stores no U+0000, terminals obey the others) and no half of a surrogate pair. */
export function isPlainText(text: string): boolean {
  return !/[\u0000-\u001f\u007f-\u009f\ud800-\udfff]/u.test(text);
}

/** A group of people as policies name it in `@approvers`, where commas part them. */
export const GroupName = z
  .string()
  .max(128, { error: 'must have at most 128 characters' })
  .regex(/^[^\s,\p{C}]([^,\p{C}]*[^\s,\p{C}])?$/u, {
    error: 'must be a name without commas, control characters and blanks around it',
  });
