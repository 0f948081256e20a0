import { createHash } from 'node:crypto';
import { edgeTiles, type Hash, leafHash, type Tile, type TileReader, Tree } from '../../src/tlog/index.js';

/** Tiles as a log has them stored, by level and index. */
export class Tiles {
  readonly tree = new Tree();
  readonly stored = new Map<string, Buffer>();

  append(leaves: readonly Hash[]): void {
    for (const leaf of leaves) this.tree.append(leaf);
    for (const { level, index, hashes } of this.tree.takeGrown()) this.stored.set(`${level}/${index}`, hashes);
  }

  readonly read: TileReader = (tiles: readonly Tile[]) =>
    Promise.resolve(tiles.map(({ level, index }) => this.stored.get(`${level}/${index}`) ?? Buffer.alloc(0)));

  /** The tree of an earlier size, as a process that starts again reads it. */
  async resumed(): Promise<Tree> {
    const { size } = this.tree;
    const edge = await this.read(edgeTiles(size));
    return new Tree(size, edge);
  }
}

/** The hashes of leaves that say which they are. */
export const numbered = (from: number, to: number): Hash[] =>
  Array.from({ length: to - from }, (_, i) => leafHash(Buffer.from(String(from + i))));

/** RFC 6962 section 2.1, as it is written there: MTH. */
export function mth(leaves: readonly Hash[]): Hash {
  const [first] = leaves;
  if (first === undefined) return createHash('sha256').digest();
  if (leaves.length === 1) return first;
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  return createHash('sha256')
    .update(Buffer.concat([Uint8Array.of(1), mth(leaves.slice(0, k)), mth(leaves.slice(k))]))
    .digest();
}
