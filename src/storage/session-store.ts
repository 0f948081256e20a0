import { z } from 'zod';
import type { Clock } from '../base/index.js';
import type { AgentSession, SessionFilter, SessionPage, SessionsAdmin } from '../session/index.js';
import type { Database } from './database.js';
import type { Prisma } from './generated/client.js';
import { guarded } from './outage.js';
import { append } from './records.js';
import { revokeWithin } from './revocations.js';

/** Agent sessions for administrators: list, look, end. */
export function openSessions({ prisma }: Database, clock: Clock): SessionsAdmin {
  return {
    list: async (filter, page) => {
      const rows = Sessions.parse(await guarded(() => prisma.$queryRawUnsafe(LIST, ...listParameters(filter, page))));
      const sessions = rows.slice(0, page.limit);
      return { sessions, next: rows.length > page.limit ? sessions.at(-1)?.id : undefined };
    },
    get: async (id) => Sessions.parse(await guarded(() => prisma.$queryRawUnsafe(`${SELECT} WHERE id = $1`, id)))[0],
    end: (id, by, reason) =>
      guarded(() =>
        prisma.$transaction((transaction) => endSession(transaction, { id, by, reason, now: clock.now() })),
      ),
  };
}

type Ending = Readonly<{ id: string; by: string; reason: string; now: number }>;

/** The session, its number among the revocations and its last record, all in one transaction. */
async function endSession(
  transaction: Prisma.TransactionClient,
  { id, by, reason, now }: Ending,
): Promise<'ended' | 'already_ended' | 'unknown'> {
  const [ended] = Ended.parse(await transaction.$queryRawUnsafe(END, id, by));
  if (ended === undefined) {
    const known = z
      .array(z.unknown())
      .parse(await transaction.$queryRawUnsafe('SELECT 1 FROM agent_session WHERE id = $1', id));
    return known.length > 0 ? 'already_ended' : 'unknown';
  }
  await revokeWithin(transaction, [`session:${id}`], by, reason);
  const session = { id, sequence: ended.last_sequence };
  await append(transaction, {
    kind: 'session',
    at: now,
    facts: { what: 'ended', by },
    decision: 'done',
    reason,
    session,
  });
  return 'ended';
}

/**
 * Closes the session of a run that has come to its end by time, and frees the run for a new one. Whoever comes second
 * finds nothing to close.
 */
export async function closeExpiredRun({ prisma }: Database, runKey: string, now: number): Promise<void> {
  await guarded(() =>
    prisma.$transaction(async (transaction) => {
      const [ended] = Ended.parse(await transaction.$queryRawUnsafe(EXPIRE, runKey, now));
      if (ended === undefined) return;
      const session = { id: ended.id, sequence: ended.last_sequence };
      await append(transaction, {
        kind: 'session',
        at: now,
        facts: { what: 'ended', by: 'writ' },
        decision: 'done',
        reason: 'expired',
        session,
      });
    }),
  );
}

const Ended = z.array(z.object({ id: z.string(), last_sequence: z.number() }));

const END = `
  UPDATE agent_session SET status = 'ended', ended_at = clock_timestamp(), ended_by = $2, last_sequence = last_sequence + 1
  WHERE id = $1 AND status = 'active' RETURNING id, last_sequence`;

/** Five minutes are the longest life of a token: a session that has less left cannot carry another one. */
const EXPIRE = `
  UPDATE agent_session SET status = 'ended', ended_at = clock_timestamp(), ended_by = 'writ',
    last_sequence = last_sequence + 1, run_key = run_key || ' ' || id
  WHERE run_key = $1 AND status = 'active' AND expires_at < to_timestamp($2::bigint + 300) RETURNING id, last_sequence`;

const COLUMNS = `id, person_id, agent_id, status, last_sequence, extract(epoch FROM opened_at)::int AS opened_at,
  extract(epoch FROM last_used_at)::int AS last_used_at, extract(epoch FROM expires_at)::int AS expires_at,
  extract(epoch FROM ended_at)::int AS ended_at, ended_by`;
const SELECT = `SELECT ${COLUMNS} FROM agent_session`;
const LIST = `${SELECT}
  WHERE ($1::text IS NULL OR person_id = $1) AND ($2::text IS NULL OR agent_id = $2) AND ($3::text IS NULL OR status = $3)
    AND ($4::text IS NULL OR id > $4) ORDER BY id LIMIT $5::int`;

const listParameters = (
  { person, agent, status }: SessionFilter,
  { after, limit }: SessionPage,
): readonly unknown[] => [person ?? null, agent ?? null, status ?? null, after ?? null, limit + 1];

const Sessions = z.array(
  z
    .object({
      id: z.string(),
      person_id: z.string(),
      agent_id: z.string(),
      status: z.enum(['active', 'ended']),
      last_sequence: z.number(),
      opened_at: z.number(),
      last_used_at: z.number(),
      expires_at: z.number(),
      ended_at: z.number().nullable(),
      ended_by: z.string().nullable(),
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
    })),
);
