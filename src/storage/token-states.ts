import { z } from 'zod';
import { type Clock, Fault, gathered, type Seconds } from '../base/index.js';
import type { StateQuestion, TokenRevoker, TokenStates } from '../introspection/index.js';
import { feedTarget, sha256 } from '../protocol/index.js';
import { clocksDiffer, MAX_CLOCK_DIFFERENCE } from './clocks.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';
import { IDLE, idleUntil, isIdle } from './session-idle.js';
import { append } from './records.js';
import { isEnding, numberDerived, revokeWithin } from './revocations.js';

/** Introspection's one question to the database, and RFC 7009's one answer. */
export function openTokenStates({ prisma }: Database, clock: Clock, idle: Seconds = IDLE): TokenStates & TokenRevoker {
  // At the word of clients: however many at once, one look at the log after the other.
  const deriving = gathered<string>((targets) =>
    guarded(async () => {
      await numberDerived(prisma, targets, { by: 'writ', reason: REVOKED });
    }),
  );
  const revoke = (target: string, { facts, txn, by }: Told): Promise<void> =>
    guarded(async () => {
      const isKnown = await prisma.$transaction(async (transaction) => {
        // Told again: what comes of it is numbered already, and is not looked for at the word of a client.
        const numbered = await transaction.$queryRawUnsafe<unknown[]>(NUMBERED, target);
        if (numbered.length === 0) await revokeWithin(transaction, [target], by, REVOKED);
        const record = { kind: 'revocation', at: clock.now(), facts, decision: 'done', reason: 'revoked' } as const;
        await append(transaction, { ...record, ...(txn === undefined ? {} : { txn }) });
        return numbered.length > 0;
      });
      if (!isKnown) await deriving(target);
    });
  return {
    ask: async (question) => {
      const [sql, parameters] = statementOf(question, clock.now(), idle);
      const [row] = Rows.parse(await guarded(() => prisma.$queryRawUnsafe(sql, ...parameters)));
      if (row === undefined) throw new Fault('internal', 'the database has no registry state');
      if (row.off) throw clocksDiffer();
      const { live, replayed, consumed, run_until: runUntil } = row;
      return { live, replayed, consumed, registryVersion: Number(row.registry), runUntil: runUntil ?? undefined };
    },
    revokeToken: ({ tokenHash, txn }, by) =>
      revoke(`token:${tokenHash}`, { facts: { what: 'token', token: tokenHash, by }, txn, by }),
    revokeTransaction: (txn, by) =>
      revoke(feedTarget.transaction(txn), { facts: { what: 'transaction', txn, by }, txn, by }),
  };
}

/** What is recorded of it, and the transaction that it is of. */
type Told = Readonly<{ facts: Readonly<Record<string, string>>; txn: string | undefined; by: string }>;

const REVOKED = 'revoked by its client';
const NUMBERED = 'SELECT 1 FROM revocation WHERE target = $1';

/** Names the uses of a tool by one token. */
export const useKey = (tokenHash: string, tool: string): string => sha256(`${tokenHash} ${tool}`);

/** A plain question takes no use, and its statement does not look for one. */
function statementOf(
  question: StateQuestion,
  now: Seconds,
  idle: Seconds,
): readonly [sql: string, parameters: readonly unknown[]] {
  const { requestId, registryVersion, spends, keyThumbprint, tokenHash, consume, renew } = question;
  const keys = spends.map(({ key }) => key);
  const ends = spends.map(({ expiresAt }) => expiresAt);
  const basis = [
    requestId,
    keys,
    ends,
    tokenHash ?? null,
    registryVersion,
    now,
    MAX_CLOCK_DIFFERENCE,
    keyThumbprint ?? null,
  ];
  if (renew !== undefined && tokenHash !== undefined) {
    const { tool, until, refused, record, session, txn } = renew;
    return [ASK_TO_RUN_ON, [...basis, tool, until, refused ?? null, record, session, txn, idle]];
  }
  if (consume === undefined || tokenHash === undefined) return [ASK, basis];
  const { tool, maxUses, expiresAt, record, session, txn } = consume;
  return [ASK_FOR_USE, [...basis, useKey(tokenHash, tool), maxUses, expiresAt, record, session, txn]];
}

/**
 * A stale caller spends nothing: it is authenticated anew against the newer registry. A replayed one consumes nothing, and
 * nor does one whose clock the database cannot believe (CL-05): what it takes for alive may be long over.
 */
const STATE = `
WITH state AS MATERIALIZED (
  SELECT version, abs(extract(epoch FROM clock_timestamp())::bigint - $6::bigint) > $7::int AS off FROM registry_state WHERE id = 1
), spent AS (
  INSERT INTO replay (key, spender, expires_at)
  SELECT key, $1, to_timestamp(ends) FROM unnest($2::text[], $3::bigint[]) AS s(key, ends), state
  WHERE state.version = $5::bigint AND NOT state.off ORDER BY key
  ON CONFLICT (key) DO NOTHING RETURNING key
), replayed AS MATERIALIZED (
  SELECT (EXISTS (SELECT 1 FROM revocation WHERE target = 'agent-key:' || $8::text) OR EXISTS (
    SELECT 1 FROM unnest($2::text[]) AS s(key)
    WHERE NOT EXISTS (SELECT 1 FROM spent WHERE spent.key = s.key)
      AND NOT EXISTS (SELECT 1 FROM replay r WHERE r.key = s.key AND r.spender = $1)
  )) AND (SELECT version = $5::bigint AND NOT off FROM state) AS yes
), token AS MATERIALIZED (
  SELECT 1 AS one FROM log_leaf l JOIN agent_session s ON s.id = l.session_id JOIN person p ON p.id = s.person_id
  LEFT JOIN trusted_issuer voucher ON voucher.issuer = p.issuer
  WHERE l.token_hash = $4 AND p.status = 'active' AND coalesce(voucher.status, 'active') = 'active' AND s.status = 'active' AND s.expires_at > clock_timestamp()
    AND NOT EXISTS (SELECT 1 FROM revocation r WHERE r.target = ANY(l.lineage) AND ${isEnding('l.seen')})
)`;

const ANSWER = `SELECT (SELECT version FROM state)::text AS registry, (SELECT off FROM state) AS off, (SELECT yes FROM replayed) AS replayed,
  EXISTS (SELECT 1 FROM token) AS live`;

const ASK = `${STATE}
${ANSWER}, false AS consumed, NULL::int AS run_until`;

/** The use and its record are one; a use that was refused is recorded too. `sequence` numbers the decisions of a session only. */
const ASK_FOR_USE = `${STATE}, asked AS MATERIALIZED (
  SELECT 1 FROM replayed, state WHERE NOT replayed.yes AND state.version = $5::bigint AND NOT state.off
), taken AS (
  INSERT INTO token_use (key, used, expires_at) SELECT $9, 1, to_timestamp($11::bigint) FROM token, asked WHERE $10::int > 0
  ON CONFLICT (key) DO UPDATE SET used = token_use.used + 1 WHERE token_use.used < $10::int
  RETURNING used
), written AS MATERIALIZED (
  SELECT convert_to($12::text || ',"outcome":{'
    || CASE WHEN EXISTS (SELECT 1 FROM taken) THEN '"decision":"done","reason":"used"'
            WHEN EXISTS (SELECT 1 FROM token) THEN '"decision":"refuse","reason":"no_use_left"'
            ELSE '"decision":"refuse","reason":"not_live"' END
    || ',"session":' || to_json($13::text)::text || ',"sequence":null,"seen":0}}', 'UTF8') AS leaf
  FROM asked
), leaf AS (
  INSERT INTO log_leaf (leaf, leaf_hash, kind, session_id, txn, lineage)
  SELECT leaf, sha256('\\x00'::bytea || leaf), 'introspection', $13, $14, ARRAY[]::text[] FROM written
)
${ANSWER}, EXISTS (SELECT 1 FROM taken) AS consumed, NULL::int AS run_until`;

/**
 * A call that runs on uses its session, which must outlive it, and what it reserved of budgets comes back no sooner than it
 * can end. The session's row decides: whoever pauses or ends it at the same moment is waited for. DANGER: a hold that is
 * being settled is passed over, never waited for: whoever settles waits for accounts, and a commit that has those waits for
 * sessions. A session that ended long ago has, or will soon have, the summary of all its records: this is none of them.
 */
const ASK_TO_RUN_ON = `${STATE}, asked AS MATERIALIZED (
  SELECT 1 FROM replayed, state WHERE NOT replayed.yes AND state.version = $5::bigint AND NOT state.off
), renewed AS (
  UPDATE agent_session s SET last_used_at = clock_timestamp(), idle_until = ${idleUntil('$15')}
  FROM token, asked
  WHERE s.id = $13 AND $11::text IS NULL AND s.status = 'active' AND s.expires_at > clock_timestamp() AND NOT ${isIdle('s')}
  RETURNING least($10::bigint, floor(extract(epoch FROM s.expires_at))::bigint) AS until
), held AS MATERIALIZED (
  SELECT h.token_hash, h.tool, h.account FROM budget_hold h, renewed
  WHERE h.token_hash = $4 AND h.tool = $9 FOR UPDATE OF h SKIP LOCKED
), kept AS (
  UPDATE budget_hold h SET expires_at = greatest(h.expires_at, to_timestamp(renewed.until)) FROM held, renewed
  WHERE h.token_hash = held.token_hash AND h.tool = held.tool AND h.account = held.account
), written AS MATERIALIZED (
  SELECT told.session, convert_to($12::text || ',"outcome":{'
    || CASE WHEN EXISTS (SELECT 1 FROM renewed) THEN '"decision":"done","reason":"renewed"'
            WHEN EXISTS (SELECT 1 FROM token) AND $11::text IS NOT NULL THEN '"decision":"refuse","reason":' || to_json($11::text)::text
            ELSE '"decision":"refuse","reason":"not_live"' END
    || ',"session":' || coalesce(to_json(told.session)::text, 'null') || ',"sequence":null,"seen":0}}', 'UTF8') AS leaf
  FROM asked, (SELECT (
    SELECT id FROM agent_session
    WHERE id = $13 AND closed_at IS NULL AND (status <> 'ended' OR ended_at > clock_timestamp() - interval '300 seconds')
  ) AS session) told
), leaf AS (
  INSERT INTO log_leaf (leaf, leaf_hash, kind, session_id, txn, lineage)
  SELECT leaf, sha256('\\x00'::bytea || leaf), 'introspection', session, $14, ARRAY[]::text[] FROM written
)
${ANSWER}, false AS consumed, (SELECT until FROM renewed)::int AS run_until`;

const Rows = z.array(
  z.object({
    registry: z.string(),
    off: z.boolean(),
    replayed: z.boolean(),
    live: z.boolean(),
    consumed: z.boolean(),
    run_until: z.number().nullable(),
  }),
);
