import type { Seconds } from '../base/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';

/** As many holds as one statement settles. */
const BATCH = 500;
/** What was asked of Writ with a clock that is a little behind is counted by then. */
const MARGIN: Seconds = 60;

/**
 * What returns to budgets: what a token reserved and did not use, once it can be used no more, and the money, writes and
 * deletions of calls that failed, as far as those did not return when they were reported. INVARIANT: each hold is settled
 * once, by whoever removes it, and gives back no more than it reserved.
 */
export function openBudgets({ prisma }: Database): Readonly<{ settle(grace: Seconds): Promise<void> }> {
  const all = async (sql: string, ...values: readonly unknown[]): Promise<void> => {
    while ((await guarded(() => prisma.$executeRawUnsafe(sql, ...values, BATCH))) === BATCH);
  };
  return {
    settle: async (grace) => {
      await all(SETTLE.told_by_report, grace + MARGIN);
      await all(SETTLE.told_by_use, MARGIN);
      await all(SETTLE.told_by_nobody, MARGIN);
      await all(PRUNE.begun_anew);
      await all(PRUNE.of_closed_session);
    },
  };
}

/**
 * Uses that Writ gave are counted by it; those that the server took by itself are known once it reports outcomes, and only
 * after the time that it has for that. Of what nobody tells nothing returns.
 */
const settle = (told: string): string => `
WITH due AS MATERIALIZED (
  SELECT * FROM budget_hold h
  WHERE h.told_by ${told} AND h.expires_at < now() - make_interval(secs => $1::int)
  ORDER BY h.told_by, h.expires_at LIMIT $2::int FOR UPDATE SKIP LOCKED
), locked AS MATERIALIZED (
  SELECT a.key, a.unit FROM budget_account a WHERE a.key IN (SELECT account FROM due) ORDER BY a.key FOR UPDATE
), told AS MATERIALIZED (
  SELECT d.account, d.per_use, d.uses, d.returned, least(d.uses, greatest(
      coalesce((SELECT u.used FROM token_use u WHERE u.key = d.use_key), 0), reported.calls)) AS used,
    CASE WHEN locked.unit IN ('money', 'writes', 'deletes') THEN reported.failed ELSE 0 END AS failed
  FROM due d JOIN locked ON locked.key = d.account CROSS JOIN LATERAL (
    SELECT count(*) AS calls, count(*) FILTER (WHERE o.outcome = 'failed') AS failed FROM outcome o
    WHERE o.token_hash = d.token_hash AND o.tool = d.tool AND o.server = d.server AND o.flaw IS NULL) reported
  WHERE d.told_by = 'use' OR (d.told_by = 'report' AND EXISTS (SELECT 1 FROM outcome_reporter r WHERE r.server = d.server))
), returned AS (
  UPDATE budget_account a SET used = a.used - back.amount
  FROM (SELECT account, sum(per_use * greatest(uses - used + least(failed, used) - returned, 0)) AS amount FROM told GROUP BY account) back
  WHERE a.key = back.account AND back.amount > 0
)
DELETE FROM budget_hold h USING due
WHERE h.token_hash = due.token_hash AND h.tool = due.tool AND h.account = due.account`;

export const SETTLE = {
  told_by_report: settle(`= 'report'`),
  told_by_use: settle(`= 'use'`),
  told_by_nobody: settle('IS NULL'),
} as const;

/** $1 how many. A scalar subquery, because an EXISTS may be planned as a hash of the whole table. */
const prune = (over: string): string => `
WITH gone AS MATERIALIZED (
  SELECT a.key FROM ${over} AND (SELECT h.account FROM budget_hold h WHERE h.account = a.key LIMIT 1) IS NULL
  LIMIT $1::int FOR UPDATE OF a SKIP LOCKED
)
DELETE FROM budget_account a USING gone WHERE a.key = gone.key`;

/**
 * What began anew an hour ago, and what was a session's that is closed, is debited no more. All that a session reserved is
 * settled soon after it is closed, so those closed long ago have no accounts left.
 */
export const PRUNE = {
  begun_anew: prune(`budget_account a WHERE a.ends_at < now() - interval '1 hour'`),
  of_closed_session: prune(`agent_session s JOIN budget_account a ON a.session_id = s.id
  WHERE s.closed_at > now() - interval '6 hours'`),
} as const;
