import type { SignedBatch } from './batch.js';

/** More starting points than this at once are read each for itself. */
const MAX_KEPT = 256;

/** Pages of the snapshot, read and signed once for all who ask for the same one in the same moment. */
export class Pages {
  readonly #read: (after: number) => Promise<SignedBatch>;
  readonly #kept = new Map<number, Promise<SignedBatch>>();

  constructor(read: (after: number) => Promise<SignedBatch>) {
    this.#read = read;
  }

  at(after: number): Promise<SignedBatch> {
    const known = this.#kept.get(after);
    if (known !== undefined) return known;
    const page = this.#read(after);
    if (this.#kept.size < MAX_KEPT) this.#kept.set(after, page);
    return page;
  }

  /** The moment is over. */
  clear(): void {
    this.#kept.clear();
  }
}
