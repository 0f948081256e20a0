import type { AccessLog } from '../audit/index.js';
import type { Clock } from '../base/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';
import { append } from './records.js';

/** Accesses of auditors and administrators, each in the log before it is answered. */
export function openAccessLog({ prisma }: Database, clock: Clock): AccessLog {
  return {
    note: ({ who, what, filter, request }) => {
      const facts = { who, what, filter: { ...filter }, request };
      return guarded(() =>
        append(prisma, { kind: 'access', at: clock.now(), facts, decision: 'done', reason: 'asked' }),
      );
    },
  };
}
