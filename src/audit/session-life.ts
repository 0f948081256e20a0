import type { Clock, Seconds } from '../base/index.js';
import { type LogRecord, type RecordHead, recordHead } from './record.js';

/** A session that has ended and waits for its summary. */
export type EndedSession = Readonly<{
  id: string;
  person: string;
  agent: string;
  /** Of its last record: the summary gets the next. */
  lastSequence: number;
  openedAt: Seconds;
  endedAt: Seconds;
  endedBy: string;
}>;

export type NumberedRecord = Readonly<{ sequence: number; leafHash: string; record: LogRecord | undefined }>;

/** What there is of a session beside its numbered records; `refused` are uses that were not to be had. */
export type Unnumbered = Readonly<{ entries: number; introspections: number; outcomes: number; refused: number }>;

export interface SessionLife {
  /** Resumes what was paused until a time that is over. */
  resume(now: Seconds): Promise<void>;
  /** Ends up to this many sessions whose time is over, each with the record of it; says how many it ended. */
  expire(heads: readonly RecordHead[]): Promise<number>;
  /** Sessions that ended so long ago that nothing of them can come any more. */
  ended(limit: number): Promise<readonly EndedSession[]>;
  numbered(session: string, after: number, limit: number): Promise<readonly NumberedRecord[]>;
  unnumbered(session: string): Promise<Unnumbered>;
  /** Writes the summaries of those that are still as they were read; every other is somebody else's by now. */
  close(summaries: readonly Readonly<{ session: EndedSession; head: RecordHead }>[]): Promise<number>;
}

/** The longest life of a token, whatever the configuration. */
const LONGEST_TOKEN: Seconds = 300;

/**
 * How long after its end a session waits for its summary: its last token lives on, and the outcome of its last call may be
 * on its way. What comes later is recorded without the session.
 */
export const sessionClosesAfter = ({
  lifetimes,
}: Readonly<{ lifetimes: Readonly<{ outcomeGraceSeconds: Seconds }> }>): Seconds =>
  LONGEST_TOKEN + lifetimes.outcomeGraceSeconds;

const BATCH = 50;
const PAGE = 500;
const MAX_AGENTS = 64;
const MAX_MISSING = 16;

/** One round: what is over is ended, and what has ended long enough is closed, once for all processes. */
export async function keepSessionLife(life: SessionLife, clock: Clock): Promise<void> {
  const { resume, expire, close } = sessionLifeParts(life, clock);
  await resume();
  await expire();
  await close();
}

/** The same in its parts, none of which needs another: what is missed in one round is done in the next. */
export const sessionLifeParts = (
  life: SessionLife,
  clock: Clock,
): Readonly<Record<'resume' | 'expire' | 'close', () => Promise<void>>> => ({
  resume: () => life.resume(clock.now()),
  expire: () => endOver(life, clock),
  close: () => closeEnded(life, clock),
});

async function endOver(life: SessionLife, clock: Clock): Promise<void> {
  for (;;) {
    const ended = await life.expire(Array.from({ length: BATCH }, () => endHead(clock.now())));
    if (ended < BATCH) return;
  }
}

async function closeEnded(life: SessionLife, clock: Clock): Promise<void> {
  for (;;) {
    const sessions = await life.ended(BATCH);
    const summaries = [];
    for (const session of sessions) summaries.push({ session, head: await summaryHead(session, life, clock.now()) });
    const closed = summaries.length === 0 ? 0 : await life.close(summaries);
    if (sessions.length < BATCH || closed === 0) return;
  }
}

const endHead = (now: Seconds): RecordHead => recordHead('session', now, { what: 'ended', by: 'writ' });

type Tally = {
  entries: number;
  permits: number;
  refusals: number;
  asks: number;
  agents: Set<string>;
  missing: number[];
  first: string | null;
  last: string | null;
};

/** What the whole of a session comes to: whoever has its records can count them and see that none is left out. */
async function summaryHead(session: EndedSession, life: SessionLife, now: Seconds): Promise<RecordHead> {
  const tally = await tallyOf(session, life);
  const { entries, introspections, outcomes, refused } = await life.unnumbered(session.id);
  return recordHead('session', now, {
    what: 'closed',
    session: session.id,
    person: session.person,
    agents: [...tally.agents],
    opened_at: session.openedAt,
    ended_at: session.endedAt,
    ended_by: session.endedBy,
    entries: tally.entries + entries,
    permits: tally.permits,
    refusals: tally.refusals + refused,
    asks: tally.asks,
    introspections,
    outcomes,
    first: tally.first,
    last: tally.last,
    ...(tally.missing.length === 0 ? {} : { missing: tally.missing }),
  });
}

async function tallyOf({ id, agent, lastSequence }: EndedSession, life: SessionLife): Promise<Tally> {
  const tally: Tally = {
    ...{ entries: 0, permits: 0, refusals: 0, asks: 0, first: null, last: null },
    agents: new Set(agent === '' ? [] : [agent]),
    missing: [],
  };
  let after = 0;
  for (;;) {
    const page = await life.numbered(id, after, PAGE);
    for (const entry of page) {
      miss(tally, after + 1, entry.sequence);
      add(tally, entry);
      after = entry.sequence;
    }
    if (page.length < PAGE) break;
  }
  miss(tally, after + 1, lastSequence + 1);
  return tally;
}

function miss(tally: Tally, from: number, until: number): void {
  for (let sequence = from; sequence < until && tally.missing.length < MAX_MISSING; sequence++)
    tally.missing.push(sequence);
}

function add(tally: Tally, { leafHash, record }: NumberedRecord): void {
  tally.entries += 1;
  tally.first ??= leafHash;
  tally.last = leafHash;
  if (record?.kind !== 'exchange') return;
  const { decision } = record.outcome;
  if (decision === 'permit') tally.permits += 1;
  else if (decision === 'refuse') tally.refusals += 1;
  else if (decision === 'ask') tally.asks += 1;
  for (const agent of agentsOf(record)) if (tally.agents.size < MAX_AGENTS) tally.agents.add(agent);
}

function agentsOf({ facts, outcome }: LogRecord): readonly string[] {
  const actors = outcome.decision === 'permit' ? facts['actors'] : undefined;
  if (!Array.isArray(actors)) return [];
  const list: readonly unknown[] = actors;
  return list.flatMap((actor) =>
    typeof actor === 'object' && actor !== null && 'sub' in actor && typeof actor.sub === 'string' ? [actor.sub] : [],
  );
}
