import { z } from 'zod';
import { type Clock, type Seconds, systemClock } from '../base/index.js';
import type { EngineStore, StoredEngineRecord } from '../oauth/index.js';
import { feedTarget, sha256 } from '../protocol/index.js';
import type { Database } from './database.js';
import type { Prisma } from './generated/client.js';
import { guarded } from './outage.js';
import { pruneAll, pruneSql } from './pruning.js';
import { commitsUnderWay } from './revocation-derived.js';
import { revokeWithin } from './revocations.js';
import { endSessions } from './session-tree.js';
import { isOfEndedSignIn } from './sign-ins.js';

export function openEngineStore(database: Database, clock: Clock = systemClock): EngineStore {
  const { prisma } = database;
  const run = (sql: string, ...values: unknown[]): Promise<number> =>
    guarded(() => prisma.$executeRawUnsafe(sql, ...values));
  const one = async (sql: string, ...values: unknown[]): Promise<StoredEngineRecord | undefined> =>
    z.array(Row).parse(await guarded(() => prisma.$queryRawUnsafe(sql, ...values)))[0];
  return {
    put: async ({ key, model, payload, grant, uid, expiresAt }) => {
      await run(PUT, key, model, payload, grant ?? null, uid ?? null, expiresAt ?? null);
    },
    find: (key) => one(FIND, key),
    findByUid: (model, uid) => one(FIND_BY_UID, model, uid),
    remove: async (key) => {
      await run('DELETE FROM engine_record WHERE key = $1', key);
    },
    removeByUid: async (model, uid) => {
      await run('DELETE FROM engine_record WHERE model = $1 AND uid = $2', model, uid);
    },
    take: (key) => one(`DELETE FROM engine_record WHERE key = $1 RETURNING ${COLUMNS}`, key),
    consume: async (key, now) => (await run(CONSUME, key, now)) === 1,
    spend: async (key, expiresAt, keyThumbprint) => (await run(SPEND, key, expiresAt, keyThumbprint ?? null)) === 1,
    revokeFamily: async (grant, by, reason) => {
      const end = (transaction: Prisma.TransactionClient): Promise<void> =>
        endFamily(transaction, { grant, by, reason, now: clock.now() });
      await guarded(async () => {
        await prisma.$transaction(end);
        await commitsUnderWay(prisma);
        // Whatever was opened meanwhile by who could not know it yet.
        await prisma.$transaction(end);
      });
    },
    lastRevocation: async () => {
      const rows = await guarded(() => prisma.$queryRawUnsafe(LAST_REVOCATION));
      return Numbers.parse(rows)[0]?.number ?? 0;
    },
    prune: async (before) => {
      for (const sql of Object.values(PRUNE)) await pruneAll(database, sql, before);
    },
  };
}

type Ending = Readonly<{ grant: string; by: string; reason: string; now: Seconds }>;

/**
 * DANGER: records, sessions, the revocations' lock, as a revocation by scope and an erasure have it: the other way round two
 * of them wait in a circle. A verifier knows no grants, so the session gets a number.
 */
async function endFamily(transaction: Prisma.TransactionClient, { grant, ...ending }: Ending): Promise<void> {
  await transaction.$executeRawUnsafe(REMOVE_FAMILY, grant);
  const runs = Ids.parse(await transaction.$queryRawUnsafe(RUNS, sha256(`grant ${grant}`)));
  const ended = await endSessions(
    transaction,
    runs.map(({ id }) => id),
    ending,
  );
  await revokeWithin(transaction, [`grant:${grant}`, ...ended.map(feedTarget.session)], ending.by, ending.reason);
}

const Ids = z.array(z.object({ id: z.string() }));
const RUNS = `SELECT id FROM agent_session WHERE run_key = $1 AND status <> 'ended'`;

const seconds = z
  .number()
  .nullable()
  .transform((value) => value ?? undefined);
const word = z
  .string()
  .nullable()
  .transform((value) => value ?? undefined);

const Row = z.object({
  key: z.string(),
  model: z.string(),
  payload: z.string(),
  grant: word,
  uid: word,
  expiresAt: seconds,
  consumedAt: seconds,
});

const COLUMNS = `key, model, payload::text AS payload, grant_id AS "grant", uid,
  extract(epoch FROM expires_at)::float8 AS "expiresAt", extract(epoch FROM consumed_at)::float8 AS "consumedAt"`;

const FIND = `SELECT ${COLUMNS} FROM engine_record WHERE key = $1 AND NOT ${isOfEndedSignIn()}`;
const FIND_BY_UID = `SELECT ${COLUMNS} FROM engine_record WHERE model = $1 AND uid = $2 AND NOT ${isOfEndedSignIn()}`;

const Numbers = z.array(z.object({ number: z.coerce.number() }));
const LAST_REVOCATION = `SELECT coalesce(max(number), 0)::text AS number FROM revocation`;

/** A record of a revoked grant is not kept; `consumed_at` is never undone. */
const PUT = `
  INSERT INTO engine_record (key, model, payload, grant_id, uid, expires_at)
  SELECT $1, $2, $3::jsonb, $4, $5, to_timestamp($6::float8)
  WHERE ($4::text IS NULL OR NOT EXISTS (SELECT 1 FROM revocation WHERE target = 'grant:' || $4))
    AND NOT ${isOfEndedSignIn('$3::jsonb', '$5::text')}
  ON CONFLICT (key) DO UPDATE
  SET payload = excluded.payload, grant_id = excluded.grant_id, uid = excluded.uid, expires_at = excluded.expires_at`;

const REMOVE_FAMILY = `
  WITH gone AS MATERIALIZED (SELECT key FROM engine_record WHERE grant_id = $1 ORDER BY key FOR UPDATE)
  DELETE FROM engine_record e USING gone WHERE e.key = gone.key`;

const CONSUME = `UPDATE engine_record SET consumed_at = to_timestamp($2::float8) WHERE key = $1 AND consumed_at IS NULL`;

/** CL-04: a process whose clock is ahead forgets nothing that others may still be shown. */
const OVER = `expires_at < least(to_timestamp($1::float8), now() - interval '60 seconds')`;

/** What a token reserved of budgets is settled by its uses. */
const SETTLED = 'NOT EXISTS (SELECT 1 FROM budget_hold h WHERE h.use_key = token_use.key)';

export const PRUNE = {
  engine_record: pruneSql('engine_record', 'key', { where: OVER, oldest: 'expires_at' }),
  replay: pruneSql('replay', 'key', { where: OVER, oldest: 'expires_at' }),
  token_use: pruneSql('token_use', 'key', { where: `${OVER} AND ${SETTLED}`, oldest: 'expires_at' }),
} as const;

const SPEND = `
  INSERT INTO replay (key, spender, expires_at)
  SELECT $1, 'engine', to_timestamp($2::float8) WHERE NOT EXISTS (SELECT 1 FROM revocation WHERE target = 'agent-key:' || $3::text)
  ON CONFLICT (key) DO NOTHING`;
