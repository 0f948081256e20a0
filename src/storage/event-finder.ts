import { z } from 'zod';
import { type EventFilter, type EventFinder, type FoundEntry, hourKey, KEPT_KINDS } from '../audit/index.js';
import type { Seconds } from '../base/index.js';
import type { Database } from './database.js';
import { IS_PRUNED } from './log-tree-sql.js';
import { guarded } from './outage.js';

/** Tiles that one statement looks at, and statements for one page: 16 million entries. */
const WINDOW = 4_096;
const WINDOWS = 16;
const TILE = 256;
/** Entries are in the order of their sequencing, which is that of their times but for some seconds. */
const MARGIN: Seconds = 3_600;

type Rows = (sql: string, ...values: readonly unknown[]) => Promise<readonly unknown[]>;
type Range = Readonly<{ after: number; end: number }>;
/** `seenTo`: everything below it has been looked at. */
type Candidates = Readonly<{ indexes: readonly number[]; seenTo: number }>;

/** Finds entries by the postings of the search index. */
export function openEventFinder(database: Database): EventFinder {
  const rows: Rows = (sql, ...values) => guarded(() => database.rows(sql, values));
  return {
    find: async (filter, { after, limit }) => {
      const [{ index: indexedTo, pruned, pruned_before: prunedBefore } = NOWHERE] = Places.parse(await rows(POSITION));
      const range = await within(filter, { after, end: indexedTo }, rows);
      const { indexes, seenTo } =
        filter.keys.length === 0
          ? await everything(range, { rows, limit, pruned })
          : await candidatesOf(filter.keys, range, { rows, limit });
      const entries = indexes.length === 0 ? [] : Entries.parse(await rows(ENTRIES, indexes));
      const next = seenTo < range.end ? seenTo - 1 : undefined;
      return { entries: entries.map(entryOf), next, indexedTo, prunedBefore };
    },
  };
}

/** The part of the tree in which these times are. */
async function within({ since, until }: EventFilter, { after, end }: Range, rows: Rows): Promise<Range> {
  const first = since === undefined ? undefined : Tiles.parse(await rows(FIRST_TILE, hourKey(since - MARGIN)));
  const last = until === undefined ? undefined : Tiles.parse(await rows(LAST_TILE, hourKey(until + MARGIN)));
  return {
    after: first === undefined ? after : Math.max(after, (first[0] ?? { tile: end }).tile * TILE - 1),
    end: last === undefined ? end : Math.min(end, ((last[0] ?? { tile: -1 }).tile + 1) * TILE),
  };
}

/** The first `limit` of all that there are: of what retention has been at, only what it keeps. */
async function everything(
  { after, end }: Range,
  { rows, limit, pruned }: Readonly<{ rows: Rows; limit: number; pruned: number }>,
): Promise<Candidates> {
  const start = after + 1;
  const border = Math.max(start, Math.min(pruned, end));
  const tiles = start < border ? Postings.parse(await rows(KEPT, KEPT_KEYS, start, border, limit + 1)) : [];
  const kept = tiles.flatMap((tile) => tile.indexes).filter((index) => index >= start && index < border);
  if (kept.length > limit) return upTo(kept, limit);
  if (tiles.length > limit) return { indexes: kept, seenTo: Math.min(border, behind(tiles)) };
  const seenTo = Math.max(border, Math.min(end, border + limit - kept.length));
  return { indexes: [...kept, ...Array.from({ length: seenTo - border }, (_, n) => border + n)], seenTo };
}

const KEPT_KEYS = KEPT_KINDS.map((kind) => `kind:${kind}`);

/** The first `limit` that have all the keys, or as many as there are in what one page looks at. */
async function candidatesOf(
  keys: readonly string[],
  { after, end }: Range,
  { rows, limit }: Readonly<{ rows: Rows; limit: number }>,
): Promise<Candidates> {
  const start = after + 1;
  const found: number[] = [];
  const last = Math.floor((end - 1) / TILE);
  let tile = Math.floor(start / TILE);
  for (let looked = 0; looked < WINDOWS && tile <= last && found.length <= limit; looked++) {
    const to = Math.min(last, tile + WINDOW - 1);
    const tiles = Postings.parse(await rows(POSTED, keys, tile, to, keys.length, limit + 1));
    for (const one of tiles) found.push(...one.indexes.filter((index) => index >= start && index < end));
    // A full answer says nothing of the tiles behind its last.
    tile = tiles.length > limit ? behind(tiles) / TILE : to + 1;
  }
  return found.length > limit ? upTo(found, limit) : { indexes: found, seenTo: Math.min(end, tile * TILE) };
}

function upTo(found: readonly number[], limit: number): Candidates {
  const indexes = found.slice(0, limit);
  return { indexes, seenTo: (indexes.at(-1) ?? 0) + 1 };
}

/** The first entry behind these tiles. */
const behind = (tiles: readonly Posting[]): number => ((tiles.at(-1)?.tile ?? 0) + 1) * TILE;

const POSITION = `
  SELECT c.index::text AS index, r.pruned::text AS pruned,
    CASE WHEN r.pruned > 0 THEN floor(extract(epoch FROM r.older_than))::bigint::text END AS pruned_before
  FROM log_consumer c, log_retention r WHERE c.name = 'search' AND r.id = 1`;

/** $1 keys, $2 first entry, $3 the one behind the last, $4 how many tiles. */
const KEPT = `
  SELECT tile::text AS tile, bit_or(bits)::text AS bits FROM log_posting
  WHERE key = ANY($1::text[]) AND tile >= $2::bigint / 256 AND tile <= ($3::bigint - 1) / 256
  GROUP BY tile ORDER BY tile LIMIT $4::int`;

const FIRST_TILE = `
  SELECT tile::text AS tile FROM log_posting WHERE key >= $1 AND key < 'hour;' ORDER BY key, tile LIMIT 1`;

const LAST_TILE = `
  SELECT tile::text AS tile FROM log_posting WHERE key <= $1 AND key >= 'hour:' ORDER BY key DESC, tile DESC LIMIT 1`;

/** $1 keys, $2 first tile, $3 last, $4 how many keys, $5 how many tiles: each that is answered has an entry at least. */
const POSTED = `
  SELECT tile::text AS tile, bit_and(bits)::text AS bits FROM log_posting
  WHERE key = ANY($1::text[]) AND tile >= $2::bigint AND tile <= $3::bigint
  GROUP BY tile HAVING count(*) = $4::int AND bit_and(bits) <> 0::bit(256) ORDER BY tile LIMIT $5::int`;

const ENTRIES = `
  SELECT e.index::text AS index, e.leaf_hash, l.leaf, l.txn
  FROM log_entry e LEFT JOIN log_leaf l ON l.id = e.leaf_id
  WHERE e.index = ANY($1::bigint[]) AND NOT (e.leaf_id IS NULL AND ${IS_PRUNED}) ORDER BY e.index`;

const Count = z.string().transform(Number);
const Bytes = z.instanceof(Uint8Array).transform((bytes) => Buffer.from(bytes));
const Places = z.array(
  z.object({
    index: Count,
    pruned: Count,
    pruned_before: z
      .string()
      .nullable()
      .transform((text) => (text === null ? undefined : Number(text))),
  }),
);
const NOWHERE = { index: 0, pruned: 0, pruned_before: undefined };
const Tiles = z.array(z.object({ tile: Count }));

const Postings = z.array(
  z.object({ tile: Count, bits: z.string() }).transform(({ tile, bits }) => ({
    tile,
    indexes: bits.split('').flatMap((bit, n) => (bit === '1' ? [tile * TILE + n] : [])),
  })),
);

type Posting = z.infer<typeof Postings>[number];

const Entry = z.object({ index: Count, leaf_hash: Bytes, leaf: Bytes.nullable(), txn: z.string().nullable() });
const Entries = z.array(Entry);

const entryOf = ({ index, leaf_hash, leaf, txn }: z.infer<typeof Entry>): FoundEntry => ({
  ...{ index, leafHash: leaf_hash.toString('base64url'), leaf: leaf ?? undefined, txn: txn ?? undefined },
});
