import type { Context } from 'koa';
import { readText } from '../http/index.js';

const FORM_LIMIT = 16_384;

/**
 * A form of our own page, `undefined` for any other. Beside the form's token and the Lax cookie: a browser sends
 * `Origin: null` from our own pages too, which have no referrer, and older ones say nothing of the site.
 */
export async function readOwnForm(ctx: Context, origin: string): Promise<URLSearchParams | undefined> {
  const isOwn =
    ['', 'same-origin'].includes(ctx.get('sec-fetch-site')) && ['', 'null', origin].includes(ctx.get('origin'));
  if (!isOwn || ctx.request.is('application/x-www-form-urlencoded') === false) return undefined;
  const text = await readText(ctx, FORM_LIMIT);
  return text.ok ? new URLSearchParams(text.value) : undefined;
}
