import type { Context } from 'koa';
import { isCrossSite, readText } from '../http/index.js';

const FORM_LIMIT = 16_384;

/** A form of our own page, `undefined` for any other. */
export async function readOwnForm(ctx: Context, origin: string): Promise<URLSearchParams | undefined> {
  if (isCrossSite(ctx, origin) || ctx.request.is('application/x-www-form-urlencoded') === false) return undefined;
  const text = await readText(ctx, FORM_LIMIT);
  return text.ok ? new URLSearchParams(text.value) : undefined;
}
