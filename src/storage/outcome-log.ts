import { z } from 'zod';
import {
  type KeptOutcome,
  type NewOutcome,
  OutcomeFlaw,
  type OutcomeLog,
  permitFactsOf,
  readRecord,
  type StoredPermit,
} from '../audit/index.js';
import { type Clock, Fault, type Seconds } from '../base/index.js';
import { REFUND_CTES } from './budget-sql.js';
import { clocksDiffer, MAX_CLOCK_DIFFERENCE } from './clocks.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';

/** How much that fits no permit is kept of one server in an hour: enough to see, too little to fill the log. */
export const MAX_STRAYS = 100;

/** What MCP servers report of the calls that they let through. `closesAfter`: see {@link openSessionLife}. */
export function openOutcomes({ prisma }: Database, clock: Clock, closesAfter: Seconds): OutcomeLog {
  return {
    permits: async (tokenHashes) => {
      if (tokenHashes.length === 0) return [];
      const rows = Leaves.parse(await guarded(() => prisma.$queryRawUnsafe(PERMITS, tokenHashes)));
      return rows.map(permitOf).filter((permit) => permit !== undefined);
    },
    keep: async ({ requestId, registryVersion, spends, outcomes }) => {
      const column = <T>(of: (outcome: NewOutcome) => T): T[] => outcomes.map(of);
      const values = [
        requestId,
        spends.map(({ key }) => key),
        spends.map(({ expiresAt }) => expiresAt),
        registryVersion,
        clock.now(),
        MAX_CLOCK_DIFFERENCE,
        column(({ key }) => key),
        column(({ content }) => content),
        column(({ server }) => server),
        column(({ tokenHash }) => tokenHash),
        column(({ tool }) => tool),
        column(({ outcome }) => outcome),
        column(({ flaw }) => flaw ?? null),
        column(({ txn }) => txn ?? null),
        column(({ session }) => session ?? null),
        column(({ head }) => head),
        MAX_STRAYS,
        [...OutcomeFlaw.options],
        closesAfter,
      ];
      const [row] = Answers.parse(await guarded(() => prisma.$queryRawUnsafe(KEEP, ...values)));
      if (row === undefined) throw new Fault('internal', 'the database has no registry state');
      if (row.off) throw clocksDiffer();
      const answer = { registryVersion: Number(row.registry), replayed: row.replayed };
      if (row.replayed || answer.registryVersion !== registryVersion || outcomes.length === 0)
        return { ...answer, kept: new Map() };
      const keys = column(({ key }) => key);
      const kept = Kept.parse(await guarded(() => prisma.$queryRawUnsafe(FIND, keys)));
      return { ...answer, kept: new Map(kept.map(({ key, ...one }) => [key, keptOf(one)])) };
    },
  };
}

function permitOf({ token_hash, leaf, leaf_hash, txn, session_id }: z.infer<typeof Leaf>): StoredPermit | undefined {
  const record = readRecord(leaf);
  const facts = record && permitFactsOf(record);
  return (
    facts && {
      ...facts,
      tokenHash: token_hash,
      txn,
      session: session_id,
      leafHash: Buffer.from(leaf_hash).toString('base64url'),
    }
  );
}

const keptOf = ({ content, flaw, leaf_hash }: Omit<z.infer<typeof KeptRow>, 'key'>): KeptOutcome => ({
  content,
  flaw: flaw ?? undefined,
  leafHash: Buffer.from(leaf_hash).toString('base64url'),
});

const PERMITS = `
  SELECT token_hash, leaf, leaf_hash, txn, session_id FROM log_leaf
  WHERE token_hash = ANY($1::text[]) AND session_id IS NOT NULL AND txn IS NOT NULL`;

/**
 * One row of input for each call. A key that another process is inserting is waited for, so that one of the two has it
 * and writes the record.
 *
 * A session is closed `$19` seconds after its end and a little. What comes later than that is a record without session:
 * nothing of a session may come after its summary, and what the summary counts is settled without a lock.
 *
 * DANGER: two replicas insert the keys in the same order, or they would wait for each other in a circle.
 */
const KEEP = `
WITH state AS MATERIALIZED (
  SELECT version, abs(extract(epoch FROM clock_timestamp())::bigint - $5::bigint) > $6::int AS off FROM registry_state WHERE id = 1
), spent AS (
  INSERT INTO replay (key, spender, expires_at)
  SELECT key, $1, to_timestamp(ends) FROM unnest($2::text[], $3::bigint[]) AS s(key, ends), state
  WHERE state.version = $4::bigint AND NOT state.off ORDER BY key
  ON CONFLICT (key) DO NOTHING RETURNING key
), replayed AS MATERIALIZED (
  SELECT EXISTS (
    SELECT 1 FROM unnest($2::text[]) AS s(key)
    WHERE NOT EXISTS (SELECT 1 FROM spent WHERE spent.key = s.key)
      AND NOT EXISTS (SELECT 1 FROM replay r WHERE r.key = s.key AND r.spender = $1)
  ) AND (SELECT version = $4::bigint AND NOT off FROM state) AS yes
), input AS MATERIALIZED (
  SELECT i.* FROM unnest($7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[],
    $15::text[], $16::text[]) AS i(key, content, server, token_hash, tool, outcome, flaw, txn, session, head), replayed, state
  WHERE NOT replayed.yes AND state.version = $4::bigint AND NOT state.off
), strays AS MATERIALIZED (
  SELECT count(*) AS kept FROM outcome o
  WHERE o.server = $9[1] AND o.flaw = ANY($18::text[]) AND o.at > now() - interval '1 hour'
), written AS MATERIALIZED (
  SELECT i.*, s.id AS open_session, row_number() OVER (PARTITION BY i.flaw IS NULL ORDER BY i.key) AS place, convert_to(
    i.head || ',"outcome":' || CASE WHEN i.flaw IS NULL THEN '{"decision":"done","reason":"reported"'
      ELSE '{"decision":"refuse","reason":' || to_json(i.flaw)::text END
    || ',"session":' || coalesce(to_json(s.id)::text, 'null') || ',"sequence":null,"seen":0}}', 'UTF8') AS leaf
  FROM input i LEFT JOIN agent_session s ON s.id = i.session
    AND coalesce(s.ended_at, s.expires_at) + make_interval(secs => $19::int) > clock_timestamp()
), hashed AS MATERIALIZED (
  SELECT w.*, sha256('\\x00'::bytea || w.leaf) AS leaf_hash FROM written w
), taken AS (
  INSERT INTO outcome (key, content, server, token_hash, tool, outcome, flaw, leaf_hash)
  SELECT key, content, server, token_hash, tool, outcome, flaw, leaf_hash FROM hashed, strays
  WHERE flaw IS NULL OR place + strays.kept <= $17::int
  ORDER BY key ON CONFLICT (key) DO NOTHING RETURNING key
), reporter AS (
  INSERT INTO outcome_reporter (server) SELECT DISTINCT server FROM hashed WHERE flaw IS NULL
  ON CONFLICT (server) DO NOTHING
), ${REFUND_CTES}, leaf AS (
  INSERT INTO log_leaf (leaf, leaf_hash, kind, session_id, txn, lineage)
  SELECT leaf, leaf_hash, 'outcome', open_session, txn, ARRAY[]::text[] FROM hashed JOIN taken USING (key) ORDER BY key
)
SELECT (SELECT version FROM state)::text AS registry, (SELECT off FROM state) AS off, (SELECT yes FROM replayed) AS replayed`;

/** By a statement of its own: what another process kept meanwhile is not seen by the one before. */
const FIND = 'SELECT key, content, flaw, leaf_hash FROM outcome WHERE key = ANY($1::text[])';

const Leaf = z.object({
  token_hash: z.string(),
  leaf: z.instanceof(Uint8Array),
  leaf_hash: z.instanceof(Uint8Array),
  txn: z.string(),
  session_id: z.string(),
});
const Leaves = z.array(Leaf);
const KeptRow = z.object({
  key: z.string(),
  content: z.string(),
  flaw: z.string().nullable(),
  leaf_hash: z.instanceof(Uint8Array),
});
const Kept = z.array(KeptRow);
const Answers = z.array(z.object({ registry: z.string(), off: z.boolean(), replayed: z.boolean() }));
