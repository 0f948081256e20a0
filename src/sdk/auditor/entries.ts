import { createHash } from 'node:crypto';
import { leafHash } from '../../tlog/index.js';
import { KeyHistory } from './keys.js';
import type { AuditorOptions } from './options.js';
import { Openings } from './openings.js';
import { Pruning } from './pruning.js';
import { seenIn } from './record.js';
import { Sessions } from './sessions.js';
import type { Problems } from './verdict.js';

/** What passes by of a log, entry by entry, whether from a bundle or from the log itself. */
export class Entries {
  readonly sessions: Sessions;
  readonly keys: KeyHistory;
  readonly openings: Openings;
  readonly pruning: Pruning;
  readonly #problems: Problems;
  readonly #prunedBelow: number;
  included = 0;
  pruned = 0;
  unknown = 0;
  /** How many name the transaction that is looked for. */
  named = 0;
  #names: readonly string[] = [];
  #hasContent = false;

  constructor(problems: Problems, { keys, prunedBelow }: AuditorOptions) {
    this.#problems = problems;
    this.#prunedBelow = prunedBelow ?? Infinity;
    this.sessions = new Sessions(problems);
    this.keys = new KeyHistory(keys);
    this.openings = new Openings(problems);
    this.pruning = new Pruning(problems);
  }

  /**
   * An entry with the hash that the tree has for it. A leaf that is not there was pruned, and its hash stays proved; but
   * retention takes the oldest first, and never what came after something that it left (C2SP tlog-tiles, pruning), and
   * says so in the log.
   */
  take(index: number, hash: Uint8Array, leaf: Buffer | 'pruned' | 'lost'): void {
    this.included += 1;
    if (leaf === 'lost') {
      this.#problems.add('entry_missing', 'the log has lost it', { entry: index });
      return;
    }
    if (leaf === 'pruned') {
      this.pruned += 1;
      this.pruning.claim(index);
      if (this.#hasContent) this.#problems.add('entry_missing', 'what came before it was not pruned', { entry: index });
      else if (index >= this.#prunedBelow) this.#problems.add('entry_missing', 'its content is gone', { entry: index });
      return;
    }
    if (leafHash(leaf).compare(hash) !== 0) {
      this.#problems.add('entry_altered', 'its bytes are not those that were hashed', { entry: index });
      return;
    }
    this.#look(index, leaf);
  }

  /** Records have the name of a transaction, or where it came from outside its hash. */
  lookFor(txn: string): void {
    this.#names = [JSON.stringify(txn), `"${createHash('sha256').update(txn).digest('base64url')}"`];
  }

  #look(index: number, leaf: Buffer): void {
    if (this.#names.some((name) => leaf.includes(name))) this.named += 1;
    const seen = seenIn(leaf);
    if (!seen) {
      this.unknown += 1;
      return;
    }
    // The announcements of keys and removals are kept for as long as the log.
    if (seen.kind !== 'key' && seen.kind !== 'retention') this.#hasContent = true;
    this.sessions.take(index, seen);
    this.keys.take(index, seen);
    this.openings.take(seen);
    this.pruning.take(index, seen);
  }
}
