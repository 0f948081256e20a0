import { type Finding, finding, type SeenEntry } from './findings.js';
import { type Mark, marksOf } from './rights-used.js';

/** For so long a mark is remembered: whoever comes back after that may be anybody. */
export const MARKS_LAST = 900;
/** A mark that is still in use is written down anew this often. */
const ANEW = 60;
/** More of one actor tell nothing more. */
const MOST_MARKS = 8;
const DAY = 86_400;

/** What is remembered of actors. */
export interface MarkStore {
  /** The marks of these actors, and those of them whose key is being rotated: two keys are right there. */
  marks(actors: readonly string[]): Promise<Readonly<{ known: readonly Mark[]; rotating: ReadonlySet<string> }>>;
  /** Remembers these, and forgets what was last seen before an instant. */
  remember(marks: readonly Mark[], forgetBefore: number): Promise<void>;
}

/**
 * OWASP NHI9: an actor that comes with one mark, then with another, then with the first again is two workloads, or one and a
 * thief. A restart or a new key never goes back.
 */
export async function twoWorkloads(entries: readonly SeenEntry[], store: MarkStore): Promise<readonly Finding[]> {
  const shown = entries.flatMap(({ record, session }) =>
    record === undefined ? [] : marksOf(record).map((mark) => ({ ...mark, session })),
  );
  if (shown.length === 0) return [];
  const { known, rotating } = await store.marks([...new Set(shown.map(({ actor }) => actor))]);
  const memory = new Memory(known);
  const found = shown.flatMap(({ session, ...mark }) => {
    const other = memory.meet(mark);
    if (other === undefined || (mark.kind === 'key' && rotating.has(mark.actor))) return [];
    return [twofold(mark, other, session)];
  });
  await store.remember(memory.fresh(), Math.max(...shown.map(({ at }) => at)) - MARKS_LAST);
  return found;
}

function twofold({ actor, kind, mark, at }: Mark, other: Mark, session: string | undefined): Finding {
  const facts = { agent: actor, by: kind, marks: [other.mark, mark], seen_at: [other.at, at] };
  return finding('agent_on_two_workloads', `${actor} ${kind} ${Math.floor(at / DAY)}`, { session, facts });
}

class Memory {
  readonly #marks = new Map<string, Map<string, Mark>>();
  readonly #fresh = new Map<string, Mark>();

  constructor(known: readonly Mark[]) {
    for (const mark of [...known].sort((one, other) => one.at - other.at)) this.#of(mark).set(mark.mark, mark);
  }

  /** The other mark that was shown since this one was last, if any. */
  meet(mark: Mark): Mark | undefined {
    const marks = this.#of(mark);
    const before = marks.get(mark.mark);
    const since = (at: number): boolean => at > mark.at - MARKS_LAST;
    const between =
      before !== undefined && since(before.at)
        ? [...marks.values()].find(
            (other) => other.mark !== mark.mark && other.at > before.at && other.at < mark.at && since(other.at),
          )
        : undefined;
    if (before === undefined || between !== undefined || mark.at >= before.at + ANEW) this.#keep(mark, marks);
    return between;
  }

  fresh(): readonly Mark[] {
    return [...this.#fresh.values()];
  }

  #keep(mark: Mark, marks: Map<string, Mark>): void {
    const [first] = marks.keys();
    if (!marks.has(mark.mark) && marks.size >= MOST_MARKS && first !== undefined) marks.delete(first);
    marks.set(mark.mark, mark);
    this.#fresh.set(JSON.stringify([mark.actor, mark.kind, mark.mark]), mark);
  }

  #of({ actor, kind }: Mark): Map<string, Mark> {
    const key = JSON.stringify([actor, kind]);
    const marks = this.#marks.get(key) ?? new Map<string, Mark>();
    this.#marks.set(key, marks);
    return marks;
  }
}
