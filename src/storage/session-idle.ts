/**
 * SQL: whether an active session has been unused for too long. One with a session below it that lives is in use. A scalar
 * subquery, because an EXISTS may be planned as a hash of the whole table.
 */
export const isIdle = (session: string): string =>
  `(${session}.idle_until < clock_timestamp() AND (
    SELECT below.id FROM agent_session below WHERE below.parent_id = ${session}.id AND below.status <> 'ended' LIMIT 1) IS NULL)`;
