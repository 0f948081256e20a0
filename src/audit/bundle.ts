import type { Seconds } from '../base/index.js';
import {
  consistencyProof,
  type Hash,
  HASH_BYTES,
  rangeProof,
  type Span,
  type Tile,
  TILE_WIDTH,
  type TileReader,
} from '../tlog/index.js';
import type { Opening } from './ports.js';
import type { StoredCheckpoint, TreeEntry, TreeReader } from './tree-ports.js';

/** What of the log is wanted: all of a session or transaction, what was written in a time, or entries by their place. */
export type BundleAbout =
  | Readonly<{ session: string }>
  | Readonly<{ txn: string }>
  | Readonly<{ from: Seconds; until: Seconds }>
  | Readonly<{ range: Span }>;

/** `sizes`: those of copies that the auditor has; proofs lead from each to the checkpoint of the bundle. */
export type BundleAsked = Readonly<{
  about: BundleAbout;
  sizes: readonly number[];
  now: Seconds;
  /** Who the people in it are, where that was asked. */
  opened?: Opened | undefined;
}>;

/** Who the people of a bundle are. `entries`: where the log committed to it, so that an auditor can check each. */
export type Opened = Readonly<{ openings: Readonly<Record<string, Opening>>; entries: readonly number[] }>;

/** Where entries are in the tree. */
export interface EntryFinder {
  /** Ascending, above `after`, at most `limit`. */
  indexes(of: Readonly<{ session: string }> | Readonly<{ txn: string }>, page: IndexPage): Promise<readonly number[]>;
  /** The smallest range with every entry that was written from one time up to but without another. */
  between(from: Seconds, until: Seconds): Promise<Span | undefined>;
}
export type IndexPage = Readonly<{ after: number; limit: number }>;

export type BundleSource = Readonly<{
  tree: Pick<
    TreeReader,
    'tiles' | 'latest' | 'checkpointFrom' | 'entries' | 'indexOf' | 'verifierKeys' | 'retentionRecords'
  >;
  finder: EntryFinder;
}>;

/**
 * The lines of a bundle, each with its newline, in pieces of about one run: everything that an auditor needs to judge
 * these entries offline. `undefined` before the first checkpoint. It holds one run of entries and a few tiles.
 */
export async function makeBundle(
  asked: BundleAsked,
  { tree, finder }: BundleSource,
): Promise<AsyncGenerator<string> | undefined> {
  // Before the checkpoint, which so covers them.
  const retained = await tree.retentionRecords();
  const checkpoint = await tree.latest();
  if (!checkpoint) return undefined;
  const about = await placed(asked.about, checkpoint.size, finder);
  const keys = await keyEntries({ tree, finder }, checkpoint.size);
  const met = (asked.opened?.entries ?? []).filter((index) => index < checkpoint.size);
  const always = [...new Set([...keys, ...retained, ...met])].sort((a, b) => a - b);
  const cached = { tree: { ...tree, tiles: remembering(tree.tiles) }, finder };
  return linesOf({ ...asked, about }, { checkpoint, keys, always }, cached);
}

/** What of the tree is asked for, as it is now, in runs within one tile. */
export async function spansOf(about: BundleAbout, { tree, finder }: BundleSource): Promise<AsyncIterable<Span>> {
  const size = (await tree.latest())?.size ?? 0;
  return runsOf(await placed(about, size, finder), size, finder);
}

type Placed = Exclude<BundleAbout, { from: Seconds }> | Readonly<{ from: Seconds; until: Seconds; range: Span }>;
/** `always`: entries that an auditor needs whatever was asked for. */
type Head = Readonly<{ checkpoint: StoredCheckpoint; keys: readonly number[]; always: readonly number[] }>;

async function placed(about: BundleAbout, size: number, finder: EntryFinder): Promise<Placed> {
  if ('range' in about) return { range: [about.range[0], Math.min(about.range[1], size)] };
  if (!('from' in about)) return about;
  const [start, end] = (await finder.between(about.from, about.until)) ?? [0, 0];
  return { ...about, range: [start, Math.min(end, size)] };
}

/** The entries that announce verifier keys: with them an auditor who trusts the first key can follow to the last. */
async function keyEntries({ tree }: BundleSource, size: number): Promise<readonly number[]> {
  const leaves = (await tree.verifierKeys()).flatMap(({ leafHash }) => (leafHash ? [leafHash] : []));
  const indexes = await Promise.all(leaves.map((leaf) => tree.indexOf(leaf)));
  return indexes.flatMap((index) => (index !== undefined && index < size ? [index] : [])).sort((a, b) => a - b);
}

async function* linesOf(
  asked: BundleAsked & Readonly<{ about: Placed }>,
  head: Head,
  source: BundleSource,
): AsyncGenerator<string> {
  yield await headerOf(asked, head, source);
  let entries = 0;
  for await (const run of withOthers(runsOf(asked.about, head.checkpoint.size, source.finder), head.always)) {
    yield await runLines(run, head.checkpoint.size, source);
    entries += run[1] - run[0];
  }
  if (asked.opened) yield lineOf({ openings: asked.opened.openings });
  yield lineOf({ end: true, entries });
}

async function headerOf(
  { about, sizes, now }: BundleAsked & Readonly<{ about: Placed }>,
  { checkpoint, keys }: Head,
  { tree }: BundleSource,
): Promise<string> {
  const proofTo = async (from: number): Promise<readonly string[]> => {
    const proof = await consistencyProof(from, checkpoint.size, tree.tiles);
    return proof.ok ? proof.value.map(base64url) : [];
  };
  const covering = await Promise.all(keys.map((index) => tree.checkpointFrom(index + 1)));
  const older = covering.flatMap((one) => (one && one.size < checkpoint.size ? [one] : []));
  const earlier = await Promise.all([
    ...older.map(async ({ note, size }) => ({ checkpoint: note, consistency: await proofTo(size) })),
    ...sizes.filter((size) => size < checkpoint.size).map(async (size) => ({ size, consistency: await proofTo(size) })),
  ]);
  const vkeys = (await tree.verifierKeys()).map(({ vkey }) => vkey);
  const [origin = ''] = checkpoint.note.split('\n', 1);
  return lineOf({ bundle: 1, origin, about, checkpoint: checkpoint.note, earlier, keys: vkeys, made_at: now });
}

async function runLines(run: Span, size: number, { tree }: BundleSource): Promise<string> {
  const [start, end] = run;
  const index = Math.floor(start / TILE_WIDTH);
  const first = start % TILE_WIDTH;
  const [[tile], entries, proof] = await Promise.all([
    tree.tiles([{ level: 0, index, width: end - index * TILE_WIDTH }]),
    tree.entries({ start, end, limit: end - start }),
    rangeProof(run, size, tree.tiles),
  ]);
  const found = new Map(entries.map((entry) => [entry.index, entry]));
  const lines: string[] = [];
  for (let at = 0; at < end - start; at++) {
    const hash = tile?.subarray((first + at) * HASH_BYTES, (first + at + 1) * HASH_BYTES) ?? Buffer.alloc(0);
    lines.push(entryLine(start + at, Buffer.from(hash), found.get(start + at)));
  }
  return lines.join('') + lineOf({ run, proof: proof.ok ? proof.value.map(base64url) : [] });
}

/** An entry that retention removed says so; one that is not there otherwise says that too. */
function entryLine(index: number, hash: Hash, entry: TreeEntry | undefined): string {
  const place = { index, hash: base64url(hash) };
  return entry?.leaf
    ? lineOf({ ...place, leaf: base64url(entry.leaf) })
    : lineOf({ ...place, leaf: null, pruned: entry?.isPruned ?? false });
}

const base64url = (bytes: Buffer): string => bytes.toString('base64url');
const lineOf = (line: object): string => `${JSON.stringify(line)}\n`;

/** Runs of neighbours, each within one tile. */
async function* runsOf(about: Placed, size: number, finder: EntryFinder): AsyncGenerator<Span> {
  if ('range' in about) {
    const [start, end] = about.range;
    for (let at = start; at < end; at = nextTile(at)) yield [at, Math.min(nextTile(at), end)];
    return;
  }
  let run: Span | undefined;
  for await (const index of indexesOf(about, size, finder)) {
    if (run?.[1] === index && index % TILE_WIDTH !== 0) run = [run[0], index + 1];
    else {
      if (run) yield run;
      run = [index, index + 1];
    }
  }
  if (run) yield run;
}

const nextTile = (index: number): number => (Math.floor(index / TILE_WIDTH) + 1) * TILE_WIDTH;

const PAGE = 1_000;

async function* indexesOf(
  of: Readonly<{ session: string }> | Readonly<{ txn: string }>,
  size: number,
  finder: EntryFinder,
): AsyncGenerator<number> {
  for (let page: readonly number[] = await finder.indexes(of, { after: -1, limit: PAGE }); page.length > 0;) {
    for (const index of page) if (index < size) yield index;
    page = await finder.indexes(of, { after: page.at(-1) ?? 0, limit: PAGE });
  }
}

/** The runs, and between them each of these entries that is in none. */
async function* withOthers(runs: AsyncIterable<Span>, others: readonly number[]): AsyncGenerator<Span> {
  let at = 0;
  for await (const run of runs) {
    for (; (others[at] ?? Infinity) < run[1]; at++) {
      const index = others[at] ?? 0;
      if (index < run[0]) yield [index, index + 1];
    }
    yield run;
  }
  for (const index of others.slice(at)) yield [index, index + 1];
}

const REMEMBERED = 64;

/** Asks for no tile again that was read lately: the proofs of neighbours share nearly all of theirs. */
function remembering(read: TileReader): TileReader {
  const known = new Map<string, Uint8Array>();
  return async (tiles) => {
    const have = tiles.map((tile) => enough(tile, known.get(keyOf(tile))));
    const missing = tiles.filter((_, i) => have[i] === undefined);
    const fresh = missing.length === 0 ? [] : [...(await read(missing))];
    missing.forEach((tile, i) => known.set(keyOf(tile), fresh[i] ?? Buffer.alloc(0)));
    for (const key of known.keys()) if (known.size > REMEMBERED) known.delete(key);
    return have.map((bytes) => bytes ?? fresh.shift() ?? Buffer.alloc(0));
  };
}

const enough = ({ width }: Tile, bytes: Uint8Array | undefined): Uint8Array | undefined =>
  bytes !== undefined && bytes.length >= width * HASH_BYTES ? bytes : undefined;

const keyOf = ({ level, index }: Tile): string => `${level}/${index}`;
