import { createHash } from 'node:crypto';
import type { Context } from 'koa';
import { copyJson, type PublicJwk } from '../protocol/index.js';

/** RFC 7517 section 5, for caches: fresh for `maxAge` seconds, and for an hour while we are down. */
export function sendKeys(ctx: Context, published: readonly PublicJwk[], maxAge: number): void {
  const body = JSON.stringify({ keys: copyJson(published) });
  ctx.set({ 'Cache-Control': `public, max-age=${maxAge}, stale-if-error=3600`, 'Access-Control-Allow-Origin': '*' });
  ctx.etag = createHash('sha256').update(body).digest('base64url');
  ctx.body = body;
  ctx.type = 'application/jwk-set+json';
  // RFC 9110 section 13.1.2. Koa's own `fresh` gives up at `Cache-Control: no-cache`, which fetch adds to If-None-Match.
  const known = ctx.get('If-None-Match').split(',');
  if (known.some((tag) => tag.trim().replace(/^W\//, '') === ctx.response.get('ETag'))) ctx.status = 304;
}
