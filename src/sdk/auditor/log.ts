import {
  entriesPath,
  hashesAt,
  parseEntryBundle,
  type Tile,
  TILE_WIDTH,
  tileHashes,
  tileOf,
  tilePath,
  HASH_BYTES,
  Tree,
  type TreeHead,
} from '../../tlog/index.js';
import { Entries } from './entries.js';
import { type Read, readCheckpoint } from './header.js';
import { judgeHeads } from './heads.js';
import type { AuditorOptions } from './options.js';
import type { Coverage } from './sessions.js';
import { Problems, type Verdict } from './verdict.js';

/** Where a log is read from, by paths of C2SP tlog-tiles; `undefined` for what is not there. Nothing of it is believed. */
export type LogSource = Readonly<{
  read(path: string): Promise<Uint8Array | undefined>;
  /** Whether the entries may be read too, or only their hashes. */
  hasEntries: boolean;
  /** Earlier checkpoints that the log gave out, where a change of its key shows. */
  earlier?: readonly string[];
  /** What the log says of entries one by one, where it does not serve the bundle of their tile. */
  contents?(start: number, end: number): Promise<ReadonlyMap<number, Uint8Array | 'pruned' | 'lost'>>;
}>;

/**
 * Judges a whole log: every tile leads to the signed checkpoint, every entry has its hash, the log continues every copy,
 * and every session is whole. Holds one tile of each level and the sessions that are open.
 */
export async function verifyLog(source: LogSource, options: AuditorOptions): Promise<Verdict> {
  return new LogReader(source, options).judge();
}

class LogReader {
  readonly #source: LogSource;
  readonly #options: AuditorOptions;
  readonly #problems = new Problems();
  readonly #entries: Entries;
  readonly #tree = new Tree();
  /** The roots that the tree had at the sizes of older checkpoints. */
  readonly #roots = new Map<number, Buffer>();
  #hasContent = false;

  constructor(source: LogSource, options: AuditorOptions) {
    this.#source = source;
    this.#options = options;
    this.#entries = new Entries(this.#problems, options);
  }

  async judge(): Promise<Verdict> {
    const bytes = await this.#source.read('checkpoint');
    const main = bytes && readCheckpoint(bytes);
    if (!main) this.#problems.add('unreadable', 'the log has no checkpoint that could be read');
    const earlier = (this.#source.earlier ?? []).map((note) => readCheckpoint(note));
    const older = earlier.flatMap((read) => (read ? [read] : []));
    const heads = main && (await this.#judged(main, older));
    const pruning = this.#entries.pruning.finish();
    const sessions = this.#entries.sessions.finish({ coverage: this.#coverage() });
    const { included, pruned, unknown } = this.#entries;
    const size = main?.checkpoint.size ?? 0;
    const unread = this.#source.hasEntries ? 0 : included;
    return {
      isProved: this.#problems.list.length === 0,
      about: 'log',
      problems: this.#problems.list,
      more: this.#problems.more,
      checkpoint: main && {
        origin: main.checkpoint.origin,
        size,
        root: main.checkpoint.root.toString('base64'),
        signedBy: heads?.signedBy ?? [],
      },
      witnessed: heads?.witnessed,
      entries: { included, claimed: Math.max(0, size - (heads?.witnessed?.size ?? 0)), pruned, unknown, unread },
      pruning,
      people: this.#entries.openings.proved(),
      sessions,
      keys: this.#entries.keys.announced(),
    };
  }

  #coverage(): Coverage {
    if (!this.#source.hasEntries || this.#problems.list.length > 0) return 'unknown';
    return this.#entries.pruned === 0 ? 'all' : 'some';
  }

  async #judged(main: Read, older: readonly Read[]): Promise<ReturnType<typeof judgeHeads> | undefined> {
    const { size, root } = main.checkpoint;
    const copies = (this.#options.copies ?? []).map((copy) => readCheckpoint(copy)?.checkpoint.size ?? -1);
    const wanted = new Set([0, size, ...copies, ...older.map(({ checkpoint }) => checkpoint.size)]);
    this.#keepRoot(wanted);
    const heads = [main, ...older, ...(this.#options.copies ?? []).flatMap((copy) => readCheckpoint(copy) ?? [])];
    for (let [index, signed] = [0, 0]; index * TILE_WIDTH < size; index++) {
      if (index * TILE_WIDTH >= signed) signed = this.#signed(heads);
      if (index * TILE_WIDTH >= signed) {
        this.#problems.add('checkpoint_untrusted', 'no key that is trusted signed the checkpoint');
        return undefined;
      }
      if (!(await this.#tile(index, size, wanted))) return undefined;
    }
    if (!this.#tree.root().equals(root)) this.#problems.add('tile_altered', 'the tiles do not lead to the checkpoint');
    const earlier = older.map((read) => ({ size: read.checkpoint.size, read, consistency: [] }));
    const compare = (head: TreeHead): boolean | undefined => this.#roots.get(head.size)?.equals(head.root);
    return judgeHeads({ main, earlier }, this.#options, this.#entries.keys, { problems: this.#problems, compare });
  }

  /** Up to which size somebody who is believed by now has signed: whoever serves a log may make it endless. */
  #signed(heads: readonly Read[]): number {
    const { keys } = this.#entries;
    const claims = heads.map(({ note, checkpoint }) => ({ note, size: checkpoint.size, root: checkpoint.root }));
    keys.settle(claims.filter(({ size, root }) => this.#roots.get(size)?.equals(root) === true));
    return Math.max(0, ...claims.filter((claim) => keys.signers(claim).length > 0).map(({ size }) => size));
  }

  async #tile(index: number, size: number, wanted: ReadonlySet<number>): Promise<boolean> {
    const tile = tileOf(0, index, size);
    const hashes = tile && (await this.#hashes(tile));
    if (!tile || !hashes) {
      this.#problems.add('tile_altered', `the tile 0/${index} is missing or too short`);
      return false;
    }
    for (const hash of hashes) {
      this.#tree.append(hash);
      this.#keepRoot(wanted);
    }
    await this.#above(size);
    if (this.#source.hasEntries) await this.#contents(index, hashes);
    else this.#entries.included += hashes.length;
    return true;
  }

  #keepRoot(wanted: ReadonlySet<number>): void {
    if (wanted.has(this.#tree.size)) this.#roots.set(this.#tree.size, this.#tree.root());
  }

  /** Tiles above the leaves are served too, and others rely on them: each must be what the leaves make of it. */
  async #above(size: number): Promise<void> {
    for (const { level, index, width, hashes } of this.#tree.takeGrown()) {
      const isLast = index * TILE_WIDTH + width === hashesAt(level, size);
      if (level === 0 || (width < TILE_WIDTH && !isLast)) continue;
      const served = await this.#bytes({ level, index, width });
      if (!served || Buffer.compare(served, hashes) !== 0) {
        this.#problems.add('tile_altered', `the tile ${level}/${index} is not what its leaves make of it`);
      }
    }
  }

  async #contents(index: number, hashes: readonly Buffer[]): Promise<void> {
    const bytes =
      (await this.#source.read(entriesPath(index, hashes.length))) ??
      (hashes.length < TILE_WIDTH ? await this.#source.read(entriesPath(index, TILE_WIDTH)) : undefined);
    const parsed = bytes && parseEntryBundle(bytes);
    const first = index * TILE_WIDTH;
    if (parsed && (!parsed.ok || parsed.value.length < hashes.length)) {
      this.#problems.add('entry_missing', 'the bundle of entries is cut', { run: [first, first + hashes.length] });
      return;
    }
    if (parsed) this.#hasContent = true;
    const said = parsed ? undefined : await this.#source.contents?.(first, first + hashes.length);
    hashes.forEach((hash, i) => {
      const found = parsed?.value[i] ?? said?.get(first + i) ?? (this.#hasContent ? 'lost' : 'pruned');
      this.#entries.take(first + i, hash, typeof found === 'string' ? found : Buffer.from(found));
    });
  }

  async #hashes(tile: Tile): Promise<readonly Buffer[] | undefined> {
    const bytes = await this.#bytes(tile);
    return bytes && tileHashes(bytes);
  }

  /** A partial tile may be gone once the full one is there (C2SP tlog-tiles). */
  async #bytes(tile: Tile): Promise<Uint8Array | undefined> {
    const length = tile.width * HASH_BYTES;
    const partial = await this.#source.read(tilePath(tile));
    const bytes =
      partial ??
      (tile.width < TILE_WIDTH ? await this.#source.read(tilePath({ ...tile, width: TILE_WIDTH })) : undefined);
    return bytes && bytes.length >= length ? bytes.subarray(0, length) : undefined;
  }
}
