import { setTimeout as wait } from 'node:timers/promises';
import { clientAssertion, dpopProof, JWT_BEARER_ASSERTION } from '../../protocol/index.js';
import { unlessAborted } from './abort.js';
import { type JsonAnswer, requestJson } from './http.js';
import type { Discovery } from './issuer.js';
import type { Nonces } from './nonces.js';
import type { Settings } from './options.js';
import { type ExchangeRequest, toForm } from './request.js';
import { readTokenSet, retryAfterOf, type TokenSet } from './response.js';

/** RFC 8693. Waits and repeats when the issuer is busy and says for how long; a refusal is never repeated. `signal` ends it. */
export type Exchange = (request: ExchangeRequest, signal?: AbortSignal) => Promise<TokenSet>;

const MAX_TRIES = 3;

/** See {@link Exchange}. */
export function createExchange(settings: Settings, nonces: Nonces, discovery: Discovery): Exchange {
  return async (request, signal) => {
    const form = toForm(request);
    const { token_endpoint: url } = await unlessAborted(discovery(), signal);
    const now = settings.clock.now();
    const send = (): Promise<JsonAnswer> => sendWithNonce({ url, form, signal }, settings, nonces);
    const answer = await sendUntilHeard(send, settings, signal);
    return readTokenSet(answer, { now, dpop: settings.dpopKey !== undefined });
  };
}

async function sendUntilHeard(
  send: () => Promise<JsonAnswer>,
  { maxWaitSeconds }: Settings,
  signal: AbortSignal | undefined,
): Promise<JsonAnswer> {
  for (let tries = 1; ; tries++) {
    const answer = await send();
    const seconds = answer.status === 429 || answer.status === 503 ? retryAfterOf(answer.headers) : undefined;
    if (seconds === undefined || seconds > maxWaitSeconds || tries === MAX_TRIES) return answer;
    const over = wait(seconds * 1_000, undefined, signal && { signal });
    await unlessAborted(
      over.catch(() => undefined),
      signal,
    );
  }
}

/** RFC 9449 section 8: the server may ask for its nonce, once. */
async function sendWithNonce(asking: Asking, settings: Settings, nonces: Nonces): Promise<JsonAnswer> {
  const first = await send(asking, settings, nonces);
  const learned = nonces.learn(asking.url, first.headers);
  return settings.dpopKey && first.status === 400 && learned ? send(asking, settings, nonces) : first;
}

type Asking = Readonly<{ url: string; form: Record<string, string>; signal: AbortSignal | undefined }>;

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
