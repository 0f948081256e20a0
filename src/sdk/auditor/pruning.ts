import type { Seen } from './record.js';
import type { Problems, Verdict } from './verdict.js';

const MOST_RUNS = 100;

/** Entries whose content is said to have been removed by retention, against the records of what it would remove. */
export class Pruning {
  readonly #problems: Problems;
  /** The last of them takes in whatever does not fit any more. */
  readonly #runs: [start: number, end: number][] = [];
  #recorded: Verdict['pruning']['recorded'];

  constructor(problems: Problems) {
    this.#problems = problems;
  }

  /** Entries come in order. */
  claim(index: number): void {
    const last = this.#runs.at(-1);
    if (last && (last[1] === index || this.#runs.length === MOST_RUNS)) last[1] = index + 1;
    else this.#runs.push([index, index + 1]);
  }

  /** A record says nothing of what came after it. */
  take(entry: number, { kind, facts }: Seen): void {
    if (kind !== 'retention' || facts?.['what'] !== 'pruned') return;
    const { below, older_than: olderThan } = facts;
    if (typeof below !== 'number' || typeof olderThan !== 'number' || below > entry) return;
    if (below >= (this.#recorded?.below ?? 0)) this.#recorded = { entry, below, olderThan };
  }

  /** When everything has passed by: the records come after what they are about. */
  finish(): Verdict['pruning'] {
    const below = this.#recorded?.below ?? 0;
    for (const [start, end] of this.#runs) {
      const run = [Math.max(start, below), end] as const;
      const detail = 'the content is gone, and no record here says that retention would remove it';
      if (run[0] < run[1]) this.#problems.add('pruned_unrecorded', detail, { run });
    }
    return { runs: this.#runs, recorded: this.#recorded };
  }
}
