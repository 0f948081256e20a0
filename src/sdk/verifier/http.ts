import { type Json, parseStrict } from '../../protocol/index.js';
import { readChunks } from './fetch.js';

/** The global `fetch`, or one with a proxy or private certificates. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** An answer this size or larger is not one of an authorization server. */
const MAX_BYTES = 262_144;

/** Asks for JSON: bounded in time and size, and never led elsewhere by a redirect. Rejects on anything but 200. */
export async function fetchJson(fetch: Fetch, url: string, init: RequestInit & { timeoutMs: number }): Promise<Json> {
  const { timeoutMs, ...rest } = init;
  const response = await fetch(url, { ...rest, redirect: 'error', signal: AbortSignal.timeout(timeoutMs) });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`${new URL(url).origin} answered ${response.status}`);
  }
  const parsed = parseStrict(await readText(response));
  if (!parsed.ok) throw new Error(`${new URL(url).origin} answered with ${parsed.error}`);
  return parsed.value;
}

async function readText(response: Response): Promise<string> {
  const text = response.body === null ? '' : await readChunks(response.body, MAX_BYTES);
  if (text === undefined) throw new Error('the answer is too large or not UTF-8');
  return text;
}
