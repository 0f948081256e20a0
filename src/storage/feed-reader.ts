import { z } from 'zod';
import type { FeedReader, FeedRead } from '../signals/index.js';
import { ENTRY_LIFE } from '../protocol/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';

/** The numbered revocations, for the feed. */
export function openFeedReader({ rows }: Database): FeedReader {
  return {
    read: async (after, limit) =>
      readOf(Rows.parse(await guarded(() => rows(READ, [after ?? null, limit + 1]))), limit),
  };
}

/**
 * One statement, so one moment: every number up to `highest` is seen. `now()` is taken before the statement's snapshot,
 * so whatever was committed before `at` is in it. Only what is younger than an entry's life is looked at, however much
 * there is before that, because its numbers are the highest.
 */
const READ = `
  WITH state AS MATERIALIZED (
    SELECT floor(extract(epoch FROM now()) * 1000)::text AS at, (SELECT coalesce(max(number), 0) FROM revocation)::text AS highest
  ), first AS MATERIALIZED (
    SELECT number FROM revocation WHERE revoked_at > now() - interval '${ENTRY_LIFE} seconds'
    ORDER BY revoked_at, number LIMIT 1
  )
  SELECT state.at, state.highest, r.target, r.number::text AS number,
    (ceil(extract(epoch FROM r.revoked_at)) + ${ENTRY_LIFE})::text AS exp
  FROM state LEFT JOIN LATERAL (
    SELECT target, number, revoked_at FROM revocation
    WHERE number > $1::bigint AND number >= (SELECT number FROM first) ORDER BY number LIMIT $2::int
  ) r ON true ORDER BY r.number`;

const Rows = z
  .array(
    z.object({
      at: z.coerce.number(),
      highest: z.coerce.number(),
      target: z.string().nullable(),
      number: z.coerce.number(),
      exp: z.coerce.number(),
    }),
  )
  .min(1);

function readOf(rows: z.infer<typeof Rows>, limit: number): FeedRead {
  const entries = rows.flatMap(({ target, number, exp }) => (target === null ? [] : [{ target, number, exp }]));
  const { at = 0, highest = 0 } = rows[0] ?? {};
  return { at, highest, entries: entries.slice(0, limit), hasMore: entries.length > limit };
}
