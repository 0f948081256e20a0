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
  return {
    settle: async (grace) => {
      while ((await guarded(() => prisma.$executeRawUnsafe(SETTLE, grace + MARGIN, MARGIN, BATCH))) === BATCH);
      await guarded(() => prisma.$executeRawUnsafe(PRUNE));
    },
  };
}

/**
 * Uses that Writ gave are counted by it; those that the server took by itself are known once it reports outcomes, and only
 * after the time that it has for that. Of what nobody tells nothing returns.
 */
const SETTLE = `
WITH due AS MATERIALIZED (
  SELECT * FROM budget_hold h
  WHERE h.expires_at < clock_timestamp() - make_interval(secs => CASE h.told_by WHEN 'report' THEN $1::int ELSE $2::int END)
    AND h.expires_at < clock_timestamp()
  ORDER BY h.expires_at LIMIT $3::int FOR UPDATE SKIP LOCKED
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

/** What began anew an hour ago, and what was a session's that is closed, is debited no more. */
const PRUNE = `
DELETE FROM budget_account a
WHERE (a.ends_at < clock_timestamp() - interval '1 hour'
    OR EXISTS (SELECT 1 FROM agent_session s WHERE s.id = a.session_id AND s.closed_at IS NOT NULL))
  AND NOT EXISTS (SELECT 1 FROM budget_hold h WHERE h.account = a.key)`;
