/** Runs one statement by the driver itself and answers its rows; throws what the driver throws. */
export type Rows = (sql: string, values: readonly unknown[]) => Promise<readonly unknown[]>;

/**
 * How statements are planned, as settings of a session. Each text is planned once for a connection, often while its
 * tables are empty, and a plan that reads a small table from end to end still does when it has grown. Ours find rows by
 * their keys, so they are planned that way from the start.
 */
export const PLANNED = ['plan_cache_mode=force_generic_plan', 'enable_seqscan=off', 'jit=off'] as const;
