import type { SignedBatch } from './batch.js';

/** How much is kept for those who come back: minutes of an ordinary day, and no more memory on any other. */
const MAX_BATCHES = 512;
const MAX_BYTES = 1_048_576;

/** The newest batches, each beginning where the one before it ends. */
export class Ring {
  #chain: SignedBatch[] = [];
  #latest: SignedBatch | undefined;
  #bytes = 0;

  /** The newest batch or heartbeat, or nothing when nothing is kept. */
  get latest(): SignedBatch | undefined {
    return this.#latest;
  }

  add(batch: SignedBatch): void {
    if (this.#latest !== undefined && batch.from !== this.#latest.to) this.clear();
    this.#latest = batch;
    if (batch.to === batch.from) return;
    this.#chain.push(batch);
    this.#bytes += batch.frame.length;
    while (this.#chain.length > MAX_BATCHES || (this.#bytes > MAX_BYTES && this.#chain.length > 1))
      this.#bytes -= this.#chain.shift()?.frame.length ?? 0;
  }

  /** Whether nothing is missing between this number and the newest batch. */
  covers(after: number): boolean {
    if (this.#latest === undefined) return false;
    return after >= (this.#chain[0]?.from ?? this.#latest.from);
  }

  /** The batches that go on from this number, the newest heartbeat at their end: always at least one. */
  after(after: number): readonly SignedBatch[] {
    const chain = this.#chain.filter(({ to }) => to > after);
    return this.#latest === undefined || chain.at(-1) === this.#latest ? chain : [...chain, this.#latest];
  }

  clear(): void {
    [this.#chain, this.#latest, this.#bytes] = [[], undefined, 0];
  }
}
