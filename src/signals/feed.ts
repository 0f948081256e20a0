import { Fault } from '../base/index.js';
import { HEARTBEAT_MS, MAX_BATCH_ENTRIES } from '../protocol/index.js';
import type { RegistryReader } from '../registry/index.js';
import type { KeyRing } from '../token/index.js';
import { batchOf, signBatch, type SignedBatch } from './batch.js';
import type { Follower } from './follower.js';
import { Pages } from './pages.js';
import type { FeedReader, FeedWatch } from './ports.js';
import { Ring } from './ring.js';

export type FeedDeps = Readonly<{
  issuer: string;
  reader: FeedReader;
  keys: Pick<KeyRing, 'active'>;
  registry: Pick<RegistryReader, 'current'>;
  watch: FeedWatch;
  timeMs: () => number;
}>;

/** For so long after it was last asked for, the database is read although nobody follows. */
const WANTED_MS = 5_000;
/** Whoever waits for a batch is told to come back after this long: the database does not answer. */
const PATIENCE_MS = 4_000;
/** A tick before its time is up, since ticks are not exact. */
const HEARTBEAT_AFTER_MS = HEARTBEAT_MS - 60;

/**
 * The revocations of this deployment as one stream of signed batches, the same for all who follow. INVARIANT: nothing is
 * made but from a read of the database that succeeded, so a feed that cannot read is silent, and its receivers refuse.
 */
export class Feed {
  readonly #deps: FeedDeps;
  readonly #ring = new Ring();
  readonly #pages: Pages;
  readonly #followers = new Set<Follower>();
  readonly #waiting = new Set<(batch: SignedBatch | undefined) => void>();
  #isOver = false;
  #askedMs = -Infinity;
  #readMs = -Infinity;
  #sentMs = -Infinity;
  #registryVersion = -1;

  constructor(deps: FeedDeps) {
    this.#deps = deps;
    this.#pages = new Pages((after) => this.#readPage(after));
  }

  get followers(): number {
    return this.#followers.size;
  }

  /** How long ago the database was last read, in seconds; 0 while nobody wants to know. */
  age(): number {
    return this.#isWanted() && this.#readMs > -Infinity ? (this.#deps.timeMs() - this.#readMs) / 1_000 : 0;
  }

  /** Reads once and sends what there is; says whether there is more. Throws what the database or the keys throw. */
  async step(): Promise<boolean> {
    this.#endStrangers();
    if (!this.#isWanted()) {
      this.#ring.clear();
      return false;
    }
    const from = this.#ring.latest?.to;
    const read = await this.#deps.reader.read(from, MAX_BATCH_ENTRIES);
    this.#readMs = this.#deps.timeMs();
    const batch = batchOf(this.#deps.issuer, from ?? read.highest, read);
    const isNews = batch.to > batch.from || from === undefined;
    if (!isNews && this.#readMs - this.#sentMs < HEARTBEAT_AFTER_MS) return false;
    this.#send(signBatch(batch, this.#deps.keys.active()));
    return read.hasMore;
  }

  /** What goes on from this number, or at the next batch; at once where there is something. */
  async poll(after: number): Promise<readonly SignedBatch[]> {
    const latest = await this.#begun();
    if (!this.#ring.covers(after)) return [await this.#pages.at(after)];
    if (after < latest.to) return this.#ring.after(after);
    return [await this.#next()];
  }

  /** Everything after this number that still counts, a page each, at most so many; the last says whether there is more. */
  async snapshot(after: number, pages: number): Promise<readonly SignedBatch[]> {
    const read: SignedBatch[] = [];
    for (let from = after; read.length < pages; from = read.at(-1)?.to ?? from) {
      const page = await this.#pages.at(from);
      read.push(page);
      if (!page.hasMore) break;
    }
    return read;
  }

  /** Resolves once there is something to follow; throws a Fault when there is not in time. */
  async ready(): Promise<void> {
    await this.#begun();
  }

  /** Sends everything after this number, then whatever comes, for as long as the follower takes it. */
  async follow(follower: Follower, after: number): Promise<void> {
    let at = after;
    await this.#begun();
    while (!this.#ring.covers(at)) {
      const page = await this.#pages.at(at);
      if (follower.isGone || !this.#sendTo(follower, page)) return;
      if (!(await follower.drained())) {
        this.#cutOff(follower);
        return;
      }
      at = page.to;
      await this.#begun();
    }
    // No turn of the event loop between these: a batch that is sent meanwhile would be missing.
    for (const batch of this.#ring.after(at)) if (!this.#sendTo(follower, batch)) return;
    if (this.#isOver || !follower.mayFollow(this.#deps.registry.current())) follower.end();
    else if (!follower.isGone) this.#followers.add(follower);
  }

  leave(follower: Follower): void {
    this.#followers.delete(follower);
  }

  /** Ends every stream, so that whoever follows turns to another process. */
  end(): void {
    this.#isOver = true;
    for (const take of [...this.#waiting]) take(undefined);
    for (const follower of this.#followers) follower.end();
    this.#followers.clear();
  }

  #isWanted(): boolean {
    const isFollowed = this.#followers.size > 0 || this.#waiting.size > 0;
    return isFollowed || this.#deps.timeMs() - this.#askedMs < WANTED_MS;
  }

  async #begun(): Promise<SignedBatch> {
    this.#askedMs = this.#deps.timeMs();
    return this.#ring.latest ?? this.#next();
  }

  #next(): Promise<SignedBatch> {
    return new Promise((resolve, reject) => {
      const take = (batch: SignedBatch | undefined): void => {
        clearTimeout(timer);
        this.#waiting.delete(take);
        if (batch === undefined) reject(new Fault('database_unavailable', 'The feed has nothing to send.'));
        else resolve(batch);
      };
      const timer = setTimeout(take, PATIENCE_MS, undefined).unref();
      if (this.#isOver) take(undefined);
      else this.#waiting.add(take);
    });
  }

  #send(batch: SignedBatch): void {
    this.#ring.add(batch);
    this.#sentMs = this.#deps.timeMs();
    this.#deps.watch.onBatch(batch.to > batch.from ? 'batch' : 'heartbeat');
    for (const take of [...this.#waiting]) take(batch);
    for (const follower of this.#followers) this.#sendTo(follower, batch);
  }

  #sendTo(follower: Follower, batch: SignedBatch): boolean {
    if (follower.send(batch, this.#deps.timeMs())) return true;
    this.#cutOff(follower);
    return false;
  }

  #cutOff(follower: Follower): void {
    this.#followers.delete(follower);
    if (!follower.isGone) follower.cut();
    this.#deps.watch.onCutOff();
  }

  /** Servers that were disabled, removed or given other keys. */
  #endStrangers(): void {
    const registry = this.#deps.registry.current();
    if (registry.version === this.#registryVersion) return;
    this.#registryVersion = registry.version;
    for (const follower of this.#followers) {
      if (follower.mayFollow(registry)) continue;
      this.#followers.delete(follower);
      follower.end();
    }
  }

  async #readPage(after: number): Promise<SignedBatch> {
    const read = await this.#deps.reader.read(after, MAX_BATCH_ENTRIES);
    this.#deps.watch.onBatch('snapshot');
    return signBatch(batchOf(this.#deps.issuer, after, read), this.#deps.keys.active());
  }
}
