import { z } from 'zod';
import type { EntryFinder } from '../audit/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';

/** Where the entries of a session, a transaction or a time are in the tree. What is not sequenced yet is nowhere. */
export function openEntryFinder(database: Pick<Database, 'rows'>): EntryFinder {
  const rows = (sql: string, ...values: readonly unknown[]): Promise<readonly unknown[]> =>
    guarded(() => database.rows(sql, values));
  return {
    indexes: async (of, { after, limit }) => {
      const [column, value] = 'session' in of ? ['session_id', of.session] : ['txn', of.txn];
      const sql = `SELECT e.index::text AS index FROM log_leaf l JOIN log_entry e ON e.leaf_id = l.id
        WHERE l.${column} = $1 AND e.index > $2::bigint ORDER BY e.index LIMIT $3::int`;
      return Indexes.parse(await rows(sql, value, after, limit)).map(({ index }) => index);
    },
    between: async (from, until) => {
      const sql = `SELECT min(e.index)::text AS first, max(e.index)::text AS last FROM log_leaf l
        JOIN log_entry e ON e.leaf_id = l.id WHERE l.at >= to_timestamp($1::bigint) AND l.at < to_timestamp($2::bigint)`;
      const [found] = Between.parse(await rows(sql, from, until));
      return found?.first == null || found.last == null ? undefined : [Number(found.first), Number(found.last) + 1];
    },
  };
}

const Indexes = z.array(z.object({ index: z.string().transform(Number) }));
const Between = z.array(z.object({ first: z.string().nullable(), last: z.string().nullable() }));
