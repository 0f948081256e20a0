import type { HttpContext } from './context.js';

/**
 * Whether another site's page sent this. Beside the form's token and the Lax cookie: a browser sends `Origin: null` from our
 * own pages too, which have no referrer, and older ones say nothing of the site.
 */
export function isCrossSite(context: Pick<HttpContext, 'get'>, issuer: string): boolean {
  const isForeign = !['', 'null', new URL(issuer).origin].includes(context.get('origin'));
  return isForeign || !['', 'same-origin'].includes(context.get('sec-fetch-site'));
}
