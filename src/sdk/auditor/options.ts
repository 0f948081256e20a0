import type { VerifierKey } from '../../tlog/index.js';
import type { Witnesses } from './witnessed.js';

/** What a bundle may be asked about. `range`: up to the end of the log where that comes before. */
export type Asked =
  | Readonly<{ session: string }>
  | Readonly<{ txn: string }>
  | Readonly<{ from: number; until: number }>
  | Readonly<{ range: readonly [number, number] }>;

/** What an auditor trusts, and brings along. */
export type AuditorOptions = Readonly<{
  /** The log's verifier keys that are trusted from the start; at least one. */
  keys: readonly VerifierKey[];
  /** The log's origin; the name of the first key unless given. */
  origin?: string | undefined;
  /** Who must have seen what is proved, from outside of the log. */
  witnesses?: Witnesses | undefined;
  /** Checkpoints of this log that somebody kept: signed notes. The log must be their continuation. */
  copies?: readonly (Uint8Array | string)[];
  /** What the bundle was asked about. Whoever made it may otherwise answer another question. */
  about?: Asked | undefined;
  /** From this entry on content must be there. Unless given, retention may have removed any, the oldest first. */
  prunedBelow?: number | undefined;
}>;
