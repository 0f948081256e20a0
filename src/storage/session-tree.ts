import { z } from 'zod';
import type { Seconds } from '../base/index.js';
import { feedTarget, type Json } from '../protocol/index.js';
import type { Prisma, PrismaClient } from './generated/client.js';
import { guarded } from './outage.js';
import { appendAll } from './records.js';
import { revokeWithin } from './revocations.js';

type Transaction = Prisma.TransactionClient;

export type LockedSession = Readonly<{
  id: string;
  status: string;
  person: string;
  pausedWith: string | undefined;
  pausedBy: string | undefined;
  /** Seconds until a pause ends by itself; undefined without an end of its own. */
  resumesIn: number | undefined;
}>;

/**
 * Locks these sessions and all that lives below them.
 *
 * INVARIANT: whoever opens a session below another holds that one (see the commit), so that nothing can be opened below what
 * is locked; what was opened while the tree was found is found in the next look. All that one look finds is locked in the
 * order in which commits lock sessions: whoever took a child before its parent could wait for a commit in a circle.
 */
export async function lockTrees(transaction: Transaction, roots: readonly string[]): Promise<readonly LockedSession[]> {
  const locked: LockedSession[] = [];
  for (;;) {
    const known = new Set(idsOf(locked));
    const found = Ids.parse(await transaction.$queryRawUnsafe(TREE, roots));
    const anew = idsOf(found).filter((id) => !known.has(id));
    if (anew.length === 0) return locked;
    locked.push(...Locked.parse(await transaction.$queryRawUnsafe(LOCK, anew)));
  }
}

export type SessionEnding = Readonly<{ by: string; reason: string; now: Seconds }>;

/**
 * Ends those of these sessions that live, and all below them, each with its last record; answers their ids. Their numbers
 * are the caller's to write.
 */
export async function endSessions(
  transaction: Transaction,
  sessions: readonly string[],
  ending: SessionEnding,
): Promise<readonly string[]> {
  if (sessions.length === 0) return [];
  const ids = idsOf(await lockTrees(transaction, sessions));
  const ended = ChangedSessions.parse(await transaction.$queryRawUnsafe(END, ids, ending.by, ending.reason));
  const [root] = sessions.length === 1 ? sessions : [];
  await recordChanges(transaction, { what: 'ended', root, ...ending }, ended);
  return idsOf(ended);
}

/** So many sessions end in one transaction: it lasts seconds. */
export const AT_ONCE = 500;

/** Ends any number of sessions, some at a time, each with its number. Whoever was interrupted begins again. */
export async function endInGroups(
  prisma: PrismaClient,
  sessions: readonly string[],
  ending: SessionEnding,
): Promise<void> {
  for (let at = 0; at < sessions.length; at += AT_ONCE)
    await guarded(() =>
      prisma.$transaction(async (transaction) => {
        const ended = await endSessions(transaction, sessions.slice(at, at + AT_ONCE), ending);
        await revokeWithin(transaction, ended.map(feedTarget.session), ending.by, ending.reason);
      }),
    );
}

/** Whose sessions: of these agents, and of these people. */
export type Whose = Readonly<{ agents?: readonly string[]; persons?: readonly string[] }>;

export async function liveSessions(
  reader: Pick<Transaction, '$queryRawUnsafe'>,
  { agents = [], persons = [] }: Whose,
): Promise<readonly string[]> {
  if (agents.length + persons.length === 0) return [];
  return idsOf(Ids.parse(await reader.$queryRawUnsafe(LIVE, agents, persons)));
}

/** How many live sessions would end with theirs. */
export async function countTrees(reader: Pick<Transaction, '$queryRawUnsafe'>, whose: Whose): Promise<number> {
  const roots = await liveSessions(reader, whose);
  return roots.length === 0 ? 0 : Ids.parse(await reader.$queryRawUnsafe(TREE, roots)).length;
}

/** Leaves no more sessions than one transaction ends, for whoever ends all of them in the transaction that ends whose they are. */
export async function thinOut(prisma: PrismaClient, whose: Whose, ending: SessionEnding): Promise<void> {
  const live = await guarded(() => liveSessions(prisma, whose));
  await endInGroups(prisma, live.slice(AT_ONCE), ending);
}

export type SessionRecord = SessionEnding &
  Readonly<{
    what: 'paused' | 'resumed' | 'ended';
    /** The session that was meant, where it is one; those below it say that they went with it. */
    root: string | undefined;
  }>;

/** One record for each session that changed, with its next number. */
export async function recordChanges(
  transaction: Transaction,
  { what, root, by, reason, now }: SessionRecord,
  changed: readonly ChangedSession[],
): Promise<void> {
  const records = changed.map(({ id, last_sequence: sequence, resumes_at }) => {
    const facts: Record<string, Json> = {
      what,
      by,
      ...(root === undefined || id === root ? {} : { with: root }),
      ...(what === 'paused' && resumes_at !== null ? { resumes_at } : {}),
    };
    return { kind: 'session', at: now, facts, decision: 'done', reason, session: { id, sequence } } as const;
  });
  await appendAll(transaction, records);
}

const idsOf = (rows: readonly Readonly<{ id: string }>[]): string[] => rows.map(({ id }) => id);

const LIVE = `
  SELECT id FROM agent_session WHERE status <> 'ended' AND (agent_id = ANY($1::text[]) OR person_id = ANY($2::text[]))`;

const TREE = `
  WITH RECURSIVE tree AS (
    SELECT id FROM agent_session WHERE id = ANY($1::text[])
    UNION SELECT below.id FROM agent_session below JOIN tree ON below.parent_id = tree.id WHERE below.status <> 'ended'
  ) SELECT id FROM tree`;

const LOCK = `
  SELECT id, status, person_id, paused_with, paused_by, extract(epoch FROM resumes_at - clock_timestamp())::float8 AS resumes_in
  FROM agent_session WHERE id = ANY($1::text[]) ORDER BY run_key FOR UPDATE`;

/** What a statement answers of the sessions that it changed. */
export const CHANGED = `RETURNING id, last_sequence, extract(epoch FROM resumes_at)::int AS resumes_at`;

const END = `
  UPDATE agent_session SET status = 'ended', ended_at = clock_timestamp(), ended_by = $2, ended_reason = $3,
    paused_at = NULL, paused_by = NULL, paused_reason = NULL, paused_with = NULL, resumes_at = NULL,
    last_sequence = last_sequence + 1
  WHERE id = ANY($1::text[]) AND status <> 'ended' ${CHANGED}`;

const Ids = z.array(z.object({ id: z.string() }));
const Locked = z.array(
  z
    .object({
      id: z.string(),
      status: z.string(),
      person_id: z.string(),
      paused_with: z.string().nullable(),
      paused_by: z.string().nullable(),
      resumes_in: z.number().nullable(),
    })
    .transform((row): LockedSession => ({
      id: row.id,
      status: row.status,
      person: row.person_id,
      pausedWith: row.paused_with ?? undefined,
      pausedBy: row.paused_by ?? undefined,
      resumesIn: row.resumes_in ?? undefined,
    })),
);
export const ChangedSessions = z.array(
  z.object({ id: z.string(), last_sequence: z.number(), resumes_at: z.number().nullable() }),
);
export type ChangedSession = z.infer<typeof ChangedSessions>[number];
