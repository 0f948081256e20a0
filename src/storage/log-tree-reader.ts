import { z } from 'zod';
import type { TreeReader } from '../audit/index.js';
import { Fault } from '../base/index.js';
import { HASH_BYTES } from '../tlog/index.js';
import type { Database } from './database.js';
import { CHECKPOINT_FROM, ENTRIES, INDEX_OF, LATEST, RETENTION_RECORDS, TILES, VERIFIER_KEYS } from './log-tree-sql.js';
import { guarded } from './outage.js';

/** The tree as it is served. A checkpoint and the tiles below it are written together, so each read is of a whole tree. */
export function openTreeReader(database: Pick<Database, 'rows'>): TreeReader {
  const rows = (sql: string, ...values: readonly unknown[]): Promise<readonly unknown[]> =>
    guarded(() => database.rows(sql, values));
  return {
    tiles: async (wanted) => {
      if (wanted.length === 0) return [];
      const levels = wanted.map(({ level }) => level);
      const indexes = wanted.map(({ index }) => index);
      const found = Tiles.parse(await rows(TILES, levels, indexes));
      return wanted.map(({ level, index, width }, n) => {
        const hashes = found[n]?.hashes;
        if (hashes == null || hashes.length < width * HASH_BYTES || hashes.length % HASH_BYTES !== 0)
          throw new Fault(
            'log_inconsistent',
            `the tile ${level}/${index} of the log does not have its ${width} hashes`,
          );
        return hashes;
      });
    },
    tile: async (level, index) => Tiles.parse(await rows(TILES, [level], [index]))[0]?.hashes ?? undefined,
    latest: async () => Checkpoints.parse(await rows(LATEST))[0],
    checkpointFrom: async (size) => Checkpoints.parse(await rows(CHECKPOINT_FROM, size))[0],
    entries: async ({ start, end, limit }) => Entries.parse(await rows(ENTRIES, start, end, limit)),
    indexOf: async (leafHash) => Indexes.parse(await rows(INDEX_OF, leafHash))[0]?.index,
    retentionRecords: async () => Indexes.parse(await rows(RETENTION_RECORDS)).map(({ index }) => index),
    verifierKeys: async () => Keys.parse(await rows(VERIFIER_KEYS)),
  };
}

const Bytes = z.instanceof(Uint8Array).transform((bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
const Count = z.string().transform(Number);

const Tiles = z.array(z.object({ hashes: Bytes.nullable() }));
const Checkpoints = z.array(z.object({ size: Count, note: z.string(), at: Count }));
const Indexes = z.array(z.object({ index: Count }));

const Entries = z.array(
  z.object({ index: Count, leaf_hash: Bytes, leaf: Bytes.nullable(), is_pruned: z.boolean() }).transform((row) => ({
    index: row.index,
    leafHash: row.leaf_hash,
    leaf: row.leaf ?? undefined,
    isPruned: row.is_pruned,
  })),
);

const Keys = z.array(
  z
    .object({ vkey: z.string(), from_size: Count, leaf_hash: Bytes.nullable() })
    .transform((row) => ({ vkey: row.vkey, fromSize: row.from_size, leafHash: row.leaf_hash ?? undefined })),
);
