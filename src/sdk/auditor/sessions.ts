import { createHash } from 'node:crypto';
import type { Seen } from './record.js';
import type { Problems, Verdict } from './verdict.js';

/** How much of each session must be there. `all`: every record from the first on; `some`: none between two that are. */
export type Coverage = 'all' | 'some' | 'unknown';

/** `about`: the one session that was asked for. `prunedBefore` is in seconds. */
export type Wanted = Readonly<{ coverage: Coverage; about?: string; prunedBefore?: number | undefined }>;

type Summary = Readonly<{ sequence: number; facts: Seen['facts']; entry: number }>;

/** Every record from `from` up to but without `next` was seen, and those of `ahead`. */
type State = {
  from: number;
  next: number;
  ahead: Set<number>;
  counted: Record<'entries' | 'permits' | 'refusals' | 'asks' | 'introspections' | 'outcomes', number>;
  summary: Summary | undefined;
  entry: number;
};

const DECISIONS = { permit: 'permits', refuse: 'refusals', ask: 'asks' } as const;
const MOST_AHEAD = 100_000;
const MOST_CLOSED = 2_000_000;

/**
 * Sessions as they pass by: what is decided in one is numbered from 1 without a gap, and a closing summary counts it.
 * Only what is open is held; of a session that is closed and whole no more than that it is.
 */
export class Sessions {
  readonly #open = new Map<string, State>();
  readonly #closed = new Set<number>();
  readonly #problems: Problems;
  #ahead = 0;
  #complete = 0;

  constructor(problems: Problems) {
    this.#problems = problems;
  }

  take(entry: number, seen: Seen): void {
    const { session, sequence } = seen;
    if (session === undefined) return;
    if (this.#closed.has(digestOf(session)) || this.#open.get(session)?.summary) {
      this.#double(`${session} goes on after it was closed`, entry);
      return;
    }
    const state = this.#stateOf(session, entry);
    if (sequence !== undefined && !this.#place(state, sequence)) {
      this.#double(`${session} has its record ${sequence} twice`, entry);
      return;
    }
    if (isSummary(seen) && sequence !== undefined) state.summary = { sequence, facts: seen.facts, entry };
    else count(state, seen);
    if (isWhole(state)) this.#forget(session, state);
  }

  /**
   * When everything has passed by: says what is missing, also of the session that was asked `about`. What was written
   * before `prunedBefore` may be gone, so only a session that was opened later must be there from its first record on.
   */
  finish({ coverage, about, prunedBefore }: Wanted): Verdict['sessions'] {
    let [open, partial] = [0, 0];
    for (const [session, state] of this.#open) {
      const mayLack = prunedBefore !== undefined && !(openedAt(state) >= prunedBefore);
      const gap = gapIn(state, coverage === 'all' || (session === about && !mayLack));
      if (gap !== undefined && coverage !== 'unknown') this.#gap(`${session} lacks its record ${gap}`, state.entry);
      if (state.from === 1 && gap === undefined) open += 1;
      else partial += 1;
    }
    if (about !== undefined && this.#complete + open + partial === 0) this.#gap(`nothing here is of ${about}`);
    return { complete: this.#complete, open, partial };
  }

  #stateOf(session: string, entry: number): State {
    const known = this.#open.get(session);
    if (known) return known;
    const counted = { entries: 0, permits: 0, refusals: 0, asks: 0, introspections: 0, outcomes: 0 };
    const state = { from: 0, next: 0, ahead: new Set<number>(), counted, summary: undefined, entry };
    this.#open.set(session, state);
    return state;
  }

  /** False when the place is taken. What is far ahead of the rest is held up to a limit; beyond it, it counts as missing. */
  #place(state: State, sequence: number): boolean {
    if ((sequence >= state.from && sequence < state.next) || state.ahead.has(sequence)) return false;
    if (state.next === 0) [state.from, state.next] = [sequence, sequence + 1];
    else if (sequence === state.next) state.next += 1;
    else if (sequence === state.from - 1) state.from -= 1;
    else if (this.#ahead < MOST_AHEAD) {
      state.ahead.add(sequence);
      this.#ahead += 1;
    }
    for (; state.ahead.delete(state.next); this.#ahead -= 1) state.next += 1;
    for (; state.ahead.delete(state.from - 1); this.#ahead -= 1) state.from -= 1;
    return true;
  }

  #forget(session: string, { counted, summary }: State): void {
    for (const [name, count] of Object.entries(counted)) {
      const said = summary?.facts?.[name];
      if (said === undefined || said === count) continue;
      const detail = `the summary of ${session} says ${JSON.stringify(said)} ${name}, and there are ${count}`;
      this.#problems.add('summary_wrong', detail, { entry: summary?.entry });
    }
    this.#open.delete(session);
    this.#closed.add(digestOf(session));
    const [oldest] = this.#closed;
    if (this.#closed.size > MOST_CLOSED && oldest !== undefined) this.#closed.delete(oldest);
    this.#complete += 1;
  }

  #double(detail: string, entry: number): void {
    this.#problems.add('session_double', detail, { entry });
  }

  #gap(detail: string, entry?: number): void {
    this.#problems.add('session_gap', detail, { entry });
  }
}

/** Not a number while that is not known. */
const openedAt = ({ summary }: State): number => Number(summary?.facts?.['opened_at'] ?? NaN);

const isSummary = ({ kind, facts }: Seen): boolean => kind === 'session' && facts?.['what'] === 'closed';

/** As the summary counts: all that there is, numbered or not; the decisions, and with them the uses that were refused. */
function count({ counted }: State, { kind, decision, sequence }: Seen): void {
  counted.entries += 1;
  if (kind === 'outcome') counted.outcomes += 1;
  if (kind === 'introspection') counted.introspections += 1;
  const isDecision = sequence === undefined ? kind !== 'outcome' && decision === 'refuse' : kind === 'exchange';
  if (!isDecision) return;
  if (decision === 'permit' || decision === 'refuse' || decision === 'ask') counted[DECISIONS[decision]] += 1;
}

/** 53 bits that stand for the name of a session, of which there may be millions. */
const digestOf = (session: string): number =>
  Number(createHash('sha256').update(session).digest().readBigUInt64BE() >> 11n);

/** Closed, and everything from the first record up to the summary was seen. */
const isWhole = ({ from, next, ahead, summary }: State): boolean =>
  summary !== undefined && from === 1 && ahead.size === 0 && next === summary.sequence + 1;

function gapIn({ from, next, ahead }: State, fromFirst: boolean): number | undefined {
  if (fromFirst && from !== 1) return from === 0 ? 1 : from - 1;
  return ahead.size > 0 ? next : undefined;
}
