import type { JsonObject } from '../protocol/index.js';
import type { Outcome, RecordKind } from './record.js';

/** A stored record with its place and hash. */
export type LogEntry = Readonly<{
  id: string;
  kind: RecordKind;
  at: number;
  txn: string | undefined;
  leafHash: string;
  facts: JsonObject;
  outcome: Outcome;
}>;

export type LogFilter = Readonly<{ session?: string; txn?: string; kind?: RecordKind }>;

/** `after` is the id of the last entry seen; oldest first. */
export type LogPage = Readonly<{ after?: string; limit: number }>;

/** Reads the log in the order of its ids. */
export interface LogReader {
  read(filter: LogFilter, page: LogPage): Promise<Readonly<{ entries: readonly LogEntry[]; next: string | undefined }>>;
}
