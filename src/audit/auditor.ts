import { createHash } from 'node:crypto';
import type { Context } from 'koa';
import { isBearerOf } from '../http/index.js';

/** Who may read the log: an auditor reads it and does nothing else. */
export type Reader = 'auditor' | 'administrator';

/** SHA-256 of the tokens; without one for auditors only administrators read. */
export type ReaderDigests = Readonly<{ audit: Uint8Array | undefined; admin: Uint8Array }>;

const digestOf = (token: string): Uint8Array => createHash('sha256').update(token, 'utf8').digest();

/** What Writ keeps of the two tokens. */
export const readerDigests = (tokens: Readonly<{ audit: string | undefined; admin: string }>): ReaderDigests => ({
  audit: tokens.audit === undefined ? undefined : digestOf(tokens.audit),
  admin: digestOf(tokens.admin),
});

/** Who asks, by the bearer token in the Authorization header alone (RFC 6750 section 2.1), or `undefined`. */
export function readerOf(ctx: Context, { audit, admin }: ReaderDigests): Reader | undefined {
  const isAuditor = audit !== undefined && isBearerOf(ctx, audit, digestOf);
  const isAdministrator = isBearerOf(ctx, admin, digestOf);
  return isAuditor ? 'auditor' : isAdministrator ? 'administrator' : undefined;
}
