import { hkdfSync } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { z } from 'zod';
import { err, Fault, ok, randomText, type Result } from '../base/index.js';
import { fieldProblem, plainProblem, type Problem, PROBLEMS } from '../http/index.js';
import { sha256 } from '../protocol/index.js';
import { type EncryptionKeys, seal, unseal } from '../token/index.js';
import { ADMINISTRATOR } from './change.js';
import type { Answer } from './operation.js';

/** The requests of the last 24 hours that came with an idempotency key, in every process on one database. */
export interface IdempotencyStore {
  /** Begins the request unless another one holds this key. A request that never ended may be begun again after a minute. */
  begin(begun: Begun): Promise<Beginning>;
  /** Keeps the answer for as long as the key; does nothing when somebody else has begun the request again. */
  keep(begun: Begun, answer: Uint8Array): Promise<void>;
  forget(begun: Begun): Promise<void>;
}
/** `key` and `request` are hashes; `holder` is one attempt. */
export type Begun = Readonly<{ key: string; request: string; holder: string }>;
export type Beginning =
  Readonly<{ state: 'begun' | 'in_use' | 'reused' | 'too_many' }> | Readonly<{ state: 'answered'; answer: Uint8Array }>;

export type IdempotencyDeps = Readonly<{ idempotency: IdempotencyStore; encryptionKeys: EncryptionKeys }>;

/** `header` is the Idempotency-Key as it was sent; `request` is everything that makes it the same request as another. */
type Asked = Readonly<{ header: string; request: string; run: () => Promise<Result<Answer, Problem>> }>;
export type Answered = Readonly<{ answer: Result<Answer, Problem>; isReplay: boolean }>;

/**
 * Runs the request, or answers again what it was answered before (draft-ietf-httpapi-idempotency-key-header). Refusals
 * are kept as well; what is thrown is not, because it is not known how far it came, and every operation may be run again.
 */
export async function answerOnce({ header, request, run }: Asked, deps: IdempotencyDeps): Promise<Answered> {
  const key = keyOf(header);
  if (key === undefined) return first(err(fieldProblem([{ param: 'Idempotency-Key', detail: FORM }])));
  const begun = { key: sha256(`${ADMINISTRATOR} ${key}`), request: sha256(request), holder: randomText(16) };
  const beginning = await deps.idempotency.begin(begun);
  if (beginning.state === 'answered') return { answer: await open(beginning.answer, key, deps), isReplay: true };
  if (beginning.state !== 'begun') return first(err(plainProblem(CODES[beginning.state])));
  return first(await runAndKeep(begun, { key, run }, deps));
}

const first = (answer: Result<Answer, Problem>): Answered => ({ answer, isReplay: false });

const CODES = {
  in_use: 'idempotency_key_in_use',
  reused: 'idempotency_key_reused',
  too_many: 'too_many_idempotency_keys',
} as const;

const FORM = 'must be one string of 1 to 255 printable ASCII characters in quotes, or a word such as a UUID';

/** The draft has a quoted string (RFC 9651 section 3.3.3); a bare word is what most clients send, and means the same. */
function keyOf(header: string): string | undefined {
  const [, quoted] = /^"((?:[ !#-[\]-~]|\\["\\]){1,255})"$/.exec(header) ?? [];
  if (quoted !== undefined) return quoted.replaceAll(/\\(.)/g, '$1');
  return /^[\w.:~+/=-]{1,255}$/.test(header) ? header : undefined;
}

async function runAndKeep(
  begun: Begun,
  { key, run }: Readonly<{ key: string; run: Asked['run'] }>,
  { idempotency, encryptionKeys }: IdempotencyDeps,
): Promise<Result<Answer, Problem>> {
  try {
    const answer = await run();
    // The answer is true whether or not it can be kept.
    await Promise.allSettled([keepSealed(begun, await sealed(answer, key, encryptionKeys), idempotency)]);
    return answer;
  } catch (thrown) {
    await Promise.allSettled([idempotency.forget(begun)]);
    throw thrown;
  }
}

/** Only `apply` can answer more than this, and applying again changes nothing. */
const LARGEST = 1_048_576;

const keepSealed = (begun: Begun, answer: Uint8Array, idempotency: IdempotencyStore): Promise<void> =>
  answer.length > LARGEST ? idempotency.forget(begun) : idempotency.keep(begun, answer);

/**
 * An answer may hold a client secret that is shown once. It is sealed with a key made of ours, which the database has
 * not, and of the idempotency key, of which it has a hash: who reads the database learns nothing, and with our key still
 * needs the key of the one who asked.
 */
const boxOf = (encryptionKey: Uint8Array, key: string): Readonly<{ key: Uint8Array; context: string }> => ({
  key: new Uint8Array(hkdfSync('sha256', encryptionKey, key, 'writ idempotent answer', 32)),
  context: 'idempotent answer',
});

async function sealed(answer: Result<Answer, Problem>, key: string, [current]: EncryptionKeys): Promise<Uint8Array> {
  return seal(await promisify(gzip)(JSON.stringify(answer)), boxOf(current, key));
}

async function open(
  kept: Uint8Array,
  key: string,
  { encryptionKeys }: IdempotencyDeps,
): Promise<Result<Answer, Problem>> {
  for (const encryptionKey of encryptionKeys) {
    const plain = unseal(kept, boxOf(encryptionKey, key));
    if (plain !== undefined) return answerOf(JSON.parse((await promisify(gunzip)(plain)).toString('utf8')));
  }
  throw new Fault(
    'keys_unavailable',
    'A kept answer was sealed with an encryption key that is not configured any more.',
  );
}

function answerOf(kept: unknown): Result<Answer, Problem> {
  const { ok: isOk, value, error } = Kept.parse(kept);
  if (isOk && value !== undefined) return ok(value);
  if (!isOk && error !== undefined) return err(error);
  throw new Fault('internal', 'A kept answer is neither an answer nor a problem.');
}

const Code = z.custom<Problem['code']>((code) => typeof code === 'string' && Object.hasOwn(PROBLEMS, code));
const Kept = z.object({
  ok: z.boolean(),
  value: z
    .object({
      status: z.union([z.literal(200), z.literal(201), z.literal(204)]),
      body: z.record(z.string(), z.unknown()).exactOptional(),
      headers: z.record(z.string(), z.string()).exactOptional(),
    })
    .optional(),
  error: z
    .object({
      code: Code,
      detail: z.string(),
      fields: z.array(z.object({ param: z.string(), detail: z.string() })).exactOptional(),
    })
    .optional(),
});
