import type { Result } from '../base/index.js';
import type { PolicyFiles } from '../registry/index.js';

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
