import type { FailureLog } from '../client/index.js';
import type { Clock } from '../base/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';
import { append } from './records.js';

/** More different (client, cause, minute) than this in one minute are counted together. */
const MAX_CAUSES = 1_000;

/**
 * Failures before authentication. The first of its kind in a minute is recorded at once; how many more came in that
 * minute is recorded with the next. An outage of the log must not turn a 401 into something else, so it is reported to
 * `onLoss` and the answer stays what it was: no token is made here.
 */
export function openFailureLog({ prisma }: Database, clock: Clock, onLoss: (error: unknown) => void): FailureLog {
  let minute = -1;
  let counts = new Map<string, number>();
  return {
    note: async ({ client, cause, route }) => {
      const now = clock.now();
      if (Math.floor(now / 60) !== minute) {
        minute = Math.floor(now / 60);
        counts = new Map();
      }
      const known = `${client ?? ''} ${cause} ${route}`;
      const kind = counts.has(known) || counts.size < MAX_CAUSES ? known : 'other';
      const seen = counts.get(kind) ?? 0;
      counts.set(kind, seen + 1);
      if (seen > 0) return;
      try {
        await guarded(() =>
          append(prisma, {
            kind: 'authentication',
            at: now,
            facts: { client: client ?? null, route, minute },
            decision: 'refuse',
            reason: cause,
          }),
        );
      } catch (error) {
        onLoss(error);
      }
    },
  };
}
