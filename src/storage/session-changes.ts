import { z } from 'zod';
import type { Seconds } from '../base/index.js';
import { feedTarget } from '../protocol/index.js';
import type { PauseWish, SessionChange, SessionsAdmin } from '../session/index.js';
import type { Database } from './database.js';
import type { Prisma } from './generated/client.js';
import { guarded } from './outage.js';
import { revokeWithin } from './revocations.js';
import { CHANGED, ChangedSessions, endSessions, type LockedSession, lockTrees, recordChanges } from './session-tree.js';

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
    const answer = await resumeTree(transaction, due.id, { by: 'writ', reason: 'time', now });
    if (answer === 'paused_above') await transaction.$executeRawUnsafe(PAUSED_WITH_ABOVE, due.id);
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
  const tree = await lockTrees(transaction, [id]);
  const standing = standingOf(tree, id);
  if (standing === 'unknown' || standing === 'already_ended') return standing;
  const isStronger = outranks(by, standing);
  if (standing.pausedWith === id && !isStronger && (!isLonger(seconds, standing) || isWeaker(by, standing)))
    return 'already_paused';
  const lasts = isStronger ? longerOf(seconds, standing) : seconds;
  const values = [idsOf(tree), by, reason, id, lasts ?? null, standing.pausedWith ?? null];
  const paused = ChangedSessions.parse(await transaction.$queryRawUnsafe(PAUSE, ...values));
  await recordChanges(transaction, { what: 'paused', root: id, by, reason, now }, paused);
  await revokeWithin(transaction, idsOf(paused).map(feedTarget.session), by, reason);
  return 'paused';
}

/** Whoever pauses what is paused for a shorter time is not to see it resume before the time that they said. */
const isLonger = (seconds: Seconds | undefined, { resumesIn }: LockedSession): boolean =>
  resumesIn !== undefined && (seconds === undefined || seconds > resumesIn + 1);

/** The person whose session it is pauses it as well; what anybody else paused they may only end. */
const outranks = (by: string, { person, pausedWith, pausedBy, id }: LockedSession): boolean =>
  pausedWith === id && pausedBy === person && by !== person;
const isWeaker = (by: string, { person, pausedBy }: LockedSession): boolean => by === person && pausedBy !== person;

/** Who takes over a pause of the person's does not end it earlier. */
const longerOf = (seconds: Seconds | undefined, { resumesIn }: LockedSession): Seconds | undefined =>
  seconds === undefined || resumesIn === undefined ? undefined : Math.max(seconds, Math.ceil(resumesIn));

/** What is resumed needs no number: nothing older lives on. */
async function resumeTree(
  transaction: Transaction,
  id: string,
  { by, reason, now }: SessionChange & At,
): ReturnType<Changes['resume']> {
  const tree = await lockTrees(transaction, [id]);
  const standing = standingOf(tree, id);
  if (standing === 'unknown' || standing === 'already_ended') return standing;
  if (standing.pausedWith === undefined) return 'not_paused';
  if (isWeaker(by, standing)) return 'paused_by_another';
  if (standing.pausedWith !== id || (await isBelowPaused(transaction, id))) return 'paused_above';
  const resumed = ChangedSessions.parse(await transaction.$queryRawUnsafe(RESUME, idsOf(tree), id));
  await recordChanges(transaction, { what: 'resumed', root: id, by, reason, now }, resumed);
  return 'resumed';
}

/** DANGER: asked after the lock, in a statement of its own: whoever paused what is above may have held the lock until now. */
const isBelowPaused = async (transaction: Transaction, id: string): Promise<boolean> =>
  Ids.parse(await transaction.$queryRawUnsafe(PAUSED_ABOVE, id)).length > 0;

async function endTree(
  transaction: Transaction,
  id: string,
  { by, reason, now }: SessionChange & At,
): ReturnType<Changes['end']> {
  const standing = standingOf(await lockTrees(transaction, [id]), id);
  if (standing === 'unknown' || standing === 'already_ended') return standing;
  const ended = await endSessions(transaction, [id], { by, reason, now });
  await revokeWithin(transaction, ended.map(feedTarget.session), by, reason);
  return 'ended';
}

function standingOf(tree: readonly LockedSession[], id: string): LockedSession | 'unknown' | 'already_ended' {
  const found = tree.find((one) => one.id === id);
  if (found === undefined) return 'unknown';
  return found.status === 'ended' ? 'already_ended' : found;
}

const idsOf = (rows: readonly Readonly<{ id: string }>[]): string[] => rows.map(({ id }) => id);

const PAUSED_ABOVE = `
  SELECT above.id FROM agent_session s JOIN agent_session above ON above.id = s.parent_id
  WHERE s.id = $1 AND above.status = 'paused'`;

/** What was paused by another pause stays so, but for what was paused with this very session from above: that is this one's now. */
const PAUSE = `
  UPDATE agent_session SET status = 'paused', paused_at = coalesce(paused_at, clock_timestamp()), paused_by = $2, paused_reason = $3,
    paused_with = $4, resumes_at = clock_timestamp() + make_interval(secs => $5::int), last_sequence = last_sequence + 1
  WHERE id = ANY($1::text[]) AND (status = 'active' OR (status = 'paused' AND paused_with = $6::text))
  ${CHANGED}`;

/** The time in which it was paused is no time in which it was unused. */
const RESUME = `
  UPDATE agent_session SET status = 'active', paused_at = NULL, paused_by = NULL, paused_reason = NULL, paused_with = NULL,
    resumes_at = NULL, idle_until = idle_until + (clock_timestamp() - paused_at), last_sequence = last_sequence + 1
  WHERE id = ANY($1::text[]) AND status = 'paused' AND paused_with = $2
  ${CHANGED}`;

/** A pause whose own time is over below one that lasts becomes part of that one, and ends with it. */
const PAUSED_WITH_ABOVE = `
  UPDATE agent_session s SET paused_by = above.paused_by, paused_reason = above.paused_reason,
    paused_with = above.paused_with, resumes_at = above.resumes_at
  FROM agent_session root JOIN agent_session above ON above.id = root.parent_id
  WHERE root.id = $1 AND above.status = 'paused' AND s.status = 'paused' AND s.paused_with = root.id`;

const DUE = `
  SELECT root.id FROM agent_session s JOIN agent_session root ON root.id = s.paused_with
  WHERE s.id = $1 AND root.status = 'paused' AND root.resumes_at <= now()`;

export const ALL_DUE = `
  SELECT id FROM agent_session
  WHERE status = 'paused' AND paused_with = id AND resumes_at <= now() ORDER BY resumes_at LIMIT 500`;

const Ids = z.array(z.object({ id: z.string() }));
