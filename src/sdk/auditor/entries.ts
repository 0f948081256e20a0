import { leafHash } from '../../tlog/index.js';
import { KeyHistory } from './keys.js';
import { Openings } from './openings.js';
import { seenIn } from './record.js';
import { Sessions } from './sessions.js';
import type { Problems } from './verdict.js';
import type { VerifierKey } from '../../tlog/index.js';

/** What passes by of a log, entry by entry, whether from a bundle or from the log itself. */
export class Entries {
  readonly sessions: Sessions;
  readonly keys: KeyHistory;
  readonly openings: Openings;
  readonly #problems: Problems;
  included = 0;
  pruned = 0;
  unknown = 0;

  constructor(problems: Problems, trusted: readonly VerifierKey[]) {
    this.#problems = problems;
    this.sessions = new Sessions(problems);
    this.keys = new KeyHistory(trusted);
    this.openings = new Openings(problems);
  }

  /** An entry with the hash that the tree has for it. A leaf that is not there was pruned: its hash stays proved. */
  take(index: number, hash: Uint8Array, leaf: Buffer | undefined): void {
    this.included += 1;
    if (leaf === undefined) {
      this.pruned += 1;
      return;
    }
    if (leafHash(leaf).compare(hash) !== 0) {
      this.#problems.add('entry_altered', 'its bytes are not those that were hashed', { entry: index });
      return;
    }
    this.#look(index, leaf);
  }

  #look(index: number, leaf: Buffer): void {
    const seen = seenIn(leaf);
    if (!seen) {
      this.unknown += 1;
      return;
    }
    this.sessions.take(index, seen);
    this.keys.take(index, seen);
    this.openings.take(seen);
  }
}
