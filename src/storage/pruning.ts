import type { Database } from './database.js';
import { guarded } from './outage.js';

/** As many rows as one statement removes: far fewer than it has the time for. */
export const PRUNED_AT_ONCE = 5_000;

/** Runs a statement that removes at most {@link PRUNED_AT_ONCE} rows until it finds fewer. */
export async function pruneAll({ prisma }: Database, sql: string, ...values: unknown[]): Promise<void> {
  while ((await guarded(() => prisma.$executeRawUnsafe(sql, ...values))) >= PRUNED_AT_ONCE);
}

/**
 * SQL: removes the rows of a table that a condition fits, the oldest first. Whoever does the same at once takes others.
 *
 * DANGER: a bound of time has to be now(), which is the same for the whole statement. An index is of no use for a bound
 * by clock_timestamp(), since that is asked again at every row.
 */
export const pruneSql = (
  table: string,
  key: string,
  { where, oldest }: Readonly<Record<'where' | 'oldest', string>>,
): string => `
  WITH gone AS MATERIALIZED (
    SELECT ${key} FROM ${table} WHERE ${where} ORDER BY ${oldest} LIMIT ${String(PRUNED_AT_ONCE)} FOR UPDATE SKIP LOCKED
  )
  DELETE FROM ${table} USING gone WHERE ${table}.${key} = gone.${key}`;
