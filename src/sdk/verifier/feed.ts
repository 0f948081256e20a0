import { type FeedBatch, feedId, feedTarget, parseBatch, verifySignature } from '../../protocol/index.js';
import { FeedState } from './feed-state.js';
import { eventsAfter, type FeedSource, snapshotAfter } from './feed-stream.js';
import type { Issuer } from './issuer.js';

/** What Writ says is revoked, followed for as long as this process runs. */
export interface Feed {
  /** Whether one of these ids was revoked after what a token's commit had seen. */
  isRevoked(ids: readonly string[], seen: number): boolean;
  /** How old what is known may be at most, in milliseconds. */
  ageMs(): number;
  /** Resolves once everything was known for the first time, or after `ms`. */
  begun(ms: number): Promise<void>;
  /** Why nothing newer is known. */
  trouble(): unknown;
  close(): void;
}

export type FeedOptions = FeedSource &
  Readonly<{ issuer: Issuer; clockSkewSeconds: number; maxEntries: number; onNews: () => void }>;

/** Several heartbeats are missing. */
const SILENCE_MS = 1_000;
/** A stream whose batches come later than this after they were read, for so long, is left for another connection. */
const LATE_MS = 700;
const LATE_FOR_MS = 2_000;
/** Seconds: less than an entry is kept. */
const SILENT_FOR = 60;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2_000;

/** See {@link Feed}. It begins at once, and begins again whatever happens until it is closed. */
export const followFeed = (options: FeedOptions): Feed => new FollowedFeed(options);

class FollowedFeed implements Feed {
  readonly #options: FeedOptions;
  readonly #state: FeedState;
  /** Whoever waits for the first snapshot, or for the next attempt. */
  readonly #wakers = new Set<() => void>();
  #connection = new AbortController();
  #isClosed = false;
  #trouble: unknown;
  #hasGap = false;
  #streamed = 0;
  #lateSince: number | undefined;

  constructor(options: FeedOptions) {
    this.#options = options;
    this.#state = new FeedState({ capacity: options.maxEntries, skew: options.clockSkewSeconds });
    void this.#run();
  }

  isRevoked(ids: readonly string[], seen: number): boolean {
    return this.#state.isRevoked(ids, seen, this.#options.clock.now());
  }

  ageMs(): number {
    return this.#state.ageMs({ now: performance.now(), wall: this.#wall() });
  }

  async begun(ms: number): Promise<void> {
    const until = performance.now() + ms;
    while (this.#state.newest === undefined && !this.#isClosed && performance.now() < until)
      await this.#sleep(until - performance.now());
  }

  trouble(): unknown {
    return this.#trouble;
  }

  close(): void {
    this.#isClosed = true;
    this.#connection.abort();
    this.#wake();
  }

  async #run(): Promise<void> {
    let failures = 0;
    while (!this.#isClosed) {
      this.#connection = new AbortController();
      const before = this.#streamed;
      try {
        await this.#synchronise();
        await this.#stream();
      } catch (cause) {
        this.#trouble = cause;
      }
      this.#connection.abort();
      failures = this.#streamed > before ? 0 : failures + 1;
      await this.#pause(pauseOf(failures));
    }
  }

  /** Asks for everything that is missing. An answer that was made for a request says how far the issuer's clock can be. */
  async #synchronise(): Promise<void> {
    let after = this.#hasGap ? 0 : this.#state.to;
    this.#hasGap = false;
    for (;;) {
      const asked = performance.now();
      const batches = await snapshotAfter(after, this.#options, this.#connection.signal);
      // After a long silence the withdrawal of a key may be forgotten where it was announced: the published keys know it.
      if (this.ageMs() > SILENT_FOR * 1_000) this.#options.issuer.forgetKeys(SILENT_FOR);
      let last: FeedBatch | undefined;
      for (const text of batches) {
        last = await this.#take(text, asked);
        // A long snapshot is no reason to let requests wait.
        await new Promise(setImmediate);
      }
      if (last?.more === undefined) return;
      if (last.to <= after) throw new Error('the feed repeats itself');
      after = last.to;
    }
  }

  async #stream(): Promise<void> {
    let watch = this.#abortIn(SILENCE_MS + this.#options.timeoutMs);
    this.#lateSince = undefined;
    try {
      for await (const text of eventsAfter(this.#state.to, this.#options, this.#connection.signal)) {
        clearTimeout(watch);
        watch = this.#abortIn(SILENCE_MS);
        await this.#take(text, undefined);
        this.#streamed++;
        this.#leaveIfLate();
      }
      throw new Error('the feed ended');
    } finally {
      clearTimeout(watch);
    }
  }

  #abortIn(ms: number): NodeJS.Timeout {
    return setTimeout(() => {
      this.#connection.abort(new Error('the feed is silent'));
    }, ms).unref();
  }

  /** INVARIANT: nothing of a batch counts before its signature was checked. */
  async #take(text: string, asked: number | undefined): Promise<FeedBatch> {
    const [came, wall] = [performance.now(), this.#wall()];
    const { issuerId, issuer, onNews } = this.#options;
    const parsed = parseBatch(text, issuerId);
    if (!parsed.ok) throw new Error(`the feed sent no batch of this issuer: ${parsed.error}`);
    const { jws, batch } = parsed.value;
    const key = await issuer.keyFor(jws);
    if (!key.ok) throw new Error(`the feed sent a batch by another: ${key.error}`);
    if (!verifySignature(jws, key.value)) throw new Error('the feed sent a batch by another: bad_signature');
    const taken = this.#state.take(batch, { came, asked, wall });
    if (!taken.ok) {
      this.#hasGap ||= taken.error === 'gap';
      throw new Error(`the feed sent what cannot be used: ${taken.error}`);
    }
    if (this.#state.newest !== undefined) this.#wake();
    this.#distrustKeys();
    if (taken.value) onNews();
    this.#state.forget(this.#options.clock.now());
    return batch;
  }

  /**
   * A key that was withdrawn signs nothing any more, batches included, and longer than the feed remembers it. Keys may
   * have been fetched since the last batch.
   */
  #distrustKeys(): void {
    const { issuer } = this.#options;
    for (const kid of issuer.kids()) if (this.isRevoked([feedId(feedTarget.key(kid))], 0)) issuer.distrust(kid);
  }

  #leaveIfLate(): void {
    const now = performance.now();
    if (this.ageMs() <= LATE_MS) this.#lateSince = undefined;
    else if (now - (this.#lateSince ??= now) > LATE_FOR_MS) throw new Error('the feed is late');
  }

  #wall(): number {
    return this.#options.clock.now() * 1_000;
  }

  async #pause(ms: number): Promise<void> {
    const until = performance.now() + ms;
    while (!this.#isClosed && performance.now() < until) await this.#sleep(until - performance.now());
  }

  /** Until it is woken, or for so long. */
  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#wakers.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, Math.max(1, ms)).unref();
      this.#wakers.add(wake);
    });
  }

  #wake(): void {
    for (const wake of [...this.#wakers]) wake();
  }
}

/** Twice as long after each failure, somewhere in its upper half: many servers must not come back at once. */
const pauseOf = (failures: number): number =>
  Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(failures, 10)) * (0.5 + Math.random() / 2);
