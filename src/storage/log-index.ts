import { z } from 'zod';
import { inheritedKeys, readRecord, type Searched, searchKeys, type SearchIndexer } from '../audit/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';

/** Entries of one step: few, since exchanges wait while their records are read. */
const BATCH = 64;
const TILE = 256;

/** Follows the tree. Of several processes that do so, one at a time gets on. */
export function openLogIndex(database: Database): SearchIndexer {
  const rows = (sql: string, ...values: readonly unknown[]): Promise<readonly unknown[]> =>
    guarded(() => database.rows(sql, values));
  const permitsOf = async (hashes: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>> => {
    if (hashes.length === 0) return new Map();
    const found = Permits.parse(await rows(PERMITS, hashes));
    return new Map(found.map(({ token_hash, leaf }) => [token_hash, inheritedOf(leaf)]));
  };
  return {
    step: async () => {
      const entries = Entries.parse(await rows(NEXT, BATCH));
      const [first] = entries;
      const last = entries.at(-1);
      if (first === undefined || last === undefined) return 'done';
      const seen = entries.flatMap(({ index, leaf, txn }) => {
        const record = leaf === null ? undefined : searchedOf(leaf, txn);
        return record === undefined ? [] : [{ index, record }];
      });
      const permits = await permitsOf([...new Set(seen.flatMap(({ record }) => tokenOf(record) ?? []))]);
      const postings = new Postings();
      for (const { index, record } of seen) {
        for (const key of searchKeys(record)) postings.add(key, index);
        for (const key of permits.get(tokenOf(record) ?? '') ?? []) postings.add(key, index);
      }
      const [moved] = Moved.parse(await rows(ADVANCE, first.index, last.index + 1, ...postings.columns()));
      return moved?.moved === 1 && entries.length === BATCH ? 'more' : 'done';
    },
  };
}

function searchedOf(leaf: Uint8Array, txn: string | null): Searched | undefined {
  const record = readRecord(leaf);
  if (record === undefined) return undefined;
  const { kind, at, facts, outcome } = record;
  return { kind, at, facts, txn, decision: outcome.decision, session: outcome.session };
}

const inheritedOf = (leaf: Uint8Array): readonly string[] => {
  const record = searchedOf(leaf, null);
  return record === undefined ? [] : inheritedKeys(record);
};

/** The token that the record is about, and that another record permitted. */
function tokenOf({ kind, facts: { token } }: Searched): string | undefined {
  const isLater = kind === 'outcome' || kind === 'introspection' || kind === 'revocation';
  return isLater && typeof token === 'string' ? token : undefined;
}

/** Of every key and tile, which entries it fits. */
class Postings {
  readonly #places = new Map<string, Map<number, number[]>>();

  add(key: string, index: number): void {
    const tiles = this.#places.get(key) ?? new Map<number, number[]>();
    this.#places.set(key, tiles);
    const tile = Math.floor(index / TILE);
    const places = tiles.get(tile) ?? [];
    tiles.set(tile, places);
    places.push(index % TILE);
  }

  /** DANGER: in one order, or two processes could wait for each other in a circle. */
  columns(): readonly [keys: string[], tiles: number[], bits: string[]] {
    const all = [...this.#places]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .flatMap(([key, tiles]) => [...tiles].map(([tile, places]) => ({ key, tile, text: bitsOf(places) })));
    return [all.map(({ key }) => key), all.map(({ tile }) => tile), all.map(({ text }) => text)];
  }
}

function bitsOf(places: readonly number[]): string {
  const bits = Buffer.alloc(TILE, '0');
  for (const place of places) bits.write('1', place, 'latin1');
  return bits.toString('latin1');
}

const NEXT = `
WITH place AS (SELECT coalesce((SELECT index FROM log_consumer WHERE name = 'search'), 0) AS index)
SELECT e.index::text AS index, l.leaf, l.txn FROM place, log_entry e LEFT JOIN log_leaf l ON l.id = e.leaf_id
WHERE e.index >= place.index AND e.index < place.index + $1::int
  AND e.index < (SELECT size FROM log_tree WHERE id = 1) ORDER BY e.index`;

const PERMITS = 'SELECT token_hash, leaf FROM log_leaf WHERE token_hash = ANY($1::text[])';

/** $1 where this began, $2 where it ends. Whoever finds that another was there writes nothing. */
const ADVANCE = `
WITH moved AS (
  INSERT INTO log_consumer (name, index) VALUES ('search', $2::bigint)
  ON CONFLICT (name) DO UPDATE SET index = EXCLUDED.index WHERE log_consumer.index = $1::bigint RETURNING 1
), written AS (
  INSERT INTO log_posting (key, tile, bits)
  SELECT key, tile, bits::bit(256) FROM unnest($3::text[], $4::bigint[], $5::text[]) AS u(key, tile, bits), moved
  ON CONFLICT (key, tile) DO UPDATE SET bits = log_posting.bits | EXCLUDED.bits
)
SELECT count(*)::int AS moved FROM moved`;

const Index = z.string().transform(Number);
const Bytes = z.instanceof(Uint8Array);
const Entries = z.array(z.object({ index: Index, leaf: Bytes.nullable(), txn: z.string().nullable() }));
const Permits = z.array(z.object({ token_hash: z.string(), leaf: Bytes }));
const Moved = z.array(z.object({ moved: z.number() }));
