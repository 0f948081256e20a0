import type { FailureLog } from '../client/index.js';
import type { Clock, Seconds } from '../base/index.js';
import type { WritesBehind } from './behind.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';
import { append } from './records.js';

/** More different (client, cause, minute) than this in one minute are counted together. */
const MAX_CAUSES = 1_000;

/**
 * Failures before authentication: the first of its kind in a minute is recorded, so that a flood of them cannot fill the
 * log. How many there are, the metrics count.
 */
export function openFailureLog({ prisma }: Database, clock: Clock, behind: WritesBehind): FailureLog {
  let minute = -1;
  let counts = new Map<string, number>();
  const isFirst = (known: string, now: Seconds): boolean => {
    if (Math.floor(now / 60) !== minute) {
      minute = Math.floor(now / 60);
      counts = new Map();
    }
    const kind = counts.has(known) || counts.size < MAX_CAUSES ? known : 'other';
    const seen = counts.get(kind) ?? 0;
    counts.set(kind, seen + 1);
    return seen === 0;
  };
  return {
    note: ({ client, cause, route }) => {
      const now = clock.now();
      if (!isFirst(`${client ?? ''} ${cause} ${route}`, now)) return;
      const facts = { client: client ?? null, route, minute };
      behind.add(
        guarded(() => append(prisma, { kind: 'authentication', at: now, facts, decision: 'refuse', reason: cause })),
      );
    },
  };
}
