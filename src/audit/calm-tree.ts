import { turns } from '../base/index.js';
import type { TreeReader } from './tree-ports.js';

export type Calm = Readonly<{
  /** Readings of the database at once. */
  atOnce: number;
  /** Readings that may wait for their turn; one more is told to come back. */
  waiting: number;
}>;

/**
 * The tree as anybody may ask it: however many do, few readings are under way at once, so that exchanges find the database
 * free. Throws a Fault (`overloaded`) when too many wait already.
 */
export function calmTree(tree: TreeReader, { atOnce, waiting }: Calm): TreeReader {
  const inTurn = turns(atOnce, { waiting, problem: 'more is asked of the log than it answers' });
  return {
    tiles: (wanted) => inTurn(() => tree.tiles(wanted)),
    tile: (level, index) => inTurn(() => tree.tile(level, index)),
    latest: () => inTurn(() => tree.latest()),
    checkpointFrom: (size) => inTurn(() => tree.checkpointFrom(size)),
    entries: (range) => inTurn(() => tree.entries(range)),
    indexOf: (leafHash) => inTurn(() => tree.indexOf(leafHash)),
    verifierKeys: () => inTurn(() => tree.verifierKeys()),
    retentionRecords: () => inTurn(() => tree.retentionRecords()),
  };
}
