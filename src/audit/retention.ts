import type { Seconds } from '../base/index.js';

/** The content of entries below `pruned` is gone; of those below `announced` it goes. */
export type RetentionState = Readonly<{
  pruned: number;
  announced: number;
  /** The record of it is in the tree, and has been for so long that whoever reads a bundle now has it. */
  isDue: boolean;
}>;

/** Whole tiles of entries all of which are old enough. `olderThan`: when all of them had been written. */
export type Reach = Readonly<{ below: number; olderThan: Seconds }>;

export type Announcement = Reach & Readonly<{ from: number; days: number }>;

/** What retention does to the log. Of several processes that do the same at once, one does it. */
export interface RetentionStore {
  look(noticeSeconds: Seconds): Promise<RetentionState>;
  /**
   * How far it may go: what is in the tree, and older than so many days, and found by everybody who follows the tree for
   * Writ itself, and of no session that is not closed. `undefined` while the log is halted.
   */
  reach(days: number): Promise<Reach | undefined>;
  /** Writes the record of what will be removed. */
  announce(announcement: Announcement): Promise<boolean>;
  /** Removes the content of the tile that begins there: how many records. `undefined`: not now, or not any more. */
  prune(from: number, days: number): Promise<number | undefined>;
  /** Of some people: forgets those of whom nothing is left. `next`: whom to go on after. */
  forget(after: string, days: number): Promise<Readonly<{ next: string | undefined }>>;
}

export type RetentionDeps = Readonly<{ store: RetentionStore; days: number; onPruned: (records: number) => void }>;

/** Content goes this long after the record that says so. */
const NOTICE: Seconds = 3_600;
const TILES_AT_ONCE = 16;

/**
 * Removes the content of old entries, the oldest first and by whole tiles, and never their hashes: every proof stays what it
 * was. INVARIANT: nothing is removed that a record in the tree does not cover, so whoever misses content can ask for that.
 */
export function retention({ store, days, onPruned }: RetentionDeps): () => Promise<'more' | 'done'> {
  let forgetAfter: string | undefined;
  return async () => {
    for (let tiles = 0; tiles < TILES_AT_ONCE; tiles++) {
      const { pruned, announced, isDue } = await store.look(NOTICE);
      if (pruned >= announced) break;
      const records = isDue ? await store.prune(pruned, days) : undefined;
      if (records === undefined) return 'done';
      onPruned(records);
      forgetAfter = '';
    }
    if (forgetAfter !== undefined) forgetAfter = (await store.forget(forgetAfter, days)).next;
    else await announce({ store, days });
    return 'done';
  };
}

async function announce({ store, days }: Pick<RetentionDeps, 'store' | 'days'>): Promise<void> {
  const reach = await store.reach(days);
  const { pruned, announced } = await store.look(NOTICE);
  if (reach === undefined || pruned < announced || reach.below <= announced) return;
  await store.announce({ ...reach, from: announced, days });
}
