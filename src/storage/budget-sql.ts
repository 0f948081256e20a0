import { z } from 'zod';
import { AccountScope, BudgetUnit } from '../protocol/index.js';
import type { Breach, Reservation } from '../session/index.js';
import { useKey } from './token-states.js';

/**
 * The parts of the commit that debit budgets. Each exchange brings the accounts that it draws on; `account` is complete but
 * for the id of a session that another may open or has opened already. The first session of a run is the one that the commit
 * will choose: that of the first exchange that may open it. Those below another session draw on the account of the uppermost.
 */
export const DEBIT_CTES = `debit AS MATERIALIZED (
  SELECT s.n, s.owner AS session, d.place, d.one || jsonb_build_object('n', s.n, 'place', d.place,
    'session', CASE WHEN (d.one ->> 'of_session')::boolean THEN s.root END,
    'account', (d.one ->> 'account') || CASE WHEN (d.one ->> 'of_session')::boolean THEN s.root ELSE '' END) AS one
  FROM (
    SELECT owned.*, coalesce((
      WITH RECURSIVE up AS (
        SELECT a.id, a.parent_id FROM agent_session a WHERE a.id = coalesce(owned.known_session, owned.above)
        UNION ALL SELECT a.id, a.parent_id FROM up JOIN agent_session a ON a.id = up.parent_id)
      SELECT up.id FROM up WHERE up.parent_id IS NULL), owned.owner) AS root
    FROM (SELECT e.*, coalesce(e.known_session,
      first_value(CASE WHEN e.opens AND e.screening IS NULL THEN e.session_id END)
        OVER (PARTITION BY e.run ORDER BY e.opens AND e.screening IS NULL DESC, e.n)) AS owner
    FROM screened e
    WHERE e.run IS NOT NULL AND NOT coalesce(e.screening IN ('stale', 'clock', 'session_expired', 'session_due', 'session_ended'), false)
      AND EXISTS (SELECT 1 FROM input i WHERE i.debits IS NOT NULL)
    ) owned
  ) s, jsonb_array_elements(s.debits::jsonb) WITH ORDINALITY AS d(one, place)
  WHERE s.debits IS NOT NULL AND s.decision = 'permit' AND s.screening IS NULL AND s.owner IS NOT NULL
), debited AS MATERIALIZED (
  SELECT exchange, breach FROM budget_debit((SELECT jsonb_agg(one) FROM debit))
)`;

/** What of a debit may return. Its session is the one that the exchange was placed in, or the whole statement fails. */
export const HOLD_CTE = `hold AS (
  INSERT INTO budget_hold (token_hash, tool, account, session_id, use_key, server, told_by, per_use, uses, expires_at)
  SELECT r.token_hash, h.tool, d.one ->> 'account', CASE WHEN r.final IS NULL AND r.session = d.session THEN r.session END,
    h.use_key, h.server, h.told_by, h.per_use, h.uses, to_timestamp(r.token_ends)
  FROM debit d JOIN ruled r ON r.n = d.n,
    jsonb_to_recordset(d.one -> 'holds') AS h(tool TEXT, use_key TEXT, server TEXT, told_by TEXT, per_use NUMERIC, uses INT)
  WHERE r.breach IS NULL
)`;

/**
 * The parts of a report that give back, at once, the money, writes and deletions of calls that failed. `hashed` and `taken`
 * are what is new in it. INVARIANT: of no hold more returns than it holds, and `returned` is not given back again later.
 */
export const REFUND_CTES = `failing AS MATERIALIZED (
  SELECT token_hash, tool, server, count(*)::int AS calls FROM hashed JOIN taken USING (key)
  WHERE outcome = 'failed' AND flaw IS NULL GROUP BY token_hash, tool, server
), failed_hold AS MATERIALIZED (
  SELECT h.token_hash, h.tool, h.account, h.per_use, least(f.calls, h.uses - h.returned) AS back
  FROM failing f JOIN budget_hold h ON h.token_hash = f.token_hash AND h.tool = f.tool AND h.server = f.server
    JOIN budget_account a ON a.key = h.account
  WHERE h.told_by IS NOT NULL AND a.unit IN ('money', 'writes', 'deletes')
  ORDER BY h.token_hash, h.tool, h.account FOR UPDATE OF h
), failed_account AS MATERIALIZED (
  SELECT a.key FROM budget_account a WHERE a.key IN (SELECT account FROM failed_hold) ORDER BY a.key FOR UPDATE
), marked AS (
  UPDATE budget_hold h SET returned = h.returned + f.back FROM failed_hold f
  WHERE h.token_hash = f.token_hash AND h.tool = f.tool AND h.account = f.account AND f.back > 0
), refunded AS (
  UPDATE budget_account a SET used = a.used - back.amount
  FROM (SELECT f.account, sum(f.per_use * f.back) AS amount FROM failed_hold f JOIN failed_account l ON l.key = f.account
    GROUP BY f.account) back
  WHERE a.key = back.account AND back.amount > 0
)`;

/** The `$32` of one exchange. The use of a token at Writ is counted under `use_key`; see token-states.ts. */
export function debitsAsJson({ debits, server, toldBy }: Reservation, tokenHash: string): string {
  return JSON.stringify(
    debits.map(({ key, ofSession, unit, scope, currency, limit, onBreach, endsAt, amount, members, holds }) => ({
      ...{ account: key, of_session: ofSession, unit, scope, currency, ceiling: limit, amount, members },
      ...{ ends_at: endsAt, on_breach: onBreach },
      holds: holds.map(({ tool, perUse, uses }) => ({
        ...{ tool, per_use: perUse, uses, server, told_by: toldBy },
        use_key: useKey(tokenHash, tool),
      })),
    })),
  );
}

/** What the function budget_debit says of an exchange that does not fit. */
export function breachOf(json: string): Breach {
  const {
    unit,
    scope,
    currency,
    ceiling,
    used,
    ends_at: resetsAt,
    on_breach: onBreach,
  } = Found.parse(JSON.parse(json));
  const budget = { unit, scope, limit: ceiling, used, ...(currency === undefined ? {} : { currency }) };
  // It ends with its consent, and never begins anew.
  return { budget, onBreach, resetsAt: scope === 'consent' ? undefined : resetsAt };
}

const Found = z.object({
  unit: BudgetUnit,
  scope: AccountScope,
  currency: z.string().optional(),
  ceiling: z.string(),
  used: z.string(),
  ends_at: z.number().optional(),
  on_breach: z.enum(['refuse', 'pause']),
});
