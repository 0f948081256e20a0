import { type KeptInput, type Outcome, outcomeOf } from './kept.js';
import type { PolicySet, Undecidable } from './policy-set.js';

/** A decision of the past. `person` is who it was about; `kept` is absent when what was kept cannot be read any more. */
export type Past = Readonly<{ decision: string; person: string; kept: KeptInput | undefined }>;

/** Decisions of the past that another set would make otherwise. `tool` is the action's name: server, '#', tool. */
export type Change = Readonly<{
  from: Outcome;
  to: Outcome;
  agent: string;
  person: string;
  tool: string;
  count: number;
  /** Decision ids, a few. */
  examples: readonly string[];
}>;

export type BlastRadius = Readonly<{
  considered: number;
  unchanged: number;
  /** What cannot be decided again, by its reason; it is in no change. */
  undecidable: Readonly<Partial<Record<Undecidable, number>>>;
  changes: readonly Change[];
}>;

const EXAMPLES = 3;

/** What a set would have made of decisions of the past. Never a guess: what was not kept is not decided over. */
export class Replay {
  readonly #set: PolicySet;
  readonly #changes = new Map<string, Change>();
  readonly #undecidable = new Map<Undecidable, number>();
  #considered = 0;
  #unchanged = 0;

  constructor(set: PolicySet) {
    this.#set = set;
  }

  add(past: Past): void {
    this.#considered += 1;
    const { kept } = past;
    const again = kept === undefined ? { undecidable: 'unreadable' as const } : this.#set.redecide(kept);
    if ('undecidable' in again)
      this.#undecidable.set(again.undecidable, (this.#undecidable.get(again.undecidable) ?? 0) + 1);
    else if (kept?.outcome === outcomeOf(again)) this.#unchanged += 1;
    else if (kept !== undefined) this.#change(past, kept, outcomeOf(again));
  }

  get result(): BlastRadius {
    const changes = [...this.#changes.values()].sort((one, other) => other.count - one.count);
    const undecidable = Object.fromEntries(this.#undecidable);
    return { considered: this.#considered, unchanged: this.#unchanged, undecidable, changes };
  }

  #change({ decision, person }: Past, { outcome, agent, tool }: KeptInput, to: Outcome): void {
    const change = { from: outcome, to, agent: agent.id, person, tool: `${tool.server}#${tool.name}` };
    const key = JSON.stringify(change);
    const { count, examples } = this.#changes.get(key) ?? { count: 0, examples: [] };
    const shown = examples.length < EXAMPLES ? [...examples, decision] : examples;
    this.#changes.set(key, { ...change, count: count + 1, examples: shown });
  }
}
