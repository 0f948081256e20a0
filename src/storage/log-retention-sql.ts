/** $1 seconds of notice. */
export const LOOK = `
SELECT pruned::text AS pruned, announced::text AS announced,
  coalesce(announced_at <= clock_timestamp() - make_interval(secs => $1::int)
    AND EXISTS (SELECT 1 FROM log_entry e WHERE e.leaf_hash = r.leaf_hash), false) AS is_due
FROM log_retention r WHERE id = 1`;

/**
 * $1 days, $2 who must have passed. Leaves are in the tree nearly in the order of their times, so the first of some that are
 * too young is where to stop; {@link PRUNE} looks at each.
 */
export const REACH = `
WITH cutoff AS MATERIALIZED (
  SELECT least(clock_timestamp() - make_interval(days => $1::int),
    (SELECT min(opened_at) FROM agent_session WHERE closed_at IS NULL)) AS at
), young AS MATERIALIZED (
  SELECT id FROM log_leaf WHERE log_leaf.at >= (SELECT cutoff.at FROM cutoff) ORDER BY log_leaf.at LIMIT 512
), passed AS (
  SELECT min(coalesce(c.index, 0)) AS index FROM unnest($2::text[]) AS u(name) LEFT JOIN log_consumer c ON c.name = u.name
)
SELECT (least(t.size, passed.index, (SELECT min(e.index) FROM log_entry e JOIN young ON young.id = e.leaf_id)) / 256 * 256)::text AS below,
  floor(extract(epoch FROM cutoff.at))::bigint::text AS older_than
FROM log_tree t, passed, cutoff WHERE t.id = 1 AND t.halted IS NULL`;

/** $1 what was announced before, $2 what is now, $3 the hash of the record, $4 older than when, $5 the record. */
export const ANNOUNCE = `
WITH announced AS (
  UPDATE log_retention SET announced = $2::bigint, previous_hash = leaf_hash, leaf_hash = $3::bytea,
    older_than = to_timestamp($4::bigint), announced_at = clock_timestamp()
  WHERE id = 1 AND announced = $1::bigint AND pruned = announced
    AND EXISTS (SELECT 1 FROM log_tree WHERE id = 1 AND halted IS NULL)
  RETURNING id
)
INSERT INTO log_leaf (leaf, leaf_hash, kind, lineage)
SELECT $5::bytea, $3::bytea, 'retention', ARRAY[]::text[] FROM announced RETURNING id::text AS id`;

/**
 * $1 the first entry of a tile, $2 days, $3 kinds that stay.
 *
 * INVARIANT: of two processes at one tile the second finds it pruned, and changes nothing. A leaf that is not what was
 * hashed, or is gone, is no leaf that grew old: its entry stays as it is, for auditors to find.
 */
export const PRUNE = `
WITH moved AS (
  UPDATE log_retention SET pruned = $1::bigint + 256
  WHERE id = 1 AND pruned = $1::bigint AND announced >= $1::bigint + 256
    AND EXISTS (SELECT 1 FROM log_tree WHERE id = 1 AND halted IS NULL)
    AND (SELECT count(*) FROM log_entry e WHERE e.index >= $1::bigint AND e.index < $1::bigint + 256) = 256
    AND NOT EXISTS (
      SELECT 1 FROM log_entry e JOIN log_leaf l ON l.id = e.leaf_id
      WHERE e.index >= $1::bigint AND e.index < $1::bigint + 256
        AND l.at >= clock_timestamp() - make_interval(days => $2::int))
  RETURNING id
), gone AS (
  DELETE FROM log_leaf l USING log_entry e, moved
  WHERE e.index >= $1::bigint AND e.index < $1::bigint + 256 AND l.id = e.leaf_id AND l.kind <> ALL($3::text[])
    AND l.leaf_hash = e.leaf_hash AND e.leaf_hash = sha256('\\x00'::bytea || l.leaf)
  RETURNING l.id, l.leaf_hash
), emptied AS (
  UPDATE log_entry e SET leaf_id = NULL FROM gone WHERE e.leaf_id = gone.id
), outcomes AS (
  DELETE FROM outcome o USING gone WHERE o.leaf_hash = gone.leaf_hash
), kept AS MATERIALIZED (
  SELECT string_agg(CASE WHEN gone.id IS NULL THEN '1' ELSE '0' END, '' ORDER BY e.index)::bit(256) AS bits
  FROM moved, log_entry e LEFT JOIN gone ON gone.id = e.leaf_id
  WHERE e.index >= $1::bigint AND e.index < $1::bigint + 256
), unposted AS (
  DELETE FROM log_posting p USING kept WHERE p.tile = $1::bigint / 256 AND p.bits & kept.bits = 0::bit(256)
), posted AS (
  UPDATE log_posting p SET bits = p.bits & kept.bits FROM kept
  WHERE p.tile = $1::bigint / 256 AND p.bits & kept.bits <> 0::bit(256) AND p.bits & kept.bits <> p.bits
), first AS (
  SELECT l.at FROM moved, log_entry e JOIN log_leaf l ON l.id = e.leaf_id
  WHERE e.index >= $1::bigint + 256 ORDER BY e.index LIMIT 1
), unfound AS (
  DELETE FROM log_finding WHERE number IN (
    SELECT f.number FROM log_finding f, first WHERE f.at < first.at ORDER BY f.at, f.number LIMIT 512)
)
SELECT (SELECT count(*) FROM moved)::int AS moved, (SELECT count(*) FROM gone)::int AS records`;

/** A local account is made by an invitation and by nothing else: whom it was taken from could not come again. */
const HAS_ACCOUNT = `(EXISTS (SELECT 1 FROM passkey k WHERE k.person_id = p.id)
    OR EXISTS (SELECT 1 FROM recovery_code c WHERE c.person_id = p.id)
    OR EXISTS (SELECT 1 FROM enrolment e WHERE e.person_id = p.id AND e.used_at IS NULL AND e.expires_at > clock_timestamp()))`;

/** $1 after whom, $2 days, $3 how many. Whom the log does not know, and who has not come for as long as it is kept. */
export const NOBODY = `
SELECT p.id, p.status = 'active' AND p.created_at < clock_timestamp() - make_interval(days => $2::int)
  AND NOT EXISTS (SELECT 1 FROM log_posting g WHERE g.key = 'person:' || p.id) AND NOT ${HAS_ACCOUNT} AS is_nobody
FROM person p WHERE p.id > $1 ORDER BY p.id LIMIT $3::int`;

/** $1 people, $2 days. Who is signed in, has consented to something or is acted for is somebody; so is who must not come in. */
export const FORGET = `
DELETE FROM person p WHERE p.id = ANY($1::text[]) AND p.status = 'active'
  AND p.created_at < clock_timestamp() - make_interval(days => $2::int)
  AND NOT EXISTS (SELECT 1 FROM log_posting g WHERE g.key = 'person:' || p.id)
  AND NOT ${HAS_ACCOUNT}
  AND NOT EXISTS (SELECT 1 FROM agent_session s WHERE s.person_id = p.id AND s.closed_at IS NULL)
  AND NOT EXISTS (SELECT 1 FROM engine_record r WHERE r.payload ->> 'accountId' = p.id)`;
