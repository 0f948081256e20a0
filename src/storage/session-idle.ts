import type { Seconds } from '../base/index.js';

/**
 * SQL: whether an active session has been unused for too long. One with a session below it that lives is in use. A scalar
 * subquery, because an EXISTS may be planned as a hash of the whole table.
 */
export const isIdle = (session: string): string =>
  `(${session}.idle_until < now() AND (
    SELECT below.id FROM agent_session below WHERE below.parent_id = ${session}.id AND below.status <> 'ended' LIMIT 1) IS NULL)`;

/**
 * SQL: until when a session that is used now may be unused; `seconds` is how long. DANGER: this is in an index. To the
 * minute, so that most uses change no index at all (a heap-only update).
 */
export const idleUntil = (seconds: string): string =>
  `date_trunc('minute', clock_timestamp() + make_interval(secs => ${seconds}::int)) + interval '1 minute'`;

/** How long a session may be unused where nothing else is configured. */
export const IDLE: Seconds = 1_800;
