import { z } from 'zod';
import type { Seconds } from '../../base/index.js';
import { importClientKey, KEY_ROTATION_PATH, keyRotation, type PrivateJwk } from '../../protocol/index.js';
import { AgentError } from './errors.js';
import { requestJson } from './http.js';
import { type AgentOptions, readOptions } from './options.js';
import { refusal } from './response.js';

/** What took which place, by RFC 7638 thumbprint. */
export type Rotated = Readonly<{
  key: string;
  oldKey: string;
  /** Seconds since 1970: from then on the old key is refused. */
  oldKeyUntil: Seconds;
}>;

const Answer = z.object({ key: z.string(), old_key: z.string(), old_key_until: z.number().int() });

/**
 * Puts `newKey` in the place of `key` at the issuer, proved with both. Keep the new key before: where the answer is lost, the
 * same call again says what became of it. Does not give the new key to the other instances of the agent.
 */
export async function rotateKey(options: AgentOptions & Readonly<{ newKey: PrivateJwk }>): Promise<Rotated> {
  const { newKey, ...rest } = options;
  const { key, clientId, issuer, clock, fetch, timeoutMs } = readOptions(rest);
  const fresh = importClientKey(newKey);
  if (!fresh.ok) throw new TypeError(`rotateKey: newKey is no usable key: ${fresh.error}`);
  const rotation = keyRotation(key, fresh.value, { clientId, issuer, now: clock.now() });
  const answer = await requestJson(fetch, `${issuer}${KEY_ROTATION_PATH}`, {
    method: 'POST',
    headers: { accept: 'application/json' },
    body: new URLSearchParams({ rotation }),
    timeoutMs,
  });
  if (answer.status !== 200) throw refusal(answer);
  const read = Answer.safeParse(answer.body);
  if (!read.success) throw new AgentError('bad_answer', 'the answer to the rotation is malformed');
  return Object.freeze({
    key: read.data.key,
    oldKey: read.data.old_key,
    oldKeyUntil: read.data.old_key_until,
  });
}
