import type { VerifierKey } from '../../tlog/index.js';
import type { Witnesses } from './witnessed.js';

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
  /** From this entry on content must be there. Unless given, retention may have removed any, the oldest first. */
  prunedBelow?: number | undefined;
}>;
