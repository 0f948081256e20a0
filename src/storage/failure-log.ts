import type { FailureLog } from '../client/index.js';
import type { Clock, Seconds } from '../base/index.js';
import type { WritesBehind } from './behind.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';
import { append } from './records.js';

/**
 * Failures before authentication: the first of its kind in a minute is recorded, so that a flood of them cannot fill the
 * log. Its record says how many more of that kind there were since the record before it (`earlier`).
 */
export function openFailureLog({ prisma }: Database, clock: Clock, behind: WritesBehind): FailureLog {
  const count = failureCounter();
  return {
    note: ({ client, cause, route }) => {
      const at = clock.now();
      const counted = count(`${client ?? ''} ${cause} ${route}`, at);
      if (counted === undefined) return;
      const facts = { client: client ?? null, route, minute: minuteOf(at), ...counted };
      behind.add(
        guarded(() => append(prisma, { kind: 'authentication', at, facts, decision: 'refuse', reason: cause })),
      );
    },
  };
}

/** What the first failure of its kind in a minute is recorded with. `earlier_of_rare`: of all kinds counted together. */
export type Counted = Readonly<{ earlier: number } | { earlier_of_rare: number }>;

/** `undefined`: counted, and not to be recorded. Of more than `most` kinds at once the rest is counted together. */
export function failureCounter(most = 1_000): (kind: string, now: Seconds) => Counted | undefined {
  let minute = -1;
  let counts = new Map<string, Count>();
  const rare: Count = { recorded: -1, further: 0 };
  const turn = (now: Seconds): void => {
    if (minuteOf(now) === minute) return;
    minute = minuteOf(now);
    const owed = [...counts].filter(([, { further }]) => further > 0);
    // Half of the room is for kinds of this minute, or those of the past could keep new ones out.
    const kept = Math.floor(most / 2);
    for (const [, { further }] of owed.slice(kept)) rare.further += further;
    counts = new Map(owed.slice(0, kept));
  };
  const once = (count: Count): number | undefined => {
    if (count.recorded === minute) {
      count.further += 1;
      return undefined;
    }
    const earlier = count.further;
    Object.assign(count, { recorded: minute, further: 0 });
    return earlier;
  };
  return (kind, now) => {
    turn(now);
    const known = counts.get(kind) ?? (counts.size < most ? { recorded: -1, further: 0 } : undefined);
    if (known === undefined) {
      const earlier = once(rare);
      return earlier === undefined ? undefined : { earlier_of_rare: earlier };
    }
    counts.set(kind, known);
    const earlier = once(known);
    return earlier === undefined ? undefined : { earlier };
  };
}

type Count = { recorded: number; further: number };

const minuteOf = (now: Seconds): number => Math.floor(now / 60);
