import { z } from 'zod';
import { deedOf, type Deeds, readRecord } from '../audit/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';

/** Tiles of the search index that one page looks at, at most. */
const MOST_TILES = 256;
const TILE = 256;

/** Finds by the postings of the search index what was decided for a person. */
export function openDeeds(database: Pick<Database, 'rows'>): Deeds {
  const rows = (sql: string, ...values: readonly unknown[]): Promise<readonly unknown[]> =>
    guarded(() => database.rows(sql, values));
  return {
    of: async (person, { before = Number.MAX_SAFE_INTEGER, limit }) => {
      const last = Math.floor((before - 1) / TILE);
      // The first tile may have later ones only.
      const tiles = Math.min(limit + 2, MOST_TILES);
      const found = Tiles.parse(await rows(POSTED, `person:${person}`, last, tiles));
      const indexes = found.flat().filter((index) => index < before);
      const wanted = indexes.slice(0, limit);
      const records = wanted.length === 0 ? [] : Records.parse(await rows(ENTRIES, wanted));
      const read = records.flatMap(({ index, leaf }) => {
        const record = readRecord(leaf);
        return (record && deedOf(index, record)) ?? [];
      });
      const tokens = read.flatMap(({ token }) => token ?? []);
      const reports = tokens.length === 0 ? [] : Reports.parse(await rows(REPORTED, tokens));
      const of = (token: string | undefined, outcome: string): number =>
        reports.find((one) => one.token === token && one.outcome === outcome)?.count ?? 0;
      return {
        deeds: read.map(({ deed, token }) => ({
          ...deed,
          reported: { executed: of(token, 'executed'), failed: of(token, 'failed'), unknown: of(token, 'unknown') },
        })),
        next: indexes.length > wanted.length ? wanted.at(-1) : undefined,
      };
    },
  };
}

/** $1 who, $2 the last tile, $3 how many: each that is answered has an entry at least. */
const POSTED = `
  SELECT p.tile::text AS tile, (p.bits & decided.bits)::text AS bits
  FROM log_posting p CROSS JOIN LATERAL (
    SELECT bit_or(k.bits) AS bits FROM log_posting k
    WHERE k.key = ANY(ARRAY['kind:exchange', 'kind:decision']) AND k.tile = p.tile) AS decided
  WHERE p.key = $1 AND p.tile <= $2::bigint AND p.bits & decided.bits <> 0::bit(256)
  ORDER BY p.tile DESC LIMIT $3::int`;

const ENTRIES = `
  SELECT e.index::text AS index, l.leaf FROM log_entry e JOIN log_leaf l ON l.id = e.leaf_id
  WHERE e.index = ANY($1::bigint[]) ORDER BY e.index DESC`;

const REPORTED = `
  SELECT token_hash AS token, outcome, count(*)::int AS count FROM outcome
  WHERE token_hash = ANY($1::text[]) AND flaw IS NULL GROUP BY token_hash, outcome`;

const Count = z.string().transform(Number);
/** The entries of each tile, the last first. */
const Tiles = z.array(
  z.object({ tile: Count, bits: z.string() }).transform(({ tile, bits }) =>
    bits
      .split('')
      .flatMap((bit, n) => (bit === '1' ? [tile * TILE + n] : []))
      .reverse(),
  ),
);
const Records = z.array(z.object({ index: Count, leaf: z.instanceof(Uint8Array) }));
const Reports = z.array(z.object({ token: z.string(), outcome: z.string(), count: z.number().int() }));
