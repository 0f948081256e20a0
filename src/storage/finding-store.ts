import { z } from 'zod';
import {
  type AgentStore,
  type Expectation,
  type Finding,
  finding,
  FindingKind,
  type FindingReader,
  type FindingStore,
  type FoundFinding,
  type OutcomeLog,
  readRecord,
  type SeenEntry,
  type UseCount,
} from '../audit/index.js';
import type { JsonObject } from '../protocol/index.js';
import { openAgentUses } from './agent-uses.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';

const STEP = 500;
/** A session that is closed in time has its summary some seconds after it could have it. */
const LATE_SUMMARY_SECONDS = 300;
const LIVE = 100;

/** Looks for findings and reads them. `closesAfter`: see {@link openSessionLife}. */
export function openFindings(
  database: Database,
  { permits }: Pick<OutcomeLog, 'permits'>,
  closesAfter: number,
): FindingStore & FindingReader & AgentStore {
  const { prisma } = database;
  const query = (sql: string, ...values: unknown[]): Promise<unknown> =>
    guarded(() => prisma.$queryRawUnsafe(sql, ...values));
  const live = async ({ kind, session, server }: Parameters<FindingReader['findings']>[0]): Promise<FoundFinding[]> => {
    if (server !== undefined) return [];
    const wants = (one: FindingKind): boolean => kind === undefined || kind === one;
    const unsequenced = wants('unsequenced') && session === undefined ? Waiting.parse(await query(UNSEQUENCED)) : [];
    const open = wants('session_without_summary')
      ? Open.parse(await query(WITHOUT_SUMMARY, closesAfter + LATE_SUMMARY_SECONDS, session ?? null, LIVE))
      : [];
    const gaps = wants('sequence_gap') && session !== undefined ? Gaps.parse(await query(GAP, session)) : [];
    return [
      ...unsequenced.flatMap(({ count, oldest, since }) =>
        oldest === null || since === null
          ? []
          : [{ ...finding('unsequenced', oldest, { facts: { leaves: count, oldest } }), at: since }],
      ),
      ...open.map(({ id, at }) => ({ ...finding('session_without_summary', id, { session: id, facts: {} }), at })),
      ...gaps.map(({ found, last, at }) => {
        const facts = { records: found, last_sequence: last };
        return { ...finding('sequence_gap', session ?? '', { session, facts }), at };
      }),
    ];
  };
  return {
    ...openAgentUses(database),
    permits,
    position: async (consumer) => {
      await query(`INSERT INTO log_consumer (name, index) VALUES ($1, 0) ON CONFLICT (name) DO NOTHING`, consumer);
      const [row] = Positions.parse(
        await query('SELECT index::text AS index FROM log_consumer WHERE name = $1', consumer),
      );
      return Number(row?.index ?? 0);
    },
    entries: async (from, { kinds, olderThan }) => {
      const rows = Entries.parse(await query(ENTRIES, from, STEP, kinds, olderThan));
      const gap = rows.findIndex(({ index }, at) => index !== from + at);
      return gap < 0 ? rows : rows.slice(0, gap);
    },
    reported: async (tokens) => new Set(Tokens.parse(await query(REPORTED, tokens)).map((row) => row.token_hash)),
    uses: async (tokens) =>
      Uses.parse(await query(USES, tokens)).map(({ token_hash, tool, count }) => ({
        tokenHash: token_hash,
        tool,
        count,
      })),
    counted: async (txns, olderThan) => {
      const counts = new Map<string, UseCount>();
      for (const { leaf } of Leaves.parse(await query(USED, txns, olderThan))) {
        const { token: tokenHash, tool } = readRecord(leaf)?.facts ?? {};
        if (typeof tokenHash !== 'string' || typeof tool !== 'string') continue;
        const key = `${tokenHash} ${tool}`;
        counts.set(key, { tokenHash, tool, count: (counts.get(key)?.count ?? 0) + 1 });
      }
      return [...counts.values()];
    },
    expectations: async () => Expected.parse(await query(EXPECTED)),
    keep: async (consumer, { from, to, findings }) => {
      const column = <T>(of: (one: Finding) => T): T[] => findings.map(of);
      const rows = Moved.parse(
        await query(
          KEEP,
          consumer,
          from,
          to,
          column(({ id }) => id),
          column(({ kind }) => kind),
          column(({ session }) => session ?? null),
          column(({ server }) => server ?? null),
          column(({ txn }) => txn ?? null),
          column(({ tokenHash }) => tokenHash ?? null),
          column(({ facts }) => JSON.stringify(facts)),
        ),
      );
      return (rows[0]?.moved ?? 0) > 0;
    },
    findings: async (filter, { after, limit }) => {
      const { kind, session, server, since } = filter;
      const values = [kind ?? null, session ?? null, server ?? null, since ?? null, after ?? '0', limit + 1];
      const rows = Found.parse(await query(READ, ...values));
      const kept = rows.slice(0, limit);
      const first = after === undefined ? await live(filter) : [];
      const known = new Set(kept.map(({ found }) => found.id));
      return {
        findings: [...first.filter(({ id }) => !known.has(id)), ...kept.map(({ found }) => found)],
        next: rows.length > limit ? kept.at(-1)?.number : undefined,
      };
    },
  };
}

const ENTRIES = `
  SELECT e.index::text AS index, l.kind, extract(epoch FROM l.at)::int AS at, encode(e.leaf_hash, 'base64') AS leaf_hash,
    l.session_id, l.txn, l.token_hash, CASE WHEN l.kind = ANY($3::text[]) THEN l.leaf END AS leaf
  FROM log_entry e LEFT JOIN log_leaf l ON l.id = e.leaf_id
  WHERE e.index >= $1::bigint AND e.index < $1::bigint + $2::int
    AND (l.id IS NULL OR l.at <= clock_timestamp() - make_interval(secs => $4::int))
  ORDER BY e.index`;

const REPORTED = `SELECT DISTINCT token_hash FROM outcome WHERE token_hash = ANY($1::text[]) AND flaw IS NULL`;

const USES = `
  SELECT token_hash, tool, count(*)::int AS count FROM outcome
  WHERE token_hash = ANY($1::text[]) AND flaw IS NULL GROUP BY token_hash, tool`;

/** Quotes inside a text of a record are escaped, so these bytes are its outcome and nothing else. */
const USED = `
  SELECT leaf FROM log_leaf
  WHERE kind = 'introspection' AND txn = ANY($1::text[]) AND at <= clock_timestamp() - make_interval(secs => $2::int)
    AND position(convert_to('"outcome":{"decision":"done","reason":"used"', 'UTF8') IN leaf) > 0`;

/** A server that is not registered any more is expected to report what was permitted before. */
const EXPECTED = `
  SELECT coalesce(s.resource, r.server) AS server, s.document ->> 'reports_outcomes' AS says,
    extract(epoch FROM least(s.outcomes_since, r.since))::int AS since
  FROM mcp_server s FULL JOIN outcome_reporter r ON r.server = s.resource ORDER BY 1`;

/** A use without an outcome says more than the permit without one. What another process kept first changes nothing. */
const KEEP = `
WITH moved AS (
  UPDATE log_consumer SET index = $3::bigint WHERE name = $1 AND index = $2::bigint RETURNING 1 AS one
), found AS MATERIALIZED (
  SELECT f.* FROM unnest($4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[])
    AS f(id, kind, session_id, server, txn, token_hash, facts), moved
), made AS (
  INSERT INTO log_finding (id, kind, session_id, server, txn, token_hash, facts)
  SELECT id, kind, session_id, server, txn, token_hash, facts::jsonb FROM found f
  WHERE NOT (kind = 'no_outcome' AND EXISTS (
    SELECT 1 FROM found u WHERE u.kind = 'used_without_outcome' AND u.token_hash = f.token_hash))
  ON CONFLICT (id) DO UPDATE SET facts = excluded.facts
), told AS (
  DELETE FROM log_finding f USING found u
  WHERE u.kind = 'used_without_outcome' AND f.kind = 'no_outcome' AND f.token_hash = u.token_hash
)
SELECT count(*)::int AS moved FROM moved`;

/** What was missing and came late is a finding no more: of a permit any outcome, of a tool one for each counted use. */
const READ = `
  SELECT f.number::text AS number, f.id, f.kind, f.session_id, f.server, f.txn, f.token_hash, f.facts::text AS facts,
    extract(epoch FROM f.at)::int AS at
  FROM log_finding f
  WHERE f.number > $5::bigint AND ($1::text IS NULL OR f.kind = $1) AND ($2::text IS NULL OR f.session_id = $2)
    AND ($3::text IS NULL OR f.server = $3)
    AND ($4::bigint IS NULL OR f.number >= (
      SELECT n.number FROM log_finding n WHERE n.at >= to_timestamp($4::bigint) ORDER BY n.at, n.number LIMIT 1))
    AND NOT (f.kind = 'no_outcome' AND EXISTS (
      SELECT 1 FROM outcome o WHERE o.token_hash = f.token_hash AND o.flaw IS NULL))
    AND NOT (f.kind = 'used_without_outcome' AND coalesce((f.facts ->> 'uses')::int, 1) <= (
      SELECT count(*) FROM outcome o
      WHERE o.token_hash = f.token_hash AND o.tool = f.facts ->> 'tool' AND o.flaw IS NULL))
  ORDER BY f.number LIMIT $6::int`;

/**
 * As it is now, of a queue that is nearly always empty, and of young leaves that are neither in it nor in the tree: whoever
 * writes to the database could take one out.
 */
export const UNSEQUENCED = `
  SELECT count(*)::int AS count, min(leaf_id)::text AS oldest, extract(epoch FROM min(since))::int AS since
  FROM (
    (SELECT leaf_id, since FROM log_pending ORDER BY leaf_id LIMIT 10000)
    UNION ALL
    SELECT id, at FROM (
      SELECT id, at FROM log_leaf WHERE at > now() - interval '1 hour' ORDER BY at DESC LIMIT 20000) AS l
    WHERE NOT EXISTS (SELECT 1 FROM log_entry e WHERE e.leaf_id = l.id)
      AND NOT EXISTS (SELECT 1 FROM log_pending q WHERE q.leaf_id = l.id)
  ) AS p
  WHERE since < now() - interval '5 seconds'`;

export const WITHOUT_SUMMARY = `
  SELECT id, extract(epoch FROM ended_at)::int AS at FROM agent_session
  WHERE closed_at IS NULL AND ended_at < now() - make_interval(secs => $1::int)
    AND ($2::text IS NULL OR id = $2)
  ORDER BY closed_at, ended_at LIMIT $3::int`;

/** Of a session that is still open; one that is closed has the gap in its summary. */
const GAP = `
  SELECT count(l.sequence)::int AS found, s.last_sequence AS last, extract(epoch FROM s.last_used_at)::int AS at
  FROM agent_session s LEFT JOIN log_leaf l ON l.session_id = s.id AND l.sequence IS NOT NULL
  WHERE s.id = $1 AND s.closed_at IS NULL
  GROUP BY s.id HAVING count(l.sequence) <> s.last_sequence`;

const text = z
  .string()
  .nullable()
  .transform((value) => value ?? undefined);
const Positions = z.array(z.object({ index: z.string() }));
const Moved = z.array(z.object({ moved: z.number() }));
const Tokens = z.array(z.object({ token_hash: z.string() }));
const Uses = z.array(z.object({ token_hash: z.string(), tool: z.string(), count: z.number() }));
const Leaves = z.array(z.object({ leaf: z.instanceof(Uint8Array) }));
const Expected = z.array(
  z
    .object({ server: z.string(), says: z.enum(['true', 'false']).nullable(), since: z.number().nullable() })
    .transform(({ server, says, since }): Expectation => {
      if (says === 'false') return { server, since: undefined, because: 'registry_says_no' };
      if (since === null) return { server, since: undefined, because: 'never_reported' };
      return { server, since, because: says === null ? 'server_has_reported' : 'registry_says_so' };
    }),
);
const Waiting = z.array(z.object({ count: z.number(), oldest: z.string().nullable(), since: z.number().nullable() }));
const Open = z.array(z.object({ id: z.string(), at: z.number() }));
const Gaps = z.array(z.object({ found: z.number(), last: z.number(), at: z.number() }));
const Entries = z.array(
  z
    .object({
      index: z.string(),
      kind: text,
      at: z.number().nullable(),
      leaf_hash: z.string(),
      session_id: text,
      txn: text,
      token_hash: text,
      leaf: z.instanceof(Uint8Array).nullable(),
    })
    .transform((row): SeenEntry => ({
      index: Number(row.index),
      kind: row.kind,
      at: row.at ?? 0,
      leafHash: Buffer.from(row.leaf_hash, 'base64').toString('base64url'),
      session: row.session_id,
      txn: row.txn,
      tokenHash: row.token_hash,
      record: row.leaf === null ? undefined : readRecord(row.leaf),
    })),
);
const Facts = z
  .string()
  .transform((json): unknown => JSON.parse(json))
  .pipe(z.record(z.string(), z.json()))
  .transform((facts): JsonObject => facts);
const Found = z.array(
  z
    .object({
      number: z.string(),
      id: z.string(),
      kind: FindingKind,
      session_id: text,
      server: text,
      txn: text,
      token_hash: text,
      facts: Facts,
      at: z.number(),
    })
    .transform(
      ({ number, session_id: session, token_hash: tokenHash, ...row }): { number: string; found: FoundFinding } => ({
        number,
        found: { ...row, session, tokenHash },
      }),
    ),
);
