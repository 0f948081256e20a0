import { z } from 'zod';
import type { LogRecovery, LogSigner } from '../audit/index.js';
import type { Clock } from '../base/index.js';
import { type GrownTile, HASH_BYTES, Tree } from '../tlog/index.js';
import type { Database } from './database.js';
import { leafOf } from './records.js';
import { guarded } from './outage.js';

/** Why this process refuses a log that may not be halted. */
type Refusing = Readonly<{ why: () => string | undefined }>;

/**
 * Goes on with the entries that are there, up to the first gap: builds their tiles anew, signs the tree that they make, and
 * writes a record of it. Only while the log is halted, and so while nobody appends.
 */
export function openLogRecovery(
  database: Database,
  clock: Clock,
  { signer, why }: Refusing & Readonly<{ signer: LogSigner }>,
): LogRecovery {
  const rows = (sql: string, ...values: readonly unknown[]): Promise<readonly unknown[]> =>
    guarded(() => database.rows(sql, values));
  const rebuilt = async (): Promise<Tree> => {
    const tree = new Tree();
    for (;;) {
      const [run] = z.array(Run).parse(await rows(RUN, tree.size, STEP));
      const hashes = run?.hashes ?? Buffer.alloc(0);
      for (let at = 0; at < hashes.length; at += HASH_BYTES) tree.append(hashes.subarray(at, at + HASH_BYTES));
      await rows(TILES, ...columns(tree.takeGrown()));
      if (hashes.length < STEP * HASH_BYTES) return tree;
    }
  };
  return {
    recover: async (by, reason) => {
      const [state] = States.parse(await rows(HALTED, why() ?? null));
      if (state === undefined) return undefined;
      const tree = await rebuilt();
      const head = { size: tree.size, root: tree.root() };
      const last = signer.openRecovery(state.recovery ?? '');
      // A recovery counts only where it is newer than the one before, whatever this clock says.
      const at = Math.max(clock.now(), last.ok ? last.value.at + 1 : 0);
      const root = head.root.toString('base64');
      const facts = { what: 'log_recovered', halted: state.halted, had: state.size, size: head.size, root, by };
      const { leaf, leafHash } = leafOf({ kind: 'key', at, facts, decision: 'done', reason });
      const notes = [signer.signCheckpoint(head), signer.signRecovery({ ...head, at })];
      const values = [head.size, ...notes, state.halted, leaf, leafHash, signer.keys[0].text];
      const [done] = Done.parse(await rows(RECOVER, ...values));
      return done?.recovered === 1 ? { size: head.size, had: state.size, halted: state.halted } : undefined;
    },
  };
}

const STEP = 8_192;

/** $1 why it shall be halted although it is not, or null. No row: it is not, and nobody wants it to be. */
const HALTED = `
UPDATE log_tree SET halted = coalesce(halted, $1) WHERE id = 1 AND coalesce(halted, $1) IS NOT NULL
RETURNING halted, size::text AS size, recovery`;

function columns(tiles: readonly GrownTile[]): readonly unknown[] {
  const lengths = tiles.map(({ hashes }) => hashes.length);
  let end = 0;
  const starts = lengths.map((length) => (end += length) - length);
  const hashes = Buffer.concat(tiles.map((tile) => tile.hashes));
  return [tiles.map(({ level }) => level), tiles.map(({ index }) => index), hashes, starts, lengths];
}

/** $1 from which entry, $2 how many at most: those without a gap before them. */
const RUN = `
SELECT coalesce(string_agg(leaf_hash, ''::bytea ORDER BY index), ''::bytea) AS hashes FROM (
  SELECT index, leaf_hash, index - $1::bigint = row_number() OVER (ORDER BY index) - 1 AS follows
  FROM log_entry WHERE index >= $1::bigint AND index < $1::bigint + $2::int
) AS run WHERE follows AND length(leaf_hash) = 32`;

const TILES = `
INSERT INTO log_tile (level, index, hashes)
SELECT level, index, substring($3::bytea FROM start + 1 FOR length)
FROM unnest($1::smallint[], $2::bigint[], $4::int[], $5::int[]) AS u(level, index, start, length)
ON CONFLICT (level, index) DO UPDATE SET hashes = EXCLUDED.hashes WHERE log_tile.hashes <> EXCLUDED.hashes`;

/**
 * $1 size, $2 checkpoint, $3 recovery, $4 why it was halted, $5 the record, $6 its hash, $7 the verifier
 * key: one that the log does not know yet is known from here on. Every leaf that is not in the tree goes back into
 * the queue; what waits there without its bytes leaves it, and an entry at the end without its bytes loses its leaf. What
 * follows the tree, and what witnesses said of it, ends where it ends: other entries come there.
 */
const RECOVER = `
WITH tree AS (
  UPDATE log_tree SET size = $1::bigint, halted = NULL, recovery = $3, holder = NULL, held_until = NULL
  WHERE id = 1 AND halted = $4 RETURNING size
), beyond AS (
  DELETE FROM log_entry USING tree WHERE index >= $1::bigint
), tiles AS (
  DELETE FROM log_tile USING tree WHERE index::numeric * power(256::numeric, level + 1) >= $1::bigint
    AND NOT (level = 0 AND index * 256 < $1::bigint)
), notes AS (
  DELETE FROM log_checkpoint USING tree WHERE log_checkpoint.size > $1::bigint
), note AS (
  INSERT INTO log_checkpoint (size, note) SELECT size, $2::text FROM tree
  ON CONFLICT (size) DO UPDATE SET note = EXCLUDED.note, at = clock_timestamp()
), broken AS (
  DELETE FROM log_pending p USING tree WHERE NOT EXISTS (
    SELECT 1 FROM log_leaf l WHERE l.id = p.leaf_id AND l.leaf_hash = sha256('\\x00'::bytea || l.leaf))
), lost AS (
  UPDATE log_entry e SET leaf_id = NULL FROM tree
  WHERE e.index >= $1::bigint - 256 AND e.index < $1::bigint AND e.leaf_id IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM log_leaf l WHERE l.id = e.leaf_id AND e.leaf_hash = sha256('\\x00'::bytea || l.leaf))
), again AS (
  INSERT INTO log_pending (leaf_id) SELECT l.id FROM tree, log_leaf l
  WHERE NOT EXISTS (SELECT 1 FROM log_entry e WHERE e.leaf_id = l.id AND e.index < $1::bigint)
    AND l.leaf_hash = sha256('\\x00'::bytea || l.leaf) ON CONFLICT DO NOTHING
), followers AS (
  UPDATE log_consumer SET index = $1::bigint FROM tree WHERE log_consumer.index > $1::bigint
), retention AS (
  UPDATE log_retention SET pruned = least(pruned, $1::bigint / 256 * 256), announced = least(announced, $1::bigint / 256 * 256)
  FROM tree WHERE announced > $1::bigint / 256 * 256
), kept AS (
  SELECT $1::bigint / 256 AS tile, (~ 0::bit(256)) << (256 - ($1::bigint % 256)::int) AS bits FROM tree
), unposted AS (
  DELETE FROM log_posting p USING kept
  WHERE p.tile > kept.tile OR (p.tile = kept.tile AND p.bits & kept.bits = 0::bit(256))
), posted AS (
  UPDATE log_posting p SET bits = p.bits & kept.bits FROM kept
  WHERE p.tile = kept.tile AND p.bits & kept.bits <> 0::bit(256) AND p.bits & kept.bits <> p.bits
), unwitnessed AS (
  DELETE FROM log_cosignature s USING tree WHERE s.size > $1::bigint OR (s.size = $1::bigint AND NOT EXISTS (
    SELECT 1 FROM log_checkpoint c
    WHERE c.size = s.size AND split_part(c.note, E'\\n\\n', 1) = split_part($2::text, E'\\n\\n', 1)))
), verifier AS (
  INSERT INTO log_verifier_key (vkey, from_size) SELECT $7, size FROM tree ON CONFLICT (vkey) DO NOTHING
), record AS (
  INSERT INTO log_leaf (leaf, leaf_hash, kind, lineage) SELECT $5::bytea, $6::bytea, 'key', ARRAY[]::text[] FROM tree
)
SELECT count(*)::int AS recovered FROM tree`;

const Run = z.object({ hashes: z.instanceof(Uint8Array).transform((bytes) => Buffer.from(bytes)) });
const States = z.array(
  z.object({ halted: z.string(), size: z.string().transform(Number), recovery: z.string().nullable() }),
);
const Done = z.array(z.object({ recovered: z.number() }));
