import { Fault } from '../base/index.js';
import { emptyRoot, type Hash, HASH_BYTES, nodeHash } from './hash.js';
import { powerWithin } from './spans.js';
import { edgeTiles, type Tile, TILE_WIDTH, tileHashes } from './tiles.js';

/** A tile that is new or has grown, with all its hashes. */
export type GrownTile = Tile & Readonly<{ hashes: Buffer }>;

/**
 * A tree that grows: its right edge, which is the tiles that are not full yet. It holds at most 255 hashes of each
 * level, whatever the size of the tree.
 */
export class Tree {
  #size: number;
  readonly #edge: Hash[][] = [];
  readonly #touched = new Set<number>();
  #grown = new Map<string, GrownTile>();

  /** The tree of `size` whose not full tiles ({@link edgeTiles}, in that order) have these hashes. */
  constructor(size = 0, edge: readonly Uint8Array[] = []) {
    this.#size = size;
    edgeTiles(size).forEach(({ level, width }, i) => {
      const bytes = edge[i];
      if (bytes?.length !== width * HASH_BYTES) throw new Fault('internal', 'the edge of the tree has not its length');
      while (this.#edge.length <= level) this.#edge.push([]);
      this.#edge[level] = tileHashes(bytes);
    });
  }

  get size(): number {
    return this.#size;
  }

  append(leaf: Hash): void {
    let hash = leaf;
    let level = 0;
    while (this.#push(level, hash)) hash = this.#close(level++);
    this.#size += 1;
  }

  /** The root of the tree as it is now. */
  root(): Hash {
    const peaks = this.#edge.toReversed().flatMap(peaksOf);
    return joined(peaks) ?? emptyRoot();
  }

  /** The tiles that are new or wider since this was last asked, lowest level first, full ones before the last. */
  takeGrown(): GrownTile[] {
    for (const tile of edgeTiles(this.#size)) {
      const hashes = this.#edge[tile.level] ?? [];
      if (this.#touched.has(tile.level)) this.#grown.set(keyOf(tile), { ...tile, hashes: Buffer.concat(hashes) });
    }
    const grown = [...this.#grown.values()].sort((a, b) => a.level - b.level || a.index - b.index);
    this.#grown = new Map();
    this.#touched.clear();
    return grown;
  }

  /** True when the tile of that level is full now. */
  #push(level: number, hash: Hash): boolean {
    const tile = (this.#edge[level] ??= []);
    tile.push(hash);
    this.#touched.add(level);
    return tile.length === TILE_WIDTH;
  }

  /** A full tile leaves the edge; its root is a hash of the level above. */
  #close(level: number): Hash {
    const hashes = this.#edge[level] ?? [];
    const index = Math.floor(this.#size / TILE_WIDTH ** (level + 1));
    const tile = { level, index, width: TILE_WIDTH, hashes: Buffer.concat(hashes) };
    this.#grown.set(keyOf(tile), tile);
    this.#edge[level] = [];
    return perfectRoot(hashes);
  }
}

const keyOf = ({ level, index }: Tile): string => `${level}/${index}`;

/** The roots of the perfect subtrees over a row of hashes, left to right. */
function peaksOf(row: readonly Hash[]): Hash[] {
  const peaks: Hash[] = [];
  for (let at = 0; at < row.length;) {
    const leaves = powerWithin(row.length - at);
    peaks.push(perfectRoot(row.slice(at, at + leaves)));
    at += leaves;
  }
  return peaks;
}

/** The root over a row whose length is a power of two. */
export function perfectRoot(row: readonly Hash[]): Hash {
  let hashes = row;
  while (hashes.length > 1) hashes = halved(hashes);
  return hashes[0] ?? emptyRoot();
}

const halved = (row: readonly Hash[]): Hash[] => {
  const above: Hash[] = [];
  for (let i = 0; i + 1 < row.length; i += 2) {
    const [left, right] = [row[i], row[i + 1]];
    if (left !== undefined && right !== undefined) above.push(nodeHash(left, right));
  }
  return above;
};

/** The root over the roots of perfect subtrees that are ever smaller from left to right. */
export const joined = (peaks: readonly Hash[]): Hash | undefined =>
  peaks.length === 0 ? undefined : peaks.reduceRight((right, left) => nodeHash(left, right));
