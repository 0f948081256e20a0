import { setTimeout as wait } from 'node:timers/promises';
import { clientAssertion, dpopProof, JWT_BEARER_ASSERTION } from '../../protocol/index.js';
import { unlessAborted } from './abort.js';
import { type JsonAnswer, requestJson } from './http.js';
import type { Nonces } from './nonces.js';
import type { Settings } from './options.js';

type Asking = Readonly<{ url: string; form: Record<string, string>; signal: AbortSignal | undefined }>;

/** One form to the issuer, with the agent's own authentication. */
export type Post = (asking: Asking) => Promise<JsonAnswer>;

/** See {@link Post}. */
export const createPost =
  (settings: Settings, nonces: Nonces): Post =>
  (asking) =>
    sendWithNonce(asking, settings, nonces);

/** Unless the caller gives up, whose reason is then thrown. */
export async function pause(seconds: number, signal: AbortSignal | undefined): Promise<void> {
  const over = wait(seconds * 1_000, undefined, signal && { signal });
  await unlessAborted(
    over.catch(() => undefined),
    signal,
  );
}

/** RFC 9449 section 8: the server may ask for its nonce, once. */
async function sendWithNonce(asking: Asking, settings: Settings, nonces: Nonces): Promise<JsonAnswer> {
  const first = await send(asking, settings, nonces);
  const learned = nonces.learn(asking.url, first.headers);
  return settings.dpopKey && first.status === 400 && learned ? send(asking, settings, nonces) : first;
}

function send({ url, form, signal }: Asking, settings: Settings, nonces: Nonces): Promise<JsonAnswer> {
  const { key, clientId, issuer, clock, dpopKey, fetch, timeoutMs } = settings;
  const now = clock.now();
  const assertion = clientAssertion(key, { clientId, issuer, now });
  const body = new URLSearchParams({
    ...form,
    client_assertion_type: JWT_BEARER_ASSERTION,
    client_assertion: assertion,
  });
  const proof = dpopKey && { dpop: dpopProof(dpopKey, { method: 'POST', url, now, nonce: nonces.for(url) }) };
  return requestJson(fetch, url, {
    method: 'POST',
    headers: { accept: 'application/json', ...proof },
    body,
    timeoutMs,
    ...(signal && { signal }),
  });
}
