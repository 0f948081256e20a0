import type { SignedBatch } from './batch.js';

/** More starting points than this at once are read each for itself. */
const MAX_SHARED = 256;

/**
 * Pages of the snapshot, read and signed once for all who ask for the same one in the same moment. INVARIANT: the read of a
 * page begins after everyone who gets it has asked, because they take its `at` for later than that. Who asks while one is
 * under way shares the one after it.
 */
export class Pages {
  readonly #read: (after: number) => Promise<SignedBatch>;
  readonly #running = new Map<number, Promise<unknown>>();
  readonly #next = new Map<number, Promise<SignedBatch>>();

  constructor(read: (after: number) => Promise<SignedBatch>) {
    this.#read = read;
  }

  at(after: number): Promise<SignedBatch> {
    const next = this.#next.get(after);
    if (next !== undefined) return next;
    if (this.#next.size + this.#running.size >= MAX_SHARED) return this.#read(after);
    const page = this.#begin(after);
    this.#next.set(after, page);
    return page;
  }

  async #begin(after: number): Promise<SignedBatch> {
    await Promise.allSettled([this.#running.get(after)]);
    this.#next.delete(after);
    const page = this.#read(after);
    this.#running.set(after, page);
    try {
      return await page;
    } finally {
      this.#running.delete(after);
    }
  }
}
