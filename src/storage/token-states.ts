import { z } from 'zod';
import { type Clock, Fault } from '../base/index.js';
import type { StateQuestion, TokenRevoker, TokenStates } from '../introspection/index.js';
import { sha256 } from '../protocol/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';
import { append } from './records.js';
import { revokeWithin } from './revocations.js';

/** Introspection's one question to the database, and RFC 7009's one answer. */
export function openTokenStates({ prisma }: Database, clock: Clock): TokenStates & TokenRevoker {
  return {
    ask: async (question) => {
      const [row] = Rows.parse(await guarded(() => prisma.$queryRawUnsafe(ASK, ...parameters(question))));
      if (row === undefined) throw new Fault('internal', 'the database has no registry state');
      return { live: row.live, registryVersion: Number(row.registry), replayed: row.replayed, consumed: row.consumed };
    },
    revokeToken: ({ tokenHash, txn }, by) =>
      guarded(() =>
        prisma.$transaction(async (transaction) => {
          await revokeWithin(transaction, [`token:${tokenHash}`], by, 'revoked by its client');
          const facts = { what: 'token', token: tokenHash, by };
          await append(transaction, {
            kind: 'revocation',
            at: clock.now(),
            facts,
            decision: 'done',
            reason: 'revoked',
            ...(txn === undefined ? {} : { txn }),
          });
        }),
      ),
  };
}

function parameters({ requestId, registryVersion, spends, tokenHash, consume }: StateQuestion): readonly unknown[] {
  return [
    requestId,
    spends.map(({ key }) => key),
    spends.map(({ expiresAt }) => expiresAt),
    tokenHash ?? null,
    consume === undefined || tokenHash === undefined ? null : sha256(`${tokenHash} ${consume.tool}`),
    consume?.maxUses ?? 0,
    consume?.expiresAt ?? 0,
    registryVersion,
  ];
}

/** A stale caller spends nothing: it is authenticated anew against the newer registry. A replayed one consumes nothing. */
const ASK = `
WITH state AS MATERIALIZED (
  SELECT version FROM registry_state WHERE id = 1
), spent AS (
  INSERT INTO replay (key, spender, expires_at)
  SELECT key, $1, to_timestamp(ends) FROM unnest($2::text[], $3::bigint[]) AS s(key, ends), state
  WHERE state.version = $8::bigint ORDER BY key
  ON CONFLICT (key) DO NOTHING RETURNING key
), replayed AS MATERIALIZED (
  SELECT EXISTS (
    SELECT 1 FROM unnest($2::text[]) AS s(key)
    WHERE NOT EXISTS (SELECT 1 FROM spent WHERE spent.key = s.key)
      AND NOT EXISTS (SELECT 1 FROM replay r WHERE r.key = s.key AND r.spender = $1)
  ) AND (SELECT version FROM state) = $8::bigint AS yes
), token AS MATERIALIZED (
  SELECT 1 AS one FROM log_leaf l JOIN agent_session s ON s.id = l.session_id JOIN person p ON p.id = s.person_id
  LEFT JOIN trusted_issuer voucher ON voucher.issuer = p.issuer
  WHERE l.token_hash = $4 AND p.status = 'active' AND coalesce(voucher.status, 'active') = 'active' AND s.status = 'active' AND s.expires_at > clock_timestamp()
    AND NOT EXISTS (SELECT 1 FROM revocation r WHERE r.target = ANY(l.lineage))
), taken AS (
  INSERT INTO token_use (key, used, expires_at)
  SELECT $5, 1, to_timestamp($7::bigint) FROM token, replayed, state
  WHERE $5::text IS NOT NULL AND $6::int > 0 AND NOT replayed.yes AND state.version = $8::bigint
  ON CONFLICT (key) DO UPDATE SET used = token_use.used + 1 WHERE token_use.used < $6::int
  RETURNING used
)
SELECT (SELECT version FROM state)::text AS registry, (SELECT yes FROM replayed) AS replayed,
  EXISTS (SELECT 1 FROM token) AS live, EXISTS (SELECT 1 FROM taken) AS consumed`;

const Rows = z.array(
  z.object({ registry: z.string(), replayed: z.boolean(), live: z.boolean(), consumed: z.boolean() }),
);
