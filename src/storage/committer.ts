import { z } from 'zod';
import { err, Fault, ok, type Seconds } from '../base/index.js';
import type { CommitRefusal, Committer, NotPermitted, Permitted, Stale } from '../exchange/index.js';
import type { SessionStanding, SessionWish } from '../session/index.js';
import { Recorded } from '../token/recorded.js';
import { breachOf, debitsAsJson } from './budget-sql.js';
import { COMMIT_SQL } from './commit-sql.js';
import { clocksDiffer, MAX_CLOCK_DIFFERENCE } from './clocks.js';
import type { Database } from './database.js';
import { faultOf, sqlState } from './outage.js';
import { openSessionChanges, resumeDue } from './session-changes.js';
import { IDLE } from './session-idle.js';
import { closeExpiredRun } from './session-store.js';

type Outcome = Permitted | NotPermitted;
type Waiting = Readonly<{ outcome: Outcome; settle: (row: Row) => void; fail: (error: unknown) => void }>;

const Row = z.object({
  request: z.string(),
  verdict: z
    .enum([
      'stale',
      'clock',
      'revoked',
      'person_disabled',
      'session_paused',
      'session_due',
      'session_ended',
      'session_expired',
      'session_of_another_key',
      'transaction_over',
      'replayed',
      'budget_exhausted',
    ])
    .nullable(),
  lost_key: z.string().nullable(),
  breach: z.string().nullable(),
  session: z.string().nullable(),
  /** The session that refuses, why it does and until when (seconds). */
  about: z.string().nullable(),
  session_reason: z.string().nullable(),
  resumes: z.coerce.number().nullable(),
  sequence: z.number().nullable(),
  seen: z.string(),
  leaf: z.string(),
});
type Row = z.infer<typeof Row>;
const Rows = z.array(Row);

/** As many exchanges as one statement takes, and how long the first of them waits for company. */
const BATCH = 32;
const GATHER_MS = 2;
/** What waits beyond this is told to come back: it would be answered too late to be of use. */
const MAX_QUEUE = 2_048;

/** Who wants to know how commits go. */
export type CommitWatch = Readonly<{
  onQueue(length: number): void;
  onCommit(batch: Readonly<{ size: number; seconds: number }>): void;
}>;

/** Group commit: one statement in flight at a time, everything that came meanwhile in the next. */
export function openCommitter(database: Database, watch?: CommitWatch, idle: Seconds = IDLE): Committer {
  const queue: Waiting[] = [];
  let busy = false;
  const pump = async (): Promise<void> => {
    busy = true;
    if (queue.length < BATCH) await gather();
    while (queue.length > 0) {
      const batch = queue.splice(0, BATCH).filter(isAwaited);
      if (batch.length === 0) continue;
      const started = performance.now();
      await run(database, batch, idle);
      watch?.onCommit({ size: batch.length, seconds: (performance.now() - started) / 1000 });
      watch?.onQueue(queue.length);
    }
    busy = false;
  };
  const submit = (outcome: Outcome): Promise<Row> =>
    new Promise((settle, fail) => {
      if (queue.length >= MAX_QUEUE) {
        fail(new Fault('database_unavailable', 'decisions come in faster than the database takes them'));
        return;
      }
      queue.push({ outcome, settle, fail });
      watch?.onQueue(queue.length);
      if (!busy) void pump();
    });
  return {
    permit: async (outcome) => {
      const row = await submit(outcome);
      const refusal = await refusalOf(row, outcome, database);
      if (refusal) return err(refusal);
      if (row.session === null) throw new Fault('internal', 'a permit was committed without its session');
      const leaf = Buffer.from(row.leaf, 'base64').toString('base64url');
      return ok(new Recorded(outcome.token, { session: row.session, seen: Number(row.seen), leaf }));
    },
    refuse: async (outcome) => {
      const refusal = await refusalOf(await submit(outcome), outcome, database);
      return refusal ? err(refusal) : ok(null);
    },
  };
}

/** Whoever was told meanwhile to come back has a new request by now, and this one would be a token that nobody holds. */
function isAwaited({ outcome, fail }: Waiting): boolean {
  if (!outcome.isOver()) return true;
  fail(new Fault('database_unavailable', 'nobody waits any more for a decision that was not committed'));
  return false;
}

const gather = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, GATHER_MS));

/** INVARIANT: each waiting exchange is settled or failed exactly once, and an outage fails all of a batch. */
async function run(database: Database, batch: readonly Waiting[], idle: Seconds): Promise<void> {
  try {
    const outcomes = batch.map(({ outcome }) => outcome);
    const rows = await commit(database, [
      ...parameters(outcomes),
      idle,
      outcomes.map(reservedBy),
      outcomes.map(signedIn),
    ]);
    const byRequest = new Map(rows.map((row) => [row.request, row]));
    for (const { outcome, settle, fail } of batch) {
      const row = byRequest.get(outcome.requestId);
      if (row) settle(row);
      else fail(new Fault('internal', 'a commit answered without one of its exchanges'));
    }
  } catch (error) {
    for (const { fail } of batch) fail(error);
  }
}

/** Two replicas may lock sessions and keys in a circle, or meet a session that is being closed; the statement is whole, so it is tried again. */
async function commit(database: Database, values: readonly unknown[]): Promise<readonly Row[]> {
  for (let tried = 0; ; tried++) {
    try {
      return Rows.parse(await database.rows(COMMIT_SQL, values));
    } catch (error) {
      const again = RETRIED.includes(sqlState(error) ?? '') && tried < 5;
      if (!again) throw faultOf(error);
    }
  }
}

/** serialization_failure, deadlock_detected, unique_violation (a session closed under a batch that continues it, a person met by two), not_null_violation (budgets debited in a session that is another by now). */
const RETRIED = ['40001', '40P01', '23505', '23502'];

function parameters(outcomes: readonly Outcome[]): readonly unknown[] {
  const column = <T>(of: (outcome: Outcome) => T): T[] => outcomes.map(of);
  return [
    column(({ requestId }) => requestId),
    column(({ decision }) => decision),
    column((outcome) => (outcome.decision === 'permit' ? 'permitted' : outcome.reason)),
    column(({ record }) => record),
    column(({ registryVersion }) => registryVersion),
    column(runKeyOf),
    column(({ session }) =>
      session === undefined
        ? null
        : 'open' in session
          ? session.open.newId
          : 'continue' in session
            ? session.continue
            : null,
    ),
    column((outcome) => wishOf(outcome) !== undefined),
    column((outcome) => wishOf(outcome)?.expiresAt ?? null),
    column((outcome) => (outcome.decision === 'permit' ? outcome.personId : null)),
    column((outcome) => wishOf(outcome)?.agentId ?? null),
    column((outcome) => (outcome.decision === 'permit' ? outcome.token.transaction : (outcome.transaction ?? null))),
    column((outcome) => (outcome.decision === 'permit' ? outcome.token.tokenHash : null)),
    column((outcome) => (outcome.decision === 'permit' ? outcome.lineage.join(' ') : '')),
    column(({ spends }) => spends.map(({ key }) => key).join(' ')),
    column(({ spends }) => spends.map(({ expiresAt }) => expiresAt).join(' ')),
    column(({ now }) => now),
    column((outcome) => (outcome.decision === 'permit' ? outcome.token.expiresAt : null)),
    MAX_CLOCK_DIFFERENCE,
    column((outcome) => (outcome.decision === 'permit' ? outcome.token.kid : null)),
    column((outcome) => newcomerOf(outcome)?.issuer ?? null),
    column((outcome) => newcomerOf(outcome)?.subject ?? null),
    column((outcome) => JSON.stringify(aboutNewcomer(newcomerOf(outcome)))),
    column((outcome) => (outcome.decision === 'permit' ? (outcome.parent ?? null) : null)),
    column((outcome) => (outcome.decision === 'permit' ? outcome.marks.join(' ') : '')),
    column((outcome) => (outcome.decision === 'permit' ? outcome.issuedSince : 0)),
    column((outcome) => wishOf(outcome)?.above ?? null),
    column((outcome) => wishOf(outcome)?.jkt ?? null),
    column((outcome) => wishOf(outcome)?.purpose ?? null),
    column(({ acr }) => acr ?? null),
  ];
}

const wishOf = ({ session }: Outcome): SessionWish | undefined =>
  session !== undefined && 'open' in session ? session.open : undefined;

function reservedBy(outcome: Outcome): string | null {
  if (outcome.decision !== 'permit' || outcome.reservation === undefined) return null;
  const { reservation, token } = outcome;
  return reservation.debits.length === 0 ? null : debitsAsJson(reservation, token.tokenHash);
}

function runKeyOf({ session }: Outcome): string | null {
  if (session === undefined) return null;
  if ('open' in session) return session.open.runKey;
  if ('join' in session) return session.join;
  return 'of' in session ? (session.of ?? null) : null;
}

const signedIn = (outcome: Outcome): Seconds | null => wishOf(outcome)?.signedInSince ?? null;

const newcomerOf = (outcome: Outcome): Permitted['newcomer'] =>
  outcome.decision === 'permit' ? outcome.newcomer : undefined;

const aboutNewcomer = (newcomer: Permitted['newcomer']): object =>
  newcomer === undefined ? {} : { attributes: newcomer.attributes, salt: newcomer.salt };

async function refusalOf(row: Row, outcome: Outcome, database: Database): Promise<CommitRefusal | Stale | undefined> {
  const { verdict, lost_key } = row;
  switch (verdict) {
    case null:
      return undefined;
    case 'stale':
      return { reason: 'stale' };
    case 'clock':
      throw clocksDiffer();
    case 'replayed':
      return { reason: 'replayed', what: outcome.spends.find(({ key }) => key === lost_key)?.what ?? 'assertion' };
    case 'session_expired':
      // Only a run that may open a session comes here: the old one is closed, and the next try opens a new one.
      if (outcome.session !== undefined && 'open' in outcome.session)
        await closeExpiredRun(database, outcome.session.open, outcome.now);
      return { reason: 'stale' };
    case 'session_due':
      if (row.about !== null) await resumeDue(database, row.about, outcome.now);
      return { reason: 'stale' };
    case 'session_paused':
    case 'session_ended':
      return { reason: verdict, ...standingOf(row) };
    case 'budget_exhausted':
      return exhausted(row, outcome.now, database);
    case 'revoked':
    case 'person_disabled':
    case 'session_of_another_key':
    case 'transaction_over':
      return { reason: verdict };
  }
}

/** A budget may want the session of the breach to be paused: until it begins anew, or for good until somebody resumes it. */
async function exhausted({ session, breach }: Row, now: Seconds, database: Database): Promise<CommitRefusal> {
  const found = breachOf(breach ?? '');
  if (found.onBreach === 'pause' && session !== null) {
    const { unit, scope } = found.budget;
    const seconds = found.resetsAt === undefined ? undefined : Math.max(1, found.resetsAt - now);
    const reason = `budget: ${unit} per ${scope}`;
    await openSessionChanges(database, () => now).pause(session, { by: 'writ', reason, seconds });
  }
  return { reason: 'budget_exhausted', session: session ?? undefined, ...found };
}

/** Of a session that was never there nothing can be told. */
function standingOf({ about, session_reason, resumes }: Row): Readonly<{ standing?: SessionStanding }> {
  if (about === null) return {};
  return { standing: { session: about, reason: session_reason ?? 'ended', resumesAt: resumes ?? undefined } };
}
