import { FEED_TYP, type FeedBatch, type FeedEntry, feedId } from '../protocol/index.js';
import type { SigningKey } from '../token/index.js';
import type { FeedRead } from './ports.js';

/** A batch as it travels, with what its senders need to know of it. `frame` is the server-sent event of it, made once. */
export type SignedBatch = Readonly<
  Pick<FeedBatch, 'from' | 'to' | 'at'> & { hasMore: boolean; jws: string; frame: Buffer }
>;

/** What was read after `from`, as a batch: all up to the highest number, or up to the last entry where there is more. */
export function batchOf(issuer: string, from: number, { at, highest, entries, hasMore }: FeedRead): FeedBatch {
  const last = entries.at(-1)?.number ?? from;
  return {
    iss: issuer,
    at,
    from,
    to: hasMore ? last : Math.max(from, highest),
    entries: entries.map(({ target, number, exp }): FeedEntry => [feedId(target), number, exp]),
    ...(hasMore ? { more: true } : {}),
  };
}

/** RFC 7515 section 3.1, under a type of its own, so that no batch is ever a token (RFC 8725 section 3.11). */
export function signBatch(batch: FeedBatch, key: SigningKey): SignedBatch {
  const input = `${encode({ alg: key.alg, kid: key.kid, typ: FEED_TYP })}.${encode(batch)}`;
  const jws = `${input}.${Buffer.from(key.sign(Buffer.from(input, 'ascii'))).toString('base64url')}`;
  const frame = Buffer.from(`id: ${String(batch.to)}\ndata: ${jws}\n\n`, 'ascii');
  return { from: batch.from, to: batch.to, at: batch.at, hasMore: batch.more === true, jws, frame };
}

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
