import { type Json, parseStrict } from '../../protocol/index.js';
import { AgentError } from './errors.js';

/** The global `fetch`, or one with a proxy or private certificates. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export type JsonAnswer = Readonly<{ status: number; headers: Headers; body: Json | undefined }>;

const MAX_BYTES = 262_144;

/** Bounded in time and size, and never led elsewhere by a redirect. A body that is no JSON reads as `undefined`; a caller who gives up
 * gets the reason of their signal. */
export async function requestJson(
  fetch: Fetch,
  url: string,
  init: RequestInit & { timeoutMs: number },
): Promise<JsonAnswer> {
  const { timeoutMs, signal, ...rest } = init;
  const late = AbortSignal.timeout(timeoutMs);
  try {
    const bounds = { redirect: 'error', signal: signal ? AbortSignal.any([signal, late]) : late } as const;
    const response = await fetch(url, { ...rest, ...bounds });
    const parsed = parseStrict(await readText(response));
    return { status: response.status, headers: response.headers, body: parsed.ok ? parsed.value : undefined };
  } catch (cause) {
    signal?.throwIfAborted();
    throw cause instanceof AgentError
      ? cause
      : new AgentError('unreachable', `no answer from ${new URL(url).origin}`, { cause });
  }
}

async function readText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  const stream: AsyncIterable<Uint8Array> | Uint8Array[] = response.body ?? [];
  for await (const chunk of stream) {
    size += chunk.byteLength;
    if (size > MAX_BYTES) throw new AgentError('bad_answer', 'the answer is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
