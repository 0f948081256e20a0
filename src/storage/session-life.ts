import { z } from 'zod';
import { type EndedSession, type NumberedRecord, readRecord, type SessionLife } from '../audit/index.js';
import type { Seconds } from '../base/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';
import { resumeAllDue } from './session-changes.js';
import { isIdle } from './session-idle.js';

/** What was begun before an end of time is written within this many seconds after it; a statement lasts four. */
const MARGIN: Seconds = 60;

/** Ends sessions whose time is over, and closes them `closesAfter` seconds after their end and a little. */
export function openSessionLife(database: Database, closesAfter: Seconds): SessionLife {
  const { prisma } = database;
  const query = (sql: string, ...values: unknown[]): Promise<unknown> =>
    guarded(() => prisma.$queryRawUnsafe(sql, ...values));
  const count = async (sql: string, ...values: unknown[]): Promise<number> =>
    Count.parse(await query(sql, ...values))[0]?.count ?? 0;
  return {
    resume: (now) => resumeAllDue(database, now),
    expire: (heads) => count(EXPIRE, heads),
    ended: async (limit) => Ended.parse(await query(ENDED, closesAfter + MARGIN, limit)),
    numbered: async (session, after, limit) => Numbered.parse(await query(NUMBERED, session, after, limit)),
    unnumbered: async (session) => {
      const kinds = Kinds.parse(await query(UNNUMBERED, session));
      const of = (kind: string): number => kinds.find((one) => one.kind === kind)?.count ?? 0;
      return {
        entries: kinds.reduce((sum, one) => sum + one.count, 0),
        introspections: of('introspection'),
        outcomes: of('outcome'),
        refused: kinds.reduce((sum, one) => sum + (one.kind === 'outcome' ? 0 : one.refused), 0),
      };
    },
    close: (summaries) =>
      count(
        CLOSE,
        summaries.map(({ session }) => session.id),
        summaries.map(({ session }) => session.lastSequence),
        summaries.map(({ head }) => head),
      ),
  };
}

/**
 * The session and its last record but the summary are one statement. The run is freed for a new session, unless an
 * administrator had paused it: the end of its time is no way out of a pause. Another process that does the same at once takes
 * other sessions.
 *
 * DANGER: what `picked` locks may have been ended after this statement began, and its own conditions are not asked again
 * after the lock: the update has to ask all of them.
 */
export const EXPIRE = `
WITH picked AS MATERIALIZED (
  SELECT s.id, CASE WHEN s.expires_at < now() THEN 'expired' ELSE 'idle' END AS reason FROM agent_session s
  WHERE s.id IN (
    (SELECT id FROM agent_session WHERE status IN ('active', 'paused') AND expires_at < now()
     ORDER BY expires_at LIMIT cardinality($1::text[]))
    UNION ALL
    (SELECT id FROM agent_session idle WHERE status = 'active' AND ${isIdle('idle')}
     ORDER BY idle_until LIMIT cardinality($1::text[])))
  ORDER BY s.id LIMIT cardinality($1::text[]) FOR UPDATE SKIP LOCKED
), ended AS (
  UPDATE agent_session s SET status = 'ended', ended_at = clock_timestamp(), ended_by = 'writ', ended_reason = picked.reason,
    paused_at = NULL, paused_by = NULL, paused_reason = NULL, paused_with = NULL, resumes_at = NULL,
    last_sequence = s.last_sequence + 1,
    run_key = CASE WHEN s.status = 'paused' AND s.paused_by <> 'writ' THEN s.run_key ELSE s.run_key || ' ' || s.id END
  FROM picked WHERE s.id = picked.id AND s.status IN ('active', 'paused')
    AND (s.expires_at < now() OR (s.status = 'active' AND ${isIdle('s')}))
  RETURNING s.id, s.last_sequence, s.ended_reason
), written AS MATERIALIZED (
  SELECT id, last_sequence, convert_to(($1::text[])[row_number() OVER (ORDER BY id)]
    || ',"outcome":{"decision":"done","reason":' || to_json(ended_reason)::text || ',"session":' || to_json(id)::text
    || ',"sequence":' || last_sequence::text || ',"seen":0}}', 'UTF8') AS leaf
  FROM ended
), leaf AS (
  INSERT INTO log_leaf (leaf, leaf_hash, kind, session_id, sequence, lineage)
  SELECT leaf, sha256('\\x00'::bytea || leaf), 'session', id, last_sequence, ARRAY[]::text[] FROM written ORDER BY id
)
SELECT count(*)::int AS count FROM written`;

export const ENDED = `
  SELECT id, person_id, agent_id, last_sequence, extract(epoch FROM opened_at)::int AS opened_at,
    extract(epoch FROM ended_at)::int AS ended_at, coalesce(ended_by, '') AS ended_by
  FROM agent_session
  WHERE closed_at IS NULL AND status = 'ended' AND ended_at < now() - make_interval(secs => $1::int)
  ORDER BY closed_at, ended_at LIMIT $2::int`;

const NUMBERED = `
  SELECT sequence, leaf, leaf_hash FROM log_leaf WHERE session_id = $1 AND sequence > $2::int ORDER BY sequence LIMIT $3::int`;

/** Quotes inside a text of a record are escaped, so these bytes are its outcome and nothing else. */
const UNNUMBERED = `
  SELECT kind, count(*)::int AS count,
    (count(*) FILTER (WHERE position(convert_to('"outcome":{"decision":"refuse"', 'UTF8') IN leaf) > 0))::int AS refused
  FROM log_leaf WHERE session_id = $1 AND sequence IS NULL GROUP BY kind`;

/** INVARIANT: a session has one summary, and its number is the last: whoever comes second finds no row to change. */
const CLOSE = `
WITH wanted AS MATERIALIZED (
  SELECT * FROM unnest($1::text[], $2::int[], $3::text[]) AS w(id, last_sequence, head)
), picked AS MATERIALIZED (
  SELECT s.id FROM agent_session s JOIN wanted w ON w.id = s.id
  WHERE s.closed_at IS NULL AND s.status = 'ended' AND s.last_sequence = w.last_sequence
  ORDER BY s.id FOR UPDATE OF s SKIP LOCKED
), closed AS (
  UPDATE agent_session s SET closed_at = clock_timestamp(), last_sequence = s.last_sequence + 1
  FROM picked WHERE s.id = picked.id AND s.closed_at IS NULL RETURNING s.id, s.last_sequence
), written AS MATERIALIZED (
  SELECT c.id, c.last_sequence, convert_to(w.head
    || ',"outcome":{"decision":"done","reason":"closed","session":' || to_json(c.id)::text
    || ',"sequence":' || c.last_sequence::text || ',"seen":0}}', 'UTF8') AS leaf
  FROM closed c JOIN wanted w ON w.id = c.id
), leaf AS (
  INSERT INTO log_leaf (leaf, leaf_hash, kind, session_id, sequence, lineage)
  SELECT leaf, sha256('\\x00'::bytea || leaf), 'session', id, last_sequence, ARRAY[]::text[] FROM written ORDER BY id
)
SELECT count(*)::int AS count FROM written`;

const Count = z.array(z.object({ count: z.number() }));
const Kinds = z.array(z.object({ kind: z.string(), count: z.number(), refused: z.number() }));
const Ended = z.array(
  z
    .object({
      id: z.string(),
      person_id: z.string(),
      agent_id: z.string(),
      last_sequence: z.number(),
      opened_at: z.number(),
      ended_at: z.number(),
      ended_by: z.string(),
    })
    .transform((row): EndedSession => ({
      id: row.id,
      person: row.person_id,
      agent: row.agent_id,
      lastSequence: row.last_sequence,
      openedAt: row.opened_at,
      endedAt: row.ended_at,
      endedBy: row.ended_by,
    })),
);
const Numbered = z.array(
  z
    .object({ sequence: z.number(), leaf: z.instanceof(Uint8Array), leaf_hash: z.instanceof(Uint8Array) })
    .transform(({ sequence, leaf, leaf_hash }): NumberedRecord => ({
      sequence,
      leafHash: Buffer.from(leaf_hash).toString('base64url'),
      record: readRecord(leaf),
    })),
);
