import type { Result, Seconds } from '../base/index.js';
import type { PolicyFiles } from '../registry/index.js';
import type { DecisionInput, Past, PolicySet, Verdict } from './set/index.js';

/** A stored set without its files. Times in milliseconds since 1970. */
export type PolicySetInfo = Readonly<{
  hash: string;
  isActive: boolean;
  stagedAt: number;
  stagedBy: string;
  activatedAt: number | undefined;
  activatedBy: string | undefined;
  /** The set that was active before this one was last activated. */
  replaced: string | undefined;
}>;

export type Activation = Readonly<{
  by: string;
  /** The registry version that the set was checked against; with another one nothing is done. */
  basis?: number;
}>;

/** Policy sets, each stored whole under the hash of its files. One of them is active, or none. */
export interface PolicyStore {
  /** Keeps a set for later. Keeping it twice changes nothing. */
  stage(set: PolicyFiles, by: string): Promise<'staged' | 'known'>;
  /** The newest first. */
  list(): Promise<readonly PolicySetInfo[]>;
  read(hash: string): Promise<PolicyFiles | undefined>;
  /** One atomic step that every commit after it obeys. Answers the registry's new version, and what was active before. */
  activate(
    hash: string,
    activation: Activation,
  ): Promise<Result<Readonly<{ version: number; before: string | undefined }>, 'unknown' | 'unsettled'>>;
}

/** One tool, what it was decided over, and what came of it. */
export type Judged = Readonly<{ set: PolicySet; input: DecisionInput; verdict: Verdict }>;

/**
 * Keeps what was decided over, for a while, so that another set can be tried on it. Nobody waits for it, and it may be
 * lost: it is no record.
 */
export interface DecisionInputs {
  keep(one: Readonly<{ decision: string; person: string; at: Seconds; judged: readonly Judged[] }>): void;
}

/** Some decisions of the past, the oldest first. `next` is where to read on, `undefined` on the last page. */
export type PastPage = Readonly<{ past: readonly Past[]; next: string | undefined }>;

/** The inputs that are kept. */
export interface KeptInputs {
  /** Those since then that there were when the first page was read. */
  page(since: Seconds, at: Readonly<{ after?: string | undefined; limit: number }>): Promise<PastPage>;
  /** Those of these decisions, none of which is older than `since`, or younger than `until`. */
  of(decisions: readonly string[], since: Seconds, until?: Seconds): Promise<readonly Past[]>;
  /** Erases what is kept about a person. Answers how many inputs that were. */
  erase(person: string, by: string): Promise<number>;
}
