import { createHash, timingSafeEqual } from 'node:crypto';
import type { Context } from 'koa';

/** What Writ keeps of the admin token. */
export const adminTokenDigest = (token: string): Buffer => createHash('sha256').update(token, 'utf8').digest();

/**
 * True when the request carries the admin token (RFC 6750 section 2.1). Digests are compared, in constant time, so that
 * neither length nor prefix of the token can be learnt. Looks at the Authorization header alone: never a cookie or the URL.
 */
export function isAdministrator(ctx: Context, digest: Uint8Array): boolean {
  const [, token] = /^Bearer ([A-Za-z0-9\-._~+/]{1,512}=*)$/i.exec(ctx.get('Authorization')) ?? [];
  const isSame = timingSafeEqual(adminTokenDigest(token ?? ''), digest);
  return token !== undefined && isSame;
}
