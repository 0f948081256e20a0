import { err, Fault, ok, type Result } from '../base/index.js';
import { emptyRoot, type Hash, HASH_BYTES } from './hash.js';
import { consistencySpans, inclusionSpans, type Perfect, perfectParts, rangeSpans, type Span } from './spans.js';
import { type Tile, TILE_WIDTH, tileHashes, tileOf } from './tiles.js';
import { joined, perfectRoot } from './tree.js';

/** Reads tiles, in the order asked. Each may be wider than asked, never shorter. */
export type TileReader = (tiles: readonly Tile[]) => Promise<readonly Uint8Array[]>;

/** Makes the root over a row of hashes whose length is a power of two. */
export type RootMaker = (row: readonly Hash[]) => Hash;

/** The root of the tree when it had `size` leaves. */
export async function rootAt(size: number, read: TileReader): Promise<Hash> {
  const [root] = size === 0 ? [emptyRoot()] : await hashesOf([[0, size]], size, read);
  if (root === undefined) throw new Fault('internal', 'a tree without a root');
  return root;
}

/** RFC 6962 section 2.1.1: leads from the leaf to the root of the tree of `size`. */
export async function inclusionProof(
  index: number,
  size: number,
  read: TileReader,
  rootOf: RootMaker = perfectRoot,
): Promise<Result<Hash[], 'out_of_range'>> {
  if (!isSize(size) || !isSize(index) || index >= size) return err('out_of_range');
  return ok(await hashesOf(inclusionSpans(index, size), size, read, rootOf));
}

/** RFC 6962 section 2.1.2: the tree of `to` leaves begins with the tree of `from`. Empty where nothing needs proof. */
export async function consistencyProof(
  from: number,
  to: number,
  read: TileReader,
  rootOf: RootMaker = perfectRoot,
): Promise<Result<Hash[], 'out_of_range'>> {
  if (!isSize(from) || !isSize(to) || from > to) return err('out_of_range');
  return ok(from === 0 || from === to ? [] : await hashesOf(consistencySpans(from, to), to, read, rootOf));
}

/** The hashes of the largest subtrees outside the run, left to right: with the run's own they lead to the root. */
export async function rangeProof(run: Span, size: number, read: TileReader): Promise<Result<Hash[], 'out_of_range'>> {
  const [start, end] = run;
  if (!isSize(size) || !isSize(start) || !isSize(end) || start >= end || end > size) return err('out_of_range');
  return ok(await hashesOf(rangeSpans(run, size), size, read));
}

const isSize = (size: number): boolean => Number.isSafeInteger(size) && size >= 0;

/** All the tiles that the subtrees need are read at once, and each once. `upperRoot` makes the roots above level 0. */
async function hashesOf(
  spans: readonly Span[],
  size: number,
  read: TileReader,
  upperRoot: RootMaker = perfectRoot,
): Promise<Hash[]> {
  const parts = spans.map(perfectParts);
  const tiles = new Map<string, Tile>();
  for (const part of parts.flat()) {
    const tile = tileWith(part, size);
    tiles.set(keyOf(tile), tile);
  }
  const bytes = await read([...tiles.values()]);
  const rows = new Map([...tiles].map(([key, tile], i) => [key, rowOf(tile, bytes[i])]));
  const rootOf = (part: Perfect): Hash => {
    const row = hashesIn(part, rows.get(keyOf(tileWith(part, size))) ?? []);
    return within(part).level === 0 ? perfectRoot(row) : upperRoot(row);
  };
  return parts.map((of) => {
    const root = joined(of.map(rootOf));
    if (root === undefined) throw new Fault('internal', 'a subtree without leaves');
    return root;
  });
}

const keyOf = ({ level, index }: Tile): string => `${level}/${index}`;

/** The tile whose hashes the perfect subtree consists of, and how many of them. */
function within({ height, index }: Perfect): Readonly<{ level: number; first: number; count: number }> {
  const level = Math.floor(height / 8);
  const count = 2 ** (height % 8);
  return { level, first: index * count, count };
}

function tileWith(part: Perfect, size: number): Tile {
  const { level, first } = within(part);
  const tile = tileOf(level, Math.floor(first / TILE_WIDTH), size);
  if (!tile) throw new Fault('internal', 'a subtree outside the tree');
  return tile;
}

function rowOf(tile: Tile, bytes: Uint8Array | undefined): Hash[] {
  if (bytes === undefined || bytes.length < tile.width * HASH_BYTES) {
    throw new Fault('internal', `the tile ${keyOf(tile)} is missing or too short`);
  }
  return tileHashes(bytes);
}

function hashesIn(part: Perfect, row: readonly Hash[]): Hash[] {
  const { first, count } = within(part);
  return row.slice(first % TILE_WIDTH, (first % TILE_WIDTH) + count);
}
