import { isObject, parseObject } from '../../protocol/index.js';
import { fromBase64url, TILE_WIDTH, verifyRange } from '../../tlog/index.js';
import { Entries } from './entries.js';
import { type About, End, EntryLine, type Opening, readCheckpoint, readHeader, RunEnd } from './header.js';
import { compareBy, judgeHeads } from './heads.js';
import { eachLine, textOf } from './lines.js';
import type { Asked, AuditorOptions } from './options.js';
import type { Coverage } from './sessions.js';
import { Problems, type Verdict } from './verdict.js';

/**
 * Judges a bundle without the server that made it: what it says is proved, or which line, entry or run is wrong. Never
 * throws on any bytes, and holds no more than a run of entries and the sessions that are open.
 */
export async function verifyBundle(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: AuditorOptions,
): Promise<Verdict> {
  const reader = new BundleReader(options);
  const came = await eachLine(chunks, (line) => reader.line(line));
  return reader.finish(came);
}

const [INDEX, HASH, LEAF, CLOSE] = ['{"index":', ',"hash":"', '","leaf":"', '"}'];

/** An entry's line as Writ writes it, without parsing it as JSON; `undefined` for any other, which may still be one. */
function entryIn(line: string): Readonly<{ index: number; hash: Buffer; leaf: Buffer }> | undefined {
  const hashAt = line.indexOf(',') + HASH.length;
  const leafAt = hashAt + 43 + LEAF.length;
  if (!line.startsWith(INDEX) || !line.startsWith(HASH, hashAt - HASH.length)) return undefined;
  if (!line.startsWith(LEAF, leafAt - LEAF.length) || !line.endsWith(CLOSE)) return undefined;
  const digits = line.slice(INDEX.length, hashAt - HASH.length);
  const hash = fromBase64url(line.slice(hashAt, hashAt + 43));
  const leaf = fromBase64url(line.slice(leafAt, -CLOSE.length));
  return hash && leaf && /^(0|[1-9]\d{0,15})$/.test(digits) ? { index: Number(digits), hash, leaf } : undefined;
}

class BundleReader {
  readonly #options: AuditorOptions;
  readonly #problems = new Problems();
  readonly #entries: Entries;
  #opening: Opening | undefined;
  #line = 0;
  #run: Buffer[] = [];
  #start = 0;
  /** The first index that a run may begin with. */
  #next = 0;
  /** How many entries are below the sizes that may turn out to be the witnessed one. */
  readonly #below = new Map<number, number>();
  #hasEnded = false;

  constructor(options: AuditorOptions) {
    this.#options = options;
    this.#entries = new Entries(this.#problems, options);
  }

  /** Takes one line; false when nothing that follows could be judged. */
  line(line: Buffer): boolean {
    this.#line += 1;
    if (this.#opening === undefined) return this.#open(line);
    if (this.#hasEnded) return this.#unreadable('something comes after the end');
    const entry = entryIn(line.toString('latin1'));
    return entry ? this.#entry(entry.index, entry.hash, entry.leaf) : this.#other(line);
  }

  finish(came: 'whole' | 'cut' | 'stopped'): Verdict {
    if (came !== 'stopped' && (came === 'cut' || !this.#hasEnded)) {
      this.#problems.add('truncated', 'the bundle stops before its end', { line: this.#line });
    }
    const opening = this.#opening;
    const heads = opening && this.#heads(opening);
    if (came === 'whole' && opening) this.#ofTransaction(opening.about);
    const pruning = this.#entries.pruning.finish();
    const sessions = this.#entries.sessions.finish({ ...this.#wanted(), prunedBefore: pruning.recorded?.olderThan });
    const { included, pruned, unknown } = this.#entries;
    const size = heads?.witnessed?.size ?? 0;
    return {
      isProved: this.#problems.list.length === 0,
      about: opening?.about,
      problems: this.#problems.list,
      more: this.#problems.more,
      checkpoint: opening && { ...headOf(opening), signedBy: heads?.signedBy ?? [] },
      witnessed: heads?.witnessed,
      entries: { included, claimed: included - (this.#below.get(size) ?? 0), pruned, unknown, unread: 0 },
      pruning,
      people: this.#entries.openings.proved(),
      sessions,
      keys: this.#entries.keys.announced(),
    };
  }

  #open(line: Buffer): boolean {
    const header = readHeader(line);
    if (!header.ok) return this.#unreadable(header.error);
    this.#opening = header.value;
    const asked = this.#options.about;
    if (asked && !isAnswer(header.value, asked)) {
      this.#problems.add('other_subject', 'the bundle is about something else than was asked', { line: 1 });
    }
    if ('txn' in header.value.about) this.#entries.lookFor(header.value.about.txn);
    const copies = (this.#options.copies ?? []).map((copy) => readCheckpoint(copy)?.checkpoint.size ?? 0);
    for (const { size } of [header.value.main.checkpoint, ...header.value.earlier]) this.#below.set(size, 0);
    for (const size of copies) this.#below.set(size, 0);
    if (header.value.origin !== header.value.main.checkpoint.origin) {
      this.#problems.add('other_log', 'the checkpoint is not of the log that the bundle names', { line: 1 });
    }
    return true;
  }

  #heads(opening: Opening): ReturnType<typeof judgeHeads> {
    const compare = compareBy(opening.main.checkpoint, opening.earlier);
    return judgeHeads(opening, this.#options, this.#entries.keys, { problems: this.#problems, compare });
  }

  #other(line: Buffer): boolean {
    const text = textOf(line);
    const parsed = text === undefined ? undefined : parseObject(text);
    if (parsed?.ok !== true) return this.#unreadable('is not a JSON object');
    const { value } = parsed;
    const run = RunEnd.safeParse(value);
    if (run.success) return this.#close(run.data);
    const entry = EntryLine.safeParse(value);
    if (entry.success) return this.#parsedEntry(entry.data);
    if (this.#run.length > 0) return this.#unreadable('entries come without the end of their run');
    const end = End.safeParse(value);
    if (end.success) return this.#end(end.data.entries);
    if (!isObject(value['openings']) || Object.keys(value).length > 1)
      return this.#unreadable('is no line of a bundle');
    this.#entries.openings.open(value['openings'], this.#line);
    return true;
  }

  #parsedEntry(entry: ReturnType<typeof EntryLine.parse>): boolean {
    const { index, hash, leaf } = entry;
    if (leaf === null) return this.#entry(index, hash, entry.pruned ? 'pruned' : 'lost');
    const bytes = fromBase64url(leaf);
    return bytes ? this.#entry(index, hash, bytes) : this.#unreadable('the leaf is not base64url');
  }

  #entry(index: number, hash: Buffer, leaf: Buffer | 'pruned' | 'lost'): boolean {
    if (this.#run.length === 0) this.#start = index;
    const size = this.#opening?.main.checkpoint.size ?? 0;
    const expected = this.#start + this.#run.length;
    const isFirstOfTile = index % TILE_WIDTH === 0 && this.#run.length > 0;
    if (index !== expected || index < this.#next || index >= size || isFirstOfTile) {
      const detail = index >= size ? 'is beyond the checkpoint' : 'is out of order, twice, or without the one before';
      this.#problems.add('run_misplaced', detail, { line: this.#line, entry: index });
      return false;
    }
    this.#run.push(hash);
    this.#entries.take(index, hash, leaf);
    return true;
  }

  #close({ run, proof }: ReturnType<typeof RunEnd.parse>): boolean {
    const end = this.#start + this.#run.length;
    if (this.#run.length === 0 || run[0] !== this.#start || run[1] !== end) {
      this.#problems.add('run_misplaced', 'is not the run that came', { line: this.#line, run });
      return false;
    }
    const checkpoint = this.#opening?.main.checkpoint;
    const proved = checkpoint && verifyRange(this.#start, this.#run, checkpoint, proof);
    if (proved?.ok !== true) {
      this.#problems.add('run_altered', 'does not lead to the checkpoint', { line: this.#line, run });
    }
    this.#missing(this.#next, run[0]);
    for (const [size, below] of this.#below) this.#below.set(size, below + Math.max(0, Math.min(end, size) - run[0]));
    this.#run = [];
    this.#next = end;
    return true;
  }

  #end(entries: number): boolean {
    this.#hasEnded = true;
    if (entries !== this.#entries.included) {
      const detail = `the bundle says ${entries} entries, and there are ${this.#entries.included}`;
      this.#problems.add('entry_missing', detail, { line: this.#line });
    }
    this.#missing(this.#next, Infinity);
    return true;
  }

  /** Nothing of a range that was asked for may be left out between these two. */
  #missing(from: number, to: number): void {
    const about = this.#opening?.about;
    if (about === undefined || !('range' in about)) return;
    const [first, last] = [Math.max(from, about.range[0]), Math.min(to, about.range[1])];
    if (first < last) this.#problems.add('entry_missing', `${last - first} entries are left out`, { entry: first });
  }

  #wanted(): Readonly<{ coverage: Coverage; about?: string }> {
    const about = this.#opening?.about;
    if (about === undefined) return { coverage: 'unknown' };
    if ('session' in about) return { coverage: 'some', about: about.session };
    if (!('range' in about)) return { coverage: 'unknown' };
    return { coverage: about.range[0] === 0 && this.#entries.pruned === 0 ? 'all' : 'some' };
  }

  #ofTransaction(about: About): void {
    if (!('txn' in about) || this.#entries.named > 0 || this.#entries.pruned > 0) return;
    this.#problems.add('entry_missing', `nothing here is of the transaction ${about.txn}`);
  }

  #unreadable(detail: string): false {
    this.#problems.add('unreadable', detail, { line: this.#line });
    return false;
  }
}

function isAnswer({ about, main: { checkpoint } }: Opening, asked: Asked): boolean {
  if ('session' in asked) return 'session' in about && about.session === asked.session;
  if ('txn' in asked) return 'txn' in about && about.txn === asked.txn;
  if ('from' in asked) return 'from' in about && about.from === asked.from && about.until === asked.until;
  const [start, end] = asked.range;
  if (!('range' in about) || 'from' in about) return false;
  return about.range[0] === start && about.range[1] === Math.min(end, checkpoint.size);
}

const headOf = ({ main: { checkpoint } }: Opening): Readonly<{ origin: string; size: number; root: string }> => ({
  origin: checkpoint.origin,
  size: checkpoint.size,
  root: checkpoint.root.toString('base64'),
});
