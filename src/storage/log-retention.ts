import { z } from 'zod';
import { KEPT_KINDS, type RetentionStore } from '../audit/index.js';
import type { Clock } from '../base/index.js';
import type { Database } from './database.js';
import { ANNOUNCE, FORGET, LOOK, NOBODY, PRUNE, REACH } from './log-retention-sql.js';
import { guarded } from './outage.js';
import { leafOf } from './records.js';

/** Those who follow the tree for Writ itself. What an operator's webhook does not take in time is lost to it, and said so. */
const FOLLOWERS = ['search', 'findings', 'findings-due'];
const PEOPLE = 200;

/** Removes what is old from the log: a statement for each tile, none of which waits for anything but the database. */
export function openRetention(database: Pick<Database, 'rows'>, clock: Clock): RetentionStore {
  const rows = (sql: string, ...values: readonly unknown[]): Promise<readonly unknown[]> =>
    guarded(() => database.rows(sql, values));
  return {
    look: async (noticeSeconds) => {
      const [state] = States.parse(await rows(LOOK, noticeSeconds));
      return state ?? { pruned: 0, announced: 0, isDue: false };
    },
    reach: async (days) => Reaches.parse(await rows(REACH, days, FOLLOWERS))[0],
    announce: async ({ from, below, olderThan, days }) => {
      const facts = { what: 'pruned', from, below, older_than: olderThan, days, by: 'writ' };
      const record = { kind: 'retention', at: clock.now(), facts, decision: 'done', reason: 'retention' } as const;
      const { leaf, leafHash } = leafOf(record);
      return (await rows(ANNOUNCE, from, below, leafHash, olderThan, leaf)).length > 0;
    },
    prune: async (from, days) => {
      const [done] = Pruned.parse(await rows(PRUNE, from, days, KEPT_KINDS));
      return done?.moved === 1 ? done.records : undefined;
    },
    forget: async (after, days) => {
      const people = People.parse(await rows(NOBODY, after, days, PEOPLE));
      const ids = people.filter(({ is_nobody }) => is_nobody).map(({ id }) => id);
      if (ids.length > 0) await rows(FORGET, ids, days);
      return { next: people.length < PEOPLE ? undefined : people.at(-1)?.id };
    },
  };
}

const Count = z.string().transform(Number);
const States = z.array(
  z
    .object({ pruned: Count, announced: Count, is_due: z.boolean() })
    .transform(({ is_due: isDue, ...places }) => ({ ...places, isDue })),
);
const Reaches = z.array(
  z
    .object({ below: Count, older_than: Count })
    .transform(({ below, older_than }) => ({ below, olderThan: older_than })),
);
const Pruned = z.array(z.object({ moved: z.number(), records: z.number() }));
const People = z.array(z.object({ id: z.string(), is_nobody: z.boolean() }));
