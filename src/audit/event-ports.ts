import type { Seconds } from '../base/index.js';

/** What is looked for; all of it must fit. `keys` are those of searchKeys. */
export type EventFilter = Readonly<{
  keys: readonly string[];
  since: Seconds | undefined;
  until: Seconds | undefined;
}>;

/** An entry of the tree with its record's bytes; without them where they are lost. What retention removed is not found. */
export type FoundEntry = Readonly<{
  index: number;
  leafHash: string;
  leaf: Buffer | undefined;
  txn: string | undefined;
}>;

/**
 * `next`: the index to read on after, `undefined` when everything below `indexedTo` has been looked at. `prunedBefore`: what
 * was written before may have been removed by retention.
 */
export type EventPage = Readonly<{
  entries: readonly FoundEntry[];
  next: number | undefined;
  indexedTo: number;
  prunedBefore?: Seconds | undefined;
}>;

/**
 * Finds entries in the order of the tree, which never changes: a page that was read stays as it was, and what comes later
 * has a higher index.
 */
export interface EventFinder {
  find(filter: EventFilter, page: Readonly<{ after: number; limit: number }>): Promise<EventPage>;
}

/** Makes what the sequencer has placed findable. */
export interface SearchIndexer {
  step(): Promise<'more' | 'done'>;
}
