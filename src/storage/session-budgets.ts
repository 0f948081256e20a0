import { z } from 'zod';
import { BudgetScope, BudgetUnit } from '../protocol/index.js';
import type { SessionBudget } from '../session/index.js';
import type { PrismaClient } from './generated/client.js';
import { guarded } from './outage.js';

/** What a session, with all of its tree, has drawn on budgets of its own: the accounts lie under its root. */
export async function budgetsOfSession(prisma: PrismaClient, id: string): Promise<readonly SessionBudget[]> {
  return Accounts.parse(await guarded(() => prisma.$queryRawUnsafe(ACCOUNTS, id, MOST)));
}

const MOST = 200;

/** `identical_calls` has an account for each call: those come last. */
const ACCOUNTS = `
  WITH RECURSIVE up AS (
    SELECT s.id, s.parent_id FROM agent_session s WHERE s.id = $1
    UNION ALL SELECT s.id, s.parent_id FROM up JOIN agent_session s ON s.id = up.parent_id)
  SELECT split_part(a.key, ' ', 1) AS declared_by, a.unit, a.scope, a.currency, trim_scale(a.ceiling)::text AS ceiling,
    trim_scale(a.used)::text AS used, trim_scale(held.amount)::text AS reserved, extract(epoch FROM a.ends_at)::int AS ends_at
  FROM budget_account a CROSS JOIN LATERAL (
    SELECT coalesce(sum(h.per_use * (h.uses - h.returned)), 0) AS amount FROM budget_hold h WHERE h.account = a.key) held
  WHERE a.session_id = (SELECT id FROM up WHERE parent_id IS NULL) AND (a.ends_at IS NULL OR a.ends_at > clock_timestamp())
  ORDER BY a.unit = 'identical_calls', a.key LIMIT $2::int`;

const Accounts = z.array(
  z
    .object({
      declared_by: z.string(),
      unit: BudgetUnit,
      scope: BudgetScope,
      currency: z.string().nullable(),
      ceiling: z.string(),
      used: z.string(),
      reserved: z.string(),
      ends_at: z.number().nullable(),
    })
    .transform(({ declared_by, unit, scope, currency, ceiling, used, reserved, ends_at }): SessionBudget => ({
      ...{ declaredBy: declared_by, unit, scope, limit: ceiling, used, reserved, resetsAt: ends_at ?? undefined },
      ...(currency === null ? {} : { currency }),
    })),
);
