import type { Spend } from '../client/index.js';
import type { JsonObject } from '../protocol/index.js';
import type { OutcomeFlaw, StoredPermit } from './outcome.js';
import type { Outcome, RecordHead, RecordKind } from './record.js';

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

/** What a server reported of one call, weighed against its permit. */
export type NewOutcome = Readonly<{
  /** A hash of the server and its own id of the call. */
  key: string;
  /** A hash of all that was said. */
  content: string;
  server: string;
  tokenHash: string;
  tool: string;
  outcome: 'executed' | 'failed' | 'unknown';
  flaw: OutcomeFlaw | undefined;
  txn: string | undefined;
  session: string | undefined;
  head: RecordHead;
}>;

/** What is kept under a key, now or since an earlier report. */
export type KeptOutcome = Readonly<{ content: string; flaw: string | undefined; leafHash: string }>;

export type OutcomeBatch = Readonly<{
  requestId: string;
  registryVersion: number;
  spends: readonly Spend[];
  outcomes: readonly NewOutcome[];
}>;

/** Outcomes and their records: each pair in one statement, and each call once for all processes. */
export interface OutcomeLog {
  /** The permits of these tokens, by SHA-256 of `jti`. */
  permits(tokenHashes: readonly string[]): Promise<readonly StoredPermit[]>;
  /**
   * Keeps what is new. What fits no permit is kept only up to a number for each server and hour. A stale or replayed
   * request keeps nothing.
   */
  keep(
    batch: OutcomeBatch,
  ): Promise<Readonly<{ registryVersion: number; replayed: boolean; kept: ReadonlyMap<string, KeptOutcome> }>>;
}

/** How a commitment of the log is opened: who the person is, with the salt. */
export type Opening = Readonly<{ issuer: string; subject: string; salt: string }>;

export type KnownPerson = Readonly<{
  id: string;
  issuer: string;
  subject: string;
  status: string;
  groups: readonly string[];
}>;

/** Who the people of the log are, and how that is forgotten. */
export interface PersonNames {
  /** Of those that are not erased and whom the log commits to. */
  openings(ids: readonly string[]): Promise<Readonly<Record<string, Opening>>>;
  find(issuer: string, subject: string): Promise<KnownPerson | undefined>;
  /**
   * Erases who this was: name, attributes and salt, consents and sign-ins. What they were granted ends, and the log stays
   * as it is. Whoever comes again is somebody else.
   */
  erase(id: string, by: string): Promise<'erased' | 'unknown'>;
}
