import type { Clock } from '../base/index.js';
import type { FailureLog } from '../client/index.js';
import type { EngineLog } from '../oauth/index.js';
import type { WritesBehind } from './behind.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';
import { append, leafOf } from './records.js';

export type EngineLogDeps = Readonly<{ clock: Clock; failures: FailureLog; behind: WritesBehind }>;

/** The engine's part of the log: a person's token before it is signed, and every refusal. */
export function openEngineLog({ prisma }: Database, { clock, failures, behind }: EngineLogDeps): EngineLog {
  return {
    issued: async ({ client, person, scope, grant, jkt }, { key, next }) => {
      const facts = { what: 'person_token', client, person, scope, grant, bound: jkt ?? null };
      const at = clock.now();
      const { leaf, leafHash } = leafOf({ kind: 'grant', at, facts, decision: 'done', reason: 'issued' });
      const basis = [key, at, grant, leaf, leafHash];
      const [sql, values] =
        next === undefined
          ? [REDEEM, basis]
          : [REDEEM_AND_KEEP, [...basis, next.key, next.model, next.payload, next.uid ?? null, next.expiresAt ?? null]];
      return (await guarded(() => prisma.$executeRawUnsafe(sql, ...values))) === 1;
    },
    refused: ({ client, claimed, route, cause }) => {
      if (client === undefined) {
        failures.note({ client: claimed, cause, route });
        return;
      }
      const facts = { client, route };
      behind.add(
        guarded(() => append(prisma, { kind: 'grant', at: clock.now(), facts, decision: 'refuse', reason: cause })),
      );
    },
  };
}

/** A concurrent use waits for the row and then finds it consumed; a concurrent end of the family finds it gone, or removes it after. */
const SPENT = `
  WITH spent AS (
    UPDATE engine_record SET consumed_at = to_timestamp($2::float8)
    WHERE key = $1 AND consumed_at IS NULL AND NOT EXISTS (SELECT 1 FROM revocation WHERE target = 'grant:' || $3)
    RETURNING key
  )`;

const RECORD = `
  INSERT INTO log_leaf (leaf, leaf_hash, kind, lineage) SELECT $4::bytea, $5::bytea, 'grant', ARRAY[]::text[] FROM spent`;

const REDEEM = `${SPENT}${RECORD}`;

const REDEEM_AND_KEEP = `${SPENT}, next AS (
    INSERT INTO engine_record (key, model, payload, grant_id, uid, expires_at)
    SELECT $6, $7, $8::jsonb, $3, $9, to_timestamp($10::float8) FROM spent
  )${RECORD}`;
