import { hash } from 'node:crypto';
import { z } from 'zod';
import { err, ok, type Result } from '../base/index.js';
import { sha256 } from './canonical.js';
import {
  clientOf,
  flattenAct,
  Identifier,
  Instant,
  type TransactionalAccessToken,
  type TransactionToken,
} from './claims.js';
import { type Jws, type JwsFlaw, parseJws } from './jws.js';

/** The feed's path below the issuer. */
export const FEED_PATH = '/feed/v1';

/** JOSE `typ` of a batch: never a token, and no token is ever a batch (RFC 8725 section 3.11). */
export const FEED_TYP = 'writ-feed+jwt';

/** A heartbeat or a batch is written at least this often, for as long as the database can be read. */
export const HEARTBEAT_MS = 250;

/** What one batch holds at most; a longer chain is several batches. */
export const MAX_BATCH_ENTRIES = 1_000;

/** {@link MAX_BATCH_ENTRIES} of the longest entries in base64url, with room for issuer, header and signature. */
export const MAX_BATCH_LENGTH = 131_072;

/**
 * How long an entry is kept, in seconds: the longest life of a token (300), and 30 for each of what adds to it. The clock of
 * the process that made the token may be ahead of the database's; that of a verifier which begins from a snapshot behind it;
 * the verifier forgives an `exp` that is over; and a transaction takes time, in whole seconds.
 */
export const ENTRY_LIFE = 300 + 4 * 30;

/**
 * What can be revoked, as both ends spell it. A verifier makes those that a token that it was shown could be named by; the
 * rest are none of its business, and it could not guess them.
 */
export const feedTarget = {
  token: (jti: string): string => `token:${sha256(jti)}`,
  transaction: (txn: string): string => `txn:${txn}`,
  session: (id: string): string => `session:${id}`,
  person: (id: string): string => `person:${id}`,
  /** An instance (`<client id>/<name>`) is cut off with its client. */
  agent: (actor: string): string => `agent:${clientOf(actor)}`,
  server: (resource: string): string => `server:${resource}`,
  tool: (resource: string, name: string): string => `tool:${resource}#${name}`,
  key: (kid: string): string => `key:${kid}`,
} as const;

/**
 * Everything that ends a token when it is revoked with a number above the token's `writ.seen`. The tools are not in it: a
 * call is of one, and ends by that one alone. Nor is the key that signed it: who stole one writes any `writ.seen` with it,
 * so a key that was withdrawn ends whatever it signed.
 */
export function targetsOf(claims: TransactionalAccessToken | TransactionToken): readonly string[] {
  const { iss, aud, sub, jti, txn, act, writ } = claims;
  const ours = flattenAct(act).filter((actor) => actor.iss === iss);
  const agents = [...('client_id' in claims ? [claims.client_id] : []), ...ours.map((actor) => actor.sub)];
  return [
    feedTarget.token(jti),
    feedTarget.transaction(txn),
    feedTarget.session(writ.session),
    feedTarget.person(sub),
    feedTarget.server(aud),
    ...new Set(agents.map(feedTarget.agent)),
  ];
}

/** What the feed has instead of a target: it tells nothing to who does not know the target already. */
export const feedId = (target: string): string =>
  hash('sha256', target, 'buffer').subarray(0, ID_BYTES).toString('base64url');

const ID_BYTES = 16;
const FeedNumber = z.number().int().nonnegative();

/** An id, the number of its revocation and when it may be forgotten. */
export const FeedEntry = z.tuple([z.string().regex(/^[\w-]{21}[AQgw]$/), FeedNumber, Instant]);
export type FeedEntry = z.infer<typeof FeedEntry>;

/**
 * What was revoked after `from` and up to `to`, as the database had it `at` (milliseconds of its clock). Without entries
 * and with `from` = `to` it is a heartbeat; with `more` there is more after `to`. Entries that may be forgotten are left
 * out, so a batch that starts at 0 is everything that counts.
 */
export const FeedBatch = z
  .strictObject({
    iss: Identifier,
    at: z.number().int().nonnegative(),
    from: FeedNumber,
    to: FeedNumber,
    entries: z.array(FeedEntry).max(MAX_BATCH_ENTRIES),
    more: z.literal(true).exactOptional(),
  })
  .refine(isInOrder, { error: 'entries must ascend, after `from` and up to `to`' });
export type FeedBatch = z.infer<typeof FeedBatch>;

function isInOrder({ from, to, entries }: Readonly<{ from: number; to: number; entries: FeedEntry[] }>): boolean {
  let last = from;
  for (const [, number] of entries) {
    if (number <= last) return false;
    last = number;
  }
  return last <= to;
}

/** The answer of the long poll and of the snapshot: batches as compact JWS, in order. */
export const FeedAnswer = z.strictObject({ batches: z.array(z.string().max(MAX_BATCH_LENGTH)).min(1).max(64) });
export type FeedAnswer = z.infer<typeof FeedAnswer>;

export type FeedFlaw = JwsFlaw | 'wrong_type' | 'wrong_algorithm' | 'not_a_batch' | 'wrong_issuer';

/** Takes a batch apart. Says nothing about its signature: see `verifySignature`. */
export function parseBatch(text: string, issuer: string): Result<Readonly<{ jws: Jws; batch: FeedBatch }>, FeedFlaw> {
  const jws = parseJws(text, MAX_BATCH_LENGTH);
  if (!jws.ok) return jws;
  if (jws.value.typ !== FEED_TYP) return err('wrong_type');
  if (jws.value.alg !== 'ES256') return err('wrong_algorithm');
  const batch = FeedBatch.safeParse(jws.value.payload);
  if (!batch.success) return err('not_a_batch');
  return batch.data.iss === issuer ? ok({ jws: jws.value, batch: batch.data }) : err('wrong_issuer');
}
