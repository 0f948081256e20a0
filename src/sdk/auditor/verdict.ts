import type { About } from './header.js';

/** What is wrong, by a stable word. */
export type ProblemCode =
  /** The input is not of the form that it should have. */
  | 'unreadable'
  /** It ends before its end. */
  | 'truncated'
  /** No key that is trusted, or that a trusted one announced, signed the checkpoint. */
  | 'checkpoint_untrusted'
  /** The checkpoint is of another log than the one that was asked about. */
  | 'other_log'
  /** The bundle is about something else than was asked. */
  | 'other_subject'
  /** Two checkpoints of this log are not of one history. */
  | 'inconsistent'
  /** The log is smaller than it was when the copy was made. */
  | 'rolled_back'
  /** Nothing here leads from the copy to the checkpoint. */
  | 'copy_not_compared'
  /** The copy is no checkpoint that a trusted key signed. */
  | 'copy_unusable'
  /** Fewer trusted witnesses than wanted cosigned. */
  | 'not_witnessed'
  /** The bytes of an entry are not those that were hashed. */
  | 'entry_altered'
  /** An entry that should be there is not. */
  | 'entry_missing'
  /** The hashes of a run of entries, or their places, do not lead to the checkpoint. */
  | 'run_altered'
  /** A run that is out of order, or goes beyond its tile or the checkpoint. */
  | 'run_misplaced'
  /** A tile has not the hashes that the checkpoint commits to. */
  | 'tile_altered'
  /** A record of a session is missing. */
  | 'session_gap'
  /** A place in a session is taken twice, or taken after the session was closed. */
  | 'session_double'
  /** The closing summary of a session does not say what is in the session. */
  | 'summary_wrong'
  /** The content of entries is gone as if retention had removed it, and no record of the log says that it would. */
  | 'pruned_unrecorded'
  /** Who a person is said to be is not what the log committed to. */
  | 'opening_wrong'
  /** The log's commitment to a person is not among the entries. */
  | 'opening_unproved';

/** One thing that is wrong, and where: a line of the bundle, an entry by its index in the log, or a run of entries. */
export type Problem = Readonly<{
  code: ProblemCode;
  line?: number | undefined;
  entry?: number | undefined;
  run?: readonly [number, number] | undefined;
  detail: string;
}>;

/** What is proved of a log or of a part of it. `problems` is empty exactly when `isProved`. */
export type Verdict = Readonly<{
  isProved: boolean;
  /** What it is of: the whole log, or what the bundle says of itself; `undefined` when that cannot be read. */
  about: About | 'log' | undefined;
  problems: readonly Problem[];
  /** How many problems there are beyond those that are listed. */
  more: number;
  /** What was proved against. */
  checkpoint: Readonly<{ origin: string; size: number; root: string; signedBy: readonly string[] }> | undefined;
  /** The largest tree of this history that enough witnesses cosigned, or that is older than a copy that was given. */
  witnessed: Readonly<{ size: number; at: number | undefined; by: readonly string[] }> | undefined;
  entries: Readonly<{
    /** Proved to be in the tree of the checkpoint. */
    included: number;
    /** Newer than anything witnessed: nothing but the log's own signature stands for them. */
    claimed: number;
    /** Proved to be in the tree, but their content is said to have been removed by retention. */
    pruned: number;
    /** Of a version that this build does not know: their content was not looked at. */
    unknown: number;
    /** Proved by their hashes alone: their content was not given to whoever asked. */
    unread: number;
  }>;
  pruning: Readonly<{
    /** Which entries are said to be pruned, as far as they are listed. */
    runs: readonly (readonly [number, number])[];
    /** What the newest record of a removal says: of entries below there may be no content. `entry`: that record. */
    recorded: Readonly<{ entry: number; below: number; olderThan: number }> | undefined;
  }>;
  /** Who people are, as far as it was opened and is what the log committed to. */
  people: Readonly<Record<string, Readonly<{ issuer: string; subject: string }>>>;
  sessions: Readonly<{ complete: number; open: number; partial: number }>;
  /** Verifier keys that the log announced under a key that was trusted already. */
  keys: readonly string[];
}>;

const MOST = 100;

/** Collects problems; a wrong input of any size gives a list of bounded size. */
export class Problems {
  readonly list: Problem[] = [];
  more = 0;

  add(code: ProblemCode, detail: string, where: Pick<Problem, 'line' | 'entry' | 'run'> = {}): void {
    if (this.list.length < MOST) this.list.push({ code, ...where, detail });
    else this.more += 1;
  }
}
