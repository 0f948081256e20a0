import { err, ok, type Result } from '../base/index.js';
import { HASH_BYTES } from './hash.js';

/** C2SP tlog-tiles: hashes in a full tile, and entries in a full bundle. */
export const TILE_WIDTH = 256;

/** The `index`th tile of a level, and how many hashes of it are meant: 1 to 256. */
export type Tile = Readonly<{ level: number; index: number; width: number }>;

/** How many tile hashes a tree of `size` has at a level; each is the root of 256^level leaves. */
export const hashesAt = (level: number, size: number): number => Math.floor(size / TILE_WIDTH ** level);

/** The tile as a tree of `size` has it, `undefined` when it has none of it. */
export function tileOf(level: number, index: number, size: number): Tile | undefined {
  const width = Math.min(TILE_WIDTH, hashesAt(level, size) - index * TILE_WIDTH);
  return width > 0 ? { level, index, width } : undefined;
}

/** The tiles at the right edge that are not full in a tree of `size`, lowest first. With their hashes a tree can grow. */
export function edgeTiles(size: number): Tile[] {
  const tiles: Tile[] = [];
  for (let level = 0; hashesAt(level, size) > 0; level++) {
    const width = hashesAt(level, size) % TILE_WIDTH;
    if (width > 0) tiles.push({ level, index: Math.floor(hashesAt(level, size) / TILE_WIDTH), width });
  }
  return tiles;
}

/** The path of a tile behind the log's prefix. */
export const tilePath = ({ level, index, width }: Tile): string => `tile/${level}/${place(index, width)}`;

/** The path of the bundle of the entries below a tile of level 0. */
export const entriesPath = (index: number, width: number): string => `tile/entries/${place(index, width)}`;

function place(index: number, width: number): string {
  const digits = String(index);
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, '0').match(/\d{3}/g) ?? [];
  const path = groups.map((group, i) => (i < groups.length - 1 ? `x${group}` : group)).join('/');
  return width === TILE_WIDTH ? path : `${path}.p/${width}`;
}

/** What a path asks for. `entries` is the bundle of entries below that tile of level 0. */
export type TilePath = Tile & Readonly<{ of: 'hashes' | 'entries' }>;

const PATH = /^tile\/(entries|0|[1-9]\d?)\/((?:x\d{3}\/)*\d{3})(?:\.p\/([1-9]\d{0,2}))?$/;
const MAX_PATH = 64;

/** Reads a tile's path as strictly as it is written: one path for each tile, so that no cache keeps one twice. */
export function parseTilePath(path: string): Result<TilePath, 'not_a_tile'> {
  const [, what, place, partial] = (path.length <= MAX_PATH ? PATH.exec(path) : undefined) ?? [];
  if (what === undefined || place === undefined) return err('not_a_tile');
  const tile = {
    of: what === 'entries' ? ('entries' as const) : ('hashes' as const),
    level: what === 'entries' ? 0 : Number(what),
    index: Number(place.replace(/[x/]/g, '')),
    width: partial === undefined ? TILE_WIDTH : Number(partial),
  };
  const asWritten = tile.of === 'entries' ? entriesPath(tile.index, tile.width) : tilePath(tile);
  return asWritten === path && Number.isSafeInteger(tile.index) && tile.level < 64 ? ok(tile) : err('not_a_tile');
}

/** The hashes of a tile as it is stored and served: one after the other. Views, not copies. */
export function tileHashes(bytes: Uint8Array): Buffer[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: Math.floor(bytes.length / HASH_BYTES) }, (_, i) =>
    buffer.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES),
  );
}

/** C2SP tlog-tiles: entries one after the other, each behind its length as a big-endian uint16. */
export function entryBundle(entries: readonly Uint8Array[]): Result<Buffer, 'entry_too_long'> {
  if (entries.some((entry) => entry.length > 0xffff)) return err('entry_too_long');
  return ok(Buffer.concat(entries.flatMap((entry) => [Uint8Array.of(entry.length >> 8, entry.length), entry])));
}

/** The entries of a bundle, which must be whole; views, not copies. */
export function parseEntryBundle(bytes: Uint8Array): Result<Buffer[], 'not_an_entry_bundle'> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const entries: Buffer[] = [];
  for (let at = 0; at < buffer.length;) {
    if (at + 2 > buffer.length || entries.length === TILE_WIDTH) return err('not_an_entry_bundle');
    const end = at + 2 + buffer.readUInt16BE(at);
    if (end > buffer.length) return err('not_an_entry_bundle');
    entries.push(buffer.subarray(at + 2, end));
    at = end;
  }
  return ok(entries);
}
