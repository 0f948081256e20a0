import { err, ok, type Result, type Seconds } from '../../base/index.js';
import type { FeedBatch } from '../../protocol/index.js';
import { DenySet } from './deny-set.js';

/**
 * When something came, in milliseconds: by the monotonic clock, and by the one on the wall. `asked` is when its request was
 * sent, for an answer that was made for that request.
 */
export type Arrival = Readonly<{ came: number; asked: number | undefined; wall: number }>;

/** Why a batch that the issuer signed cannot be used: what is before it is missing; no room; a time that cannot be true. */
export type FeedRefusal = 'gap' | 'full' | 'clock';

/** What a verifier knows by the feed, and how old that is. Does no I/O and asks no clock. */
export class FeedState {
  readonly #denied: DenySet;
  readonly #skewMs: number;
  #to = 0;
  /** The newest `at` with which everything up to `#to` was known. */
  #at: number | undefined;
  /** At most so far is the issuer's clock ahead of the monotonic one. */
  #ahead = Infinity;

  constructor({ capacity, skew }: Readonly<{ capacity: number; skew: Seconds }>) {
    this.#denied = new DenySet(capacity);
    this.#skewMs = skew * 1_000;
  }

  /** The highest number that is known. */
  get to(): number {
    return this.#to;
  }

  get newest(): number | undefined {
    return this.#at;
  }

  /**
   * Takes a batch whose signature and issuer were checked, and says whether it revoked something. One that is older than
   * what is known (replayed, or out of order) is harmless and makes nothing younger.
   */
  take({ from, to, at, entries, more }: FeedBatch, arrival: Arrival): Result<boolean, FeedRefusal> {
    if (from > this.#to) return err('gap');
    const isNewer = this.#at === undefined || at > this.#at;
    // The clock on the wall is read in whole seconds.
    if (isNewer && Math.abs(at - arrival.wall) > this.#skewMs + 1_000) return err('clock');
    const now = Math.floor(arrival.wall / 1_000);
    if (!entries.every(([id, number, end]) => this.#denied.put(id, number, end, now))) return err('full');
    const isBehind = to < this.#to;
    this.#to = Math.max(this.#to, to);
    if (isNewer && !isBehind && more === undefined) this.#refresh(at, arrival);
    return ok(entries.length > 0);
  }

  /** How old what is known may be at most, in milliseconds; Infinity before everything was known once. */
  ageMs({ now, wall }: Readonly<{ now: number; wall: number }>): number {
    if (this.#at === undefined) return Infinity;
    // The monotonic clock stands still while a machine is suspended.
    return Math.max(now + this.#ahead - this.#at, wall - this.#at - this.#skewMs);
  }

  isRevoked(ids: readonly string[], seen: number, now: Seconds): boolean {
    return ids.some((id) => this.#denied.numberOf(id, now) > seen);
  }

  forget(now: Seconds): void {
    this.#denied.forget(now);
  }

  /**
   * When a batch came, the issuer's clock showed at least its `at`; when it was asked for, at most that. Only the second
   * may lower the estimate, so a stream that is held up looks old however long that lasts.
   */
  #refresh(at: number, { came, asked }: Arrival): void {
    const atMost = asked === undefined ? this.#ahead : Math.min(this.#ahead, at - asked);
    this.#ahead = Math.max(atMost === Infinity ? 0 : atMost, at - came);
    this.#at = at;
  }
}
