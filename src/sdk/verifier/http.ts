import type { Seconds } from '../../base/index.js';
import { type Json, parseStrict } from '../../protocol/index.js';
import { readChunks } from './fetch.js';

/** The global `fetch`, or one with a proxy or private certificates. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** An answer this size or larger is not one of an authorization server. */
const MAX_BYTES = 262_144;

/** Asks for JSON: bounded in time and size, and never led elsewhere by a redirect. Rejects on anything but 200. */
export async function fetchJson(fetch: Fetch, url: string, init: Bounded): Promise<Json> {
  return (await fetchCacheable(fetch, url, init)).value;
}

type Bounded = RequestInit & { timeoutMs: number; maxBytes?: number };

/** {@link fetchJson}, with the `max-age` of the answer (RFC 9111 section 5.2.2.1) when it has one. */
export async function fetchCacheable(
  fetch: Fetch,
  url: string,
  init: Bounded,
): Promise<Readonly<{ value: Json; maxAge: Seconds | undefined }>> {
  const { timeoutMs, maxBytes, signal, ...rest } = init;
  const bounds = [AbortSignal.timeout(timeoutMs), ...(signal ? [signal] : [])];
  const response = await fetch(url, { ...rest, redirect: 'error', signal: AbortSignal.any(bounds) });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`${new URL(url).origin} answered ${response.status}`);
  }
  const parsed = parseStrict(await readText(response, maxBytes));
  if (!parsed.ok) throw new Error(`${new URL(url).origin} answered with ${parsed.error}`);
  const [, maxAge] = /(?:^|[\s,])max-age=(\d{1,9})(?:$|[\s,])/i.exec(response.headers.get('cache-control') ?? '') ?? [];
  return { value: parsed.value, maxAge: maxAge === undefined ? undefined : Number(maxAge) };
}

/** What somebody answered to a POST. `value` is undefined for what is no JSON. */
export type Posted = Readonly<{ status: number; retryAfter: string | undefined; value: Json | undefined }>;

/** POSTs, bounded like {@link fetchJson}, and says what was answered, whatever the status. */
export async function postJson(fetch: Fetch, url: string, { timeoutMs, ...init }: Bounded): Promise<Posted> {
  const signal = AbortSignal.timeout(timeoutMs);
  const response = await fetch(url, { ...init, method: 'POST', redirect: 'error', signal });
  const parsed = parseStrict(await readText(response));
  const retryAfter = response.headers.get('retry-after') ?? undefined;
  return { status: response.status, retryAfter, value: parsed.ok ? parsed.value : undefined };
}

async function readText(response: Response, limit = MAX_BYTES): Promise<string> {
  const text = response.body === null ? '' : await readChunks(response.body, limit);
  if (text === undefined) throw new Error('the answer is too large or not UTF-8');
  return text;
}
