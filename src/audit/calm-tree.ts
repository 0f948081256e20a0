import { turns } from '../base/index.js';
import type { StoredCheckpoint, TreeReader } from './tree-ports.js';

export type Calm = Readonly<{
  /** Readings of the database at once. */
  atOnce: number;
  /** Readings that may wait for their turn; one more is told to come back. */
  waiting: number;
  /** For how long the newest checkpoint is taken for the newest, in milliseconds. */
  latestMs: number;
  /** Milliseconds that only grow. */
  timeMs: () => number;
}>;

/**
 * The tree as anybody may ask it: however many do, few readings are under way at once, so that exchanges find the database
 * free. Throws a Fault (`overloaded`) when too many wait already.
 */
export function calmTree(tree: TreeReader, { atOnce, waiting, latestMs, timeMs }: Calm): TreeReader {
  const inTurn = turns(atOnce, { waiting, problem: 'more is asked of the log than it answers' });
  let latest: Readonly<{ found: Promise<StoredCheckpoint | undefined>; atMs: number }> | undefined;
  return {
    tiles: (wanted) => inTurn(() => tree.tiles(wanted)),
    tile: (level, index) => inTurn(() => tree.tile(level, index)),
    latest: () => {
      if (latest !== undefined && timeMs() - latest.atMs < latestMs) return latest.found;
      const asked = { found: inTurn(() => tree.latest()), atMs: timeMs() };
      latest = asked;
      asked.found.catch(() => {
        if (latest === asked) latest = undefined;
      });
      return asked.found;
    },
    checkpointFrom: (size) => inTurn(() => tree.checkpointFrom(size)),
    entries: (range) => inTurn(() => tree.entries(range)),
    indexOf: (leafHash) => inTurn(() => tree.indexOf(leafHash)),
    verifierKeys: () => inTurn(() => tree.verifierKeys()),
    retentionRecords: () => inTurn(() => tree.retentionRecords()),
  };
}
