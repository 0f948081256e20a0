import type { Seconds } from '../base/index.js';

/** What the database says of its revocations at one moment. */
export type FeedRead = Readonly<{
  /** Milliseconds of its clock: everything that was committed before then is seen. */
  at: number;
  /** The highest number there is. */
  highest: number;
  /** Those after the number that was asked for and young enough to matter, ascending. */
  entries: readonly Readonly<{ target: string; number: number; exp: Seconds }>[];
  hasMore: boolean;
}>;

export interface FeedReader {
  /** At most `limit` entries after this number; without one, none. Throws a Fault when the database does not answer. */
  read(after: number | undefined, limit: number): Promise<FeedRead>;
}

/** For operators. */
export type FeedWatch = Readonly<{
  onBatch(kind: 'batch' | 'heartbeat' | 'snapshot'): void;
  /** A follower that did not take what it was sent. */
  onCutOff(): void;
}>;
