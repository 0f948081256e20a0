/**
 * $1 holder, $2 milliseconds of lease. A lease is renewed in its second half; somebody else's only when it is over. What is
 * answered is the tree as it was before: who takes a lease that another took meanwhile learns so from {@link APPEND}.
 */
export const LOOK = `
WITH held AS (
  UPDATE log_tree SET holder = $1, held_until = clock_timestamp() + $2::int * interval '1 millisecond'
  WHERE id = 1 AND CASE WHEN holder = $1 THEN held_until < clock_timestamp() + $2::int * interval '0.5 milliseconds'
    ELSE coalesce(held_until < clock_timestamp(), true) END
  RETURNING id
), oldest AS (
  SELECT since FROM log_pending ORDER BY leaf_id LIMIT 1
)
SELECT t.size::text AS size, c.note, t.halted, t.recovery,
  coalesce(t.holder = $1, false) OR EXISTS (SELECT 1 FROM held) AS is_held,
  (SELECT greatest(extract(epoch FROM clock_timestamp() - since), 0)::float8 FROM oldest) AS lag
FROM log_tree t LEFT JOIN log_checkpoint c ON c.size = t.size WHERE t.id = 1`;

/**
 * $1 how many. Rows that another statement is at are left for the next time. The order is that of the ids among what is there:
 * a row with a lower id that is committed later comes later.
 */
export const WAITING = `
WITH picked AS MATERIALIZED (
  SELECT leaf_id FROM log_pending ORDER BY leaf_id LIMIT $1::int FOR UPDATE SKIP LOCKED
), read AS MATERIALIZED (
  SELECT p.leaf_id, l.leaf_hash, coalesce(l.leaf_hash = sha256('\\x00'::bytea || l.leaf), false) AS is_whole
  FROM picked p LEFT JOIN log_leaf l ON l.id = p.leaf_id
)
SELECT coalesce(string_agg(leaf_id::text, ' ' ORDER BY leaf_id), '') AS ids,
  coalesce(string_agg(leaf_hash, ''::bytea ORDER BY leaf_id), ''::bytea) AS hashes,
  coalesce(string_agg(leaf_id::text, ' ' ORDER BY leaf_id) FILTER (WHERE NOT is_whole), '') AS broken
FROM read`;

/**
 * The one statement that lets the tree grow.
 *
 * $1 holder, $2 the size that it grows from, $3 ids of the leaves in order, joined by spaces, $4 their hashes, one after
 * the other, $5 how many they are, $6 and $7 levels and indexes of tiles, $8 their hashes, $9 where each of them begins,
 * and $10 how long it is, $11 the checkpoint of the new size
 *
 * INVARIANT: of two holders that want to append to one size, the second waits for the row of the first, finds another
 * size, and changes nothing. Leaves that are not all waiting any more divide by zero, which undoes all of it.
 */
export const APPEND = `
WITH tree AS (
  UPDATE log_tree SET size = $2::bigint + $5::int WHERE id = 1 AND size = $2::bigint AND holder = $1 AND halted IS NULL RETURNING size
), wanted AS MATERIALIZED (
  SELECT id::bigint AS leaf_id, n FROM unnest(string_to_array($3::text, ' ')) WITH ORDINALITY AS u(id, n), tree
), moved AS (
  DELETE FROM log_pending USING wanted WHERE log_pending.leaf_id = wanted.leaf_id RETURNING log_pending.leaf_id
), entry AS (
  INSERT INTO log_entry (index, leaf_id, leaf_hash)
  SELECT $2::bigint + n - 1, leaf_id, substring($4::bytea FROM (n::int - 1) * 32 + 1 FOR 32) FROM wanted
), tile AS (
  INSERT INTO log_tile (level, index, hashes)
  SELECT level, index, substring($8::bytea FROM start + 1 FOR length)
  FROM unnest($6::smallint[], $7::bigint[], $9::int[], $10::int[]) AS u(level, index, start, length), tree
  ON CONFLICT (level, index) DO UPDATE SET hashes = EXCLUDED.hashes
), checkpoint AS (
  INSERT INTO log_checkpoint (size, note, at) SELECT size, $11, clock_timestamp() FROM tree
  ON CONFLICT (size) DO UPDATE SET note = EXCLUDED.note, at = EXCLUDED.at
)
SELECT (SELECT count(*) FROM tree)::int
  / CASE WHEN NOT EXISTS (SELECT 1 FROM tree) OR (SELECT count(*) FROM moved) = $5::int THEN 1 ELSE 0 END AS appended`;

/**
 * $1 the size, $2 how many, $3 before which entry a recovery may have lost leaves. Retention never comes so far. A leaf that is
 * gone, or whose bytes are others, makes `is_whole` false.
 */
export const TAIL = `
SELECT (SELECT coalesce(max(index) + 1, 0) FROM log_entry)::text AS entries, count(*)::int AS found,
  coalesce(string_agg(e.leaf_hash, ''::bytea ORDER BY e.index), ''::bytea) AS hashes,
  coalesce(bool_and((e.leaf_id IS NULL AND e.index < $3::bigint) OR coalesce(e.leaf_hash = sha256('\\x00'::bytea || l.leaf), false)), true) AS is_whole
FROM log_entry e LEFT JOIN log_leaf l ON l.id = e.leaf_id
WHERE e.index >= $1::bigint - $2::int AND e.index < $1::bigint`;

/**
 * $1 why, $2 the size of the tree that was looked at, $3 its recovery. A tree that grew or was recovered meanwhile is another
 * one, of which nothing was said.
 */
export const HALT = `
UPDATE log_tree SET halted = coalesce(halted, $1)
WHERE id = 1 AND size = $2::bigint AND recovery IS NOT DISTINCT FROM $3::text RETURNING halted`;

export const RELEASE = `UPDATE log_tree SET holder = NULL, held_until = NULL WHERE id = 1 AND holder = $1`;

/** Whether an entry `e` is where retention has been. */
export const IS_PRUNED = 'e.index < (SELECT pruned FROM log_retention WHERE id = 1)';

/** The records of what retention removed, the newest two: the last may only say what it will. */
export const RETENTION_RECORDS = `
SELECT e.index::text AS index FROM log_retention r JOIN log_entry e ON e.leaf_hash IN (r.leaf_hash, r.previous_hash)
WHERE r.id = 1 ORDER BY e.index`;

/** $1 levels, $2 indexes. One row for each, in order. */
export const TILES = `
SELECT t.hashes FROM unnest($1::smallint[], $2::bigint[]) WITH ORDINALITY AS u(level, index, n)
LEFT JOIN log_tile t ON t.level = u.level AND t.index = u.index ORDER BY u.n`;

/** Everything that witnesses said of a checkpoint stands below it. */
const CHECKPOINT = `
SELECT c.size::text AS size, extract(epoch FROM c.at)::bigint::text AS at,
  c.note || coalesce((SELECT string_agg(line || E'\\n', '' ORDER BY name) FROM log_cosignature s WHERE s.size = c.size), '') AS note
FROM log_checkpoint c`;

export const LATEST = `${CHECKPOINT} JOIN log_tree t ON t.size = c.size WHERE t.id = 1`;

export const CHECKPOINT_FROM = `${CHECKPOINT} WHERE c.size >= $1::bigint ORDER BY c.size LIMIT 1`;

/** $1 start, $2 end, $3 how many. What has no leaf and was never pruned is lost. */
export const ENTRIES = `
SELECT e.index::text AS index, e.leaf_hash, l.leaf, e.leaf_id IS NULL AND ${IS_PRUNED} AS is_pruned
FROM log_entry e LEFT JOIN log_leaf l ON l.id = e.leaf_id
WHERE e.index >= $1::bigint AND e.index < $2::bigint ORDER BY e.index LIMIT $3::int`;

export const INDEX_OF = `SELECT index::text AS index FROM log_entry WHERE leaf_hash = $1::bytea ORDER BY index LIMIT 1`;

export const VERIFIER_KEYS = `SELECT vkey, from_size::text AS from_size, leaf_hash FROM log_verifier_key ORDER BY from_size, since`;

/** $1 the verifier key, $2 the size of the tree, $3 the hash of the record, or null. */
export const KEEP_VERIFIER_KEY = `
INSERT INTO log_verifier_key (vkey, from_size, leaf_hash) VALUES ($1, $2::bigint, $3::bytea) ON CONFLICT (vkey) DO NOTHING`;

/** Announcements take turns, and what is announced last is the key of now. */
export const LAST_VERIFIER_KEY = `
SELECT (SELECT vkey FROM log_verifier_key ORDER BY from_size DESC, since DESC LIMIT 1) AS vkey
FROM (SELECT id FROM log_tree WHERE id = 1 FOR UPDATE) AS turn`;
