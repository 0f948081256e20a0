import { z } from 'zod';
import type { Clock, Seconds } from '../base/index.js';
import { feedTarget } from '../protocol/index.js';
import type { AgentSession, SessionFilter, SessionPage, SessionsAdmin, SessionWish } from '../session/index.js';
import type { Database } from './database.js';
import type { Prisma } from './generated/client.js';
import { guarded } from './outage.js';
import { revokeWithin } from './revocations.js';
import { budgetsOfSession } from './session-budgets.js';
import { openSessionChanges } from './session-changes.js';
import { isIdle } from './session-idle.js';
import { endSessions, lockTrees } from './session-tree.js';

/** Agent sessions for administrators: list, look, pause, resume, end. */
export function openSessions(database: Database, clock: Clock): SessionsAdmin {
  const { prisma } = database;
  return {
    list: async (filter, page) => {
      const rows = Sessions.parse(await guarded(() => prisma.$queryRawUnsafe(LIST, ...listParameters(filter, page))));
      const sessions = rows.slice(0, page.limit);
      return { sessions, next: rows.length > page.limit ? sessions.at(-1)?.id : undefined };
    },
    get: async (id) => Sessions.parse(await guarded(() => prisma.$queryRawUnsafe(`${SELECT} WHERE id = $1`, id)))[0],
    budgets: (id) => budgetsOfSession(prisma, id),
    ...openSessionChanges(database, () => clock.now()),
  };
}

/**
 * Closes the session of a run that has come to its end by time, with all below it, and frees the run for a new one; likewise
 * from a session that was ended, or opened by another key, before the person signed in, and from that of a person who is
 * erased. Whoever comes second finds nothing to close.
 */
export async function closeExpiredRun(
  { prisma }: Database,
  { runKey, signedInSince, jkt }: Pick<SessionWish, 'runKey' | 'signedInSince' | 'jkt'>,
  now: Seconds,
): Promise<void> {
  const over = async (transaction: Prisma.TransactionClient): Promise<z.infer<typeof Over>[number] | undefined> =>
    Over.parse(await transaction.$queryRawUnsafe(OVER, runKey, now, signedInSince ?? null, jkt ?? ''))[0];
  await guarded(() =>
    prisma.$transaction(async (transaction) => {
      if (signedInSince !== undefined) await transaction.$executeRawUnsafe(FREE_FROM_ENDED, runKey, signedInSince);
      const found = await over(transaction);
      if (found === undefined) return;
      // Asked again under the lock: whoever used it meanwhile is not to lose it.
      await lockTrees(transaction, [found.id]);
      const { id, reason } = (await over(transaction)) ?? {};
      if (id === undefined || reason === undefined) return;
      const ended = await endSessions(transaction, [id], { by: 'writ', reason, now });
      await transaction.$executeRawUnsafe(FREE, id);
      // Before its time is over it may have tokens that live, which introspection takes for ended from now on.
      await revokeWithin(transaction, ended.map(feedTarget.session), 'writ', reason);
    }),
  );
}

const Over = z.array(z.object({ id: z.string(), reason: z.string() }));

const FREE_FROM_ENDED = `
  UPDATE agent_session SET run_key = run_key || ' ' || id
  WHERE run_key = $1 AND status = 'ended' AND ended_at < to_timestamp($2::bigint)`;

/** Five minutes are the longest life of a token: a session that has less left cannot carry another one. */
const OVER = `
  SELECT id, reason FROM agent_session s CROSS JOIN LATERAL (SELECT CASE
      WHEN expires_at < to_timestamp($2::bigint + 300) THEN 'expired'
      WHEN ${isIdle('s')} THEN 'idle'
      WHEN jkt <> $4 AND opened_at < to_timestamp($3::bigint) THEN 'signed in anew with another key'
      WHEN NOT EXISTS (SELECT 1 FROM person p WHERE p.id = s.person_id) THEN 'erased' END AS reason) why
  WHERE run_key = $1 AND status = 'active' AND reason IS NOT NULL`;

const FREE = `UPDATE agent_session SET run_key = run_key || ' ' || id WHERE id = $1`;

const COLUMNS = `id, person_id, agent_id, status, last_sequence, extract(epoch FROM opened_at)::int AS opened_at,
  extract(epoch FROM last_used_at)::int AS last_used_at, extract(epoch FROM expires_at)::int AS expires_at,
  extract(epoch FROM ended_at)::int AS ended_at, ended_by, ended_reason, parent_id, purpose, acr, jkt,
  extract(epoch FROM idle_until)::int AS idle_until, extract(epoch FROM paused_at)::int AS paused_at, paused_by,
  paused_reason, paused_with, extract(epoch FROM resumes_at)::int AS resumes_at`;
const SELECT = `SELECT ${COLUMNS} FROM agent_session`;
const LIST = `${SELECT}
  WHERE ($1::text IS NULL OR person_id = $1) AND ($2::text IS NULL OR agent_id = $2) AND ($3::text IS NULL OR status = $3)
    AND ($4::text IS NULL OR parent_id = $4)
    AND ($7::boolean IS NULL OR status <> 'ended') AND ($5::text IS NULL OR id > $5) ORDER BY id LIMIT $6::int`;

const listParameters = (
  { person, agent, status, parent, live }: SessionFilter,
  { after, limit }: SessionPage,
): readonly unknown[] => [
  person ?? null,
  agent ?? null,
  status ?? null,
  parent ?? null,
  after ?? null,
  limit + 1,
  live ?? null,
];

const Sessions = z.array(
  z
    .object({
      id: z.string(),
      person_id: z.string(),
      agent_id: z.string(),
      status: z.enum(['active', 'paused', 'ended']),
      last_sequence: z.number(),
      opened_at: z.number(),
      last_used_at: z.number(),
      expires_at: z.number(),
      ended_at: z.number().nullable(),
      ended_by: z.string().nullable(),
      ended_reason: z.string().nullable(),
      parent_id: z.string().nullable(),
      purpose: z.string().nullable(),
      acr: z.string().nullable(),
      jkt: z.string().nullable(),
      idle_until: z.number().nullable(),
      paused_at: z.number().nullable(),
      paused_by: z.string().nullable(),
      paused_reason: z.string().nullable(),
      paused_with: z.string().nullable(),
      resumes_at: z.number().nullable(),
    })
    .transform((row): AgentSession => ({
      id: row.id,
      personId: row.person_id,
      agentId: row.agent_id,
      status: row.status,
      lastSequence: row.last_sequence,
      openedAt: row.opened_at,
      lastUsedAt: row.last_used_at,
      expiresAt: row.expires_at,
      endedAt: row.ended_at ?? undefined,
      endedBy: row.ended_by ?? undefined,
      endedReason: row.ended_reason ?? undefined,
      parentId: row.parent_id ?? undefined,
      purpose: row.purpose ?? undefined,
      acr: row.acr ?? undefined,
      jkt: row.jkt ?? undefined,
      idleUntil: row.idle_until ?? undefined,
      paused:
        row.paused_at === null
          ? undefined
          : {
              at: row.paused_at,
              by: row.paused_by ?? '',
              reason: row.paused_reason ?? '',
              with: row.paused_with ?? row.id,
              resumesAt: row.resumes_at ?? undefined,
            },
    })),
);
