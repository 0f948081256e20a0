import { z } from 'zod';
import type { Database } from './database.js';
import { guarded } from './outage.js';

const HOUR = 3_600;
const DAY = 24 * HOUR;
/** All of the last day are kept, then one of each hour, and after a month one of each day. */
const PASSES = [
  { name: 'checkpoints-hourly', after: DAY, each: HOUR },
  { name: 'checkpoints-daily', after: 30 * DAY, each: DAY },
] as const;
const BATCH = 1_000;

/** Removes checkpoints of which there are more than anybody needs, some at a time. Of several processes one gets on. */
export function thinCheckpoints(database: Pick<Database, 'rows'>): () => Promise<'more' | 'done'> {
  return async () => {
    let isMore = false;
    for (const { name, after, each } of PASSES) {
      const [done] = Thinned.parse(await guarded(() => database.rows(THIN, [name, after, each, BATCH])));
      isMore ||= done?.seen === BATCH && done.moved;
    }
    return isMore ? 'more' : 'done';
  };
}

/**
 * $1 whose place, $2 older than so many seconds, $3 seconds of which one stays, $4 how many. Of each time the one stays that
 * most witnesses cosigned, and of those the newest; and always the first one that covers the record of a key, since the keys
 * on both sides of the change signed it, and the newest of all. Where it ends it begins again: more of that time may follow.
 */
const THIN = `
WITH place AS MATERIALIZED (
  SELECT coalesce((SELECT index FROM log_consumer WHERE name = $1), 0) AS index
), seen AS MATERIALIZED (
  SELECT c.size, floor(extract(epoch FROM c.at) / $3::int) AS slot FROM log_checkpoint c, place
  WHERE c.size >= place.index ORDER BY c.size LIMIT $4::int
), ranked AS MATERIALIZED (
  SELECT size, row_number() OVER (PARTITION BY slot ORDER BY
    (SELECT count(*) FROM log_cosignature s WHERE s.size = seen.size) DESC, size DESC) AS rank
  FROM seen WHERE slot < floor(extract(epoch FROM clock_timestamp() - make_interval(secs => $2::int)) / $3::int)
    AND size < (SELECT size FROM log_tree WHERE id = 1)
), kept AS MATERIALIZED (
  SELECT (SELECT min(c.size) FROM log_checkpoint c WHERE c.size > e.index) AS size
  FROM log_verifier_key k JOIN log_entry e ON e.leaf_hash = k.leaf_hash
), moved AS (
  INSERT INTO log_consumer (name, index)
  SELECT $1, last.size FROM (SELECT max(size) AS size FROM ranked WHERE rank = 1) AS last WHERE last.size IS NOT NULL
  ON CONFLICT (name) DO UPDATE SET index = EXCLUDED.index WHERE log_consumer.index = (SELECT index FROM place)
  RETURNING index
), thinned AS (
  DELETE FROM log_checkpoint c USING ranked, moved
  WHERE c.size = ranked.size AND ranked.rank > 1 AND c.size NOT IN (SELECT kept.size FROM kept WHERE kept.size IS NOT NULL)
  RETURNING c.size
), unsigned AS (
  DELETE FROM log_cosignature s USING thinned WHERE s.size = thinned.size
)
SELECT (SELECT count(*) FROM seen)::int AS seen,
  EXISTS (SELECT 1 FROM moved, place WHERE moved.index > place.index) AS moved`;

const Thinned = z.array(z.object({ seen: z.number(), moved: z.boolean() }));
