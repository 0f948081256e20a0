import { z } from 'zod';
import type { Seconds } from '../base/index.js';
import { feedTarget, type Json } from '../protocol/index.js';
import type { PauseWish, SessionChange, SessionsAdmin } from '../session/index.js';
import type { Database } from './database.js';
import type { Prisma } from './generated/client.js';
import { guarded } from './outage.js';
import { append } from './records.js';
import { revokeWithin } from './revocations.js';

type Transaction = Prisma.TransactionClient;
type Changes = Pick<SessionsAdmin, 'pause' | 'resume' | 'end'>;

/** Pause, resume and end of a session with all that is below it, on the record and numbered in one transaction. */
export const openSessionChanges = (database: Database, now: () => Seconds): Changes => ({
  pause: (id, wish) => inTransaction(database, (transaction) => pauseTree(transaction, id, { ...wish, now: now() })),
  resume: (id, change) =>
    inTransaction(database, (transaction) => resumeTree(transaction, id, { ...change, now: now() })),
  end: (id, change) => inTransaction(database, (transaction) => endTree(transaction, id, { ...change, now: now() })),
});

/** Ends every pause whose time is over. */
export async function resumeAllDue(database: Database, now: Seconds): Promise<void> {
  const due = Ids.parse(await guarded(() => database.prisma.$queryRawUnsafe(ALL_DUE)));
  for (const { id } of due) await resumeDue(database, id, now);
}

/** Ends a pause whose time is over, whichever session's pause it is. Whoever comes second finds nothing to resume. */
export async function resumeDue(database: Database, id: string, now: Seconds): Promise<void> {
  await inTransaction(database, async (transaction) => {
    const [due] = Ids.parse(await transaction.$queryRawUnsafe(DUE, id));
    if (due === undefined) return;
    await resumeTree(transaction, due.id, { by: 'writ', reason: 'time', now });
  });
}

const inTransaction = <T>({ prisma }: Database, work: (transaction: Transaction) => Promise<T>): Promise<T> =>
  guarded(() => prisma.$transaction(work));

type At = Readonly<{ now: Seconds }>;

async function pauseTree(
  transaction: Transaction,
  id: string,
  { by, reason, seconds, now }: PauseWish & At,
): ReturnType<Changes['pause']> {
  const tree = await lockTree(transaction, id);
  const standing = standingOf(tree, id);
  if (standing === 'unknown' || standing === 'already_ended') return standing;
  if (standing.paused_with === id) return 'already_paused';
  const values = [idsOf(tree), by, reason, id, seconds ?? null, standing.paused_with];
  const paused = Changed.parse(await transaction.$queryRawUnsafe(PAUSE, ...values));
  await tell(transaction, { what: 'paused', root: id, by, reason, now }, paused);
  return 'paused';
}

async function resumeTree(
  transaction: Transaction,
  id: string,
  { by, reason, now }: SessionChange & At,
): ReturnType<Changes['resume']> {
  const tree = await lockTree(transaction, id);
  const standing = standingOf(tree, id);
  if (standing === 'unknown' || standing === 'already_ended') return standing;
  if (standing.paused_with === null) return 'not_paused';
  if (standing.paused_with !== id || standing.is_below_paused) return 'paused_above';
  const resumed = Changed.parse(await transaction.$queryRawUnsafe(RESUME, idsOf(tree), id));
  await tell(transaction, { what: 'resumed', root: id, by, reason, now }, resumed);
  return 'resumed';
}

async function endTree(
  transaction: Transaction,
  id: string,
  { by, reason, now }: SessionChange & At,
): ReturnType<Changes['end']> {
  const tree = await lockTree(transaction, id);
  const standing = standingOf(tree, id);
  if (standing === 'unknown' || standing === 'already_ended') return standing;
  const ended = Changed.parse(await transaction.$queryRawUnsafe(END, idsOf(tree), by, reason));
  await tell(transaction, { what: 'ended', root: id, by, reason, now }, ended);
  return 'ended';
}

type Locked = z.infer<typeof Locked>[number];

/**
 * INVARIANT: level by level, each under its lock before the next is read, so that nothing can be opened below meanwhile:
 * whoever opens a session below another holds that one (see the commit).
 */
async function lockTree(transaction: Transaction, root: string): Promise<readonly Locked[]> {
  const tree: Locked[] = [];
  for (let level = [root]; level.length > 0;) {
    tree.push(...Locked.parse(await transaction.$queryRawUnsafe(LOCK, level)));
    const below = Ids.parse(await transaction.$queryRawUnsafe(BELOW, level));
    const known = new Set(idsOf(tree));
    level = idsOf(below).filter((id) => !known.has(id));
  }
  return tree;
}

function standingOf(tree: readonly Locked[], id: string): Locked | 'unknown' | 'already_ended' {
  const found = tree.find((one) => one.id === id);
  if (found === undefined) return 'unknown';
  return found.status === 'ended' ? 'already_ended' : found;
}

type Told = SessionChange & At & Readonly<{ what: 'paused' | 'resumed' | 'ended'; root: string }>;

/** The number of every session among the revocations, and its record. What is resumed needs no number: nothing older lives on. */
async function tell(transaction: Transaction, told: Told, changed: z.infer<typeof Changed>): Promise<void> {
  const { what, root, by, reason, now } = told;
  const targets = changed.map(({ id }) => feedTarget.session(id));
  if (what !== 'resumed') await revokeWithin(transaction, targets, by, reason);
  for (const { id, last_sequence, resumes_at } of changed) {
    const facts: Record<string, Json> = {
      what,
      by,
      ...(id === root ? {} : { with: root }),
      ...(what === 'paused' && resumes_at !== null ? { resumes_at } : {}),
    };
    const session = { id, sequence: last_sequence };
    await append(transaction, { kind: 'session', at: now, facts, decision: 'done', reason, session });
  }
}

const idsOf = (rows: readonly Readonly<{ id: string }>[]): string[] => rows.map(({ id }) => id);

/** In the order in which commits lock sessions. */
const LOCK = `
  SELECT s.id, s.status, s.paused_with,
    EXISTS (SELECT 1 FROM agent_session above WHERE above.id = s.parent_id AND above.status = 'paused') AS is_below_paused
  FROM agent_session s WHERE s.id = ANY($1::text[]) ORDER BY s.run_key FOR UPDATE OF s`;

const BELOW = `SELECT id FROM agent_session WHERE parent_id = ANY($1::text[]) AND status <> 'ended'`;

/** What was paused by another pause stays so, but for what was paused with this very session from above: that is this one's now. */
const PAUSE = `
  UPDATE agent_session SET status = 'paused', paused_at = clock_timestamp(), paused_by = $2, paused_reason = $3,
    paused_with = $4, resumes_at = clock_timestamp() + make_interval(secs => $5::int), last_sequence = last_sequence + 1
  WHERE id = ANY($1::text[]) AND (status = 'active' OR (status = 'paused' AND paused_with = $6::text))
  RETURNING id, last_sequence, extract(epoch FROM resumes_at)::int AS resumes_at`;

/** The time in which it was paused is no time in which it was unused. */
const RESUME = `
  UPDATE agent_session SET status = 'active', paused_at = NULL, paused_by = NULL, paused_reason = NULL, paused_with = NULL,
    resumes_at = NULL, idle_until = idle_until + (clock_timestamp() - paused_at), last_sequence = last_sequence + 1
  WHERE id = ANY($1::text[]) AND status = 'paused' AND paused_with = $2
  RETURNING id, last_sequence, extract(epoch FROM resumes_at)::int AS resumes_at`;

const END = `
  UPDATE agent_session SET status = 'ended', ended_at = clock_timestamp(), ended_by = $2, ended_reason = $3,
    paused_at = NULL, paused_by = NULL, paused_reason = NULL, paused_with = NULL, resumes_at = NULL,
    last_sequence = last_sequence + 1
  WHERE id = ANY($1::text[]) AND status <> 'ended'
  RETURNING id, last_sequence, extract(epoch FROM resumes_at)::int AS resumes_at`;

const DUE = `
  SELECT root.id FROM agent_session s JOIN agent_session root ON root.id = s.paused_with
  WHERE s.id = $1 AND root.status = 'paused' AND root.resumes_at <= clock_timestamp()`;

export const ALL_DUE = `
  SELECT id FROM agent_session
  WHERE status = 'paused' AND paused_with = id AND resumes_at <= now() ORDER BY resumes_at LIMIT 500`;

const Ids = z.array(z.object({ id: z.string() }));
const Locked = z.array(
  z.object({
    id: z.string(),
    status: z.string(),
    paused_with: z.string().nullable(),
    is_below_paused: z.boolean(),
  }),
);
const Changed = z.array(z.object({ id: z.string(), last_sequence: z.number(), resumes_at: z.number().nullable() }));
