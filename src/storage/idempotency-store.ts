import { z } from 'zod';
import type { Beginning, Begun, IdempotencyStore } from '../admin/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';
import { pruneAll, pruneSql } from './pruning.js';

/** Idempotency keys of every process on this database, by its clock. `most` are kept at once. */
export function openIdempotency(
  database: Database,
  most = 100_000,
): IdempotencyStore & Readonly<{ prune(): Promise<void> }> {
  const { prisma } = database;
  const run = async (sql: string, ...values: unknown[]): Promise<number> =>
    guarded(() => prisma.$executeRawUnsafe(sql, ...values));
  const tryBegin = async ({ key, request, holder }: Begun): Promise<Beginning | undefined> => {
    if ((await run(BEGIN, key, request, holder, most)) === 1) return { state: 'begun' };
    const [row] = Rows.parse(await guarded(() => prisma.$queryRawUnsafe(FIND, key)));
    return row && found(row, request);
  };
  return {
    // The one that held the key may have been forgotten between the two statements.
    begin: async (begun) => (await tryBegin(begun)) ?? (await tryBegin(begun)) ?? { state: 'too_many' },
    keep: async ({ key, holder }, answer) => {
      await run('UPDATE idempotency_key SET answer = $3 WHERE key = $1 AND holder = $2', key, holder, answer);
    },
    forget: async ({ key, holder }) => {
      await run('DELETE FROM idempotency_key WHERE key = $1 AND holder = $2', key, holder);
    },
    prune: () => pruneAll(database, PRUNE),
  };
}

const Rows = z.array(z.object({ request_hash: z.string(), answer: z.instanceof(Uint8Array).nullable() }));

function found({ request_hash, answer }: z.infer<typeof Rows>[number], request: string): Beginning {
  if (request_hash !== request) return { state: 'reused' };
  return answer === null ? { state: 'in_use' } : { state: 'answered', answer };
}

/** No request takes a minute: what has no answer after one belongs to a process that is gone. */
const BEGIN = `
  INSERT INTO idempotency_key AS known (key, request_hash, holder, expires_at)
  SELECT $1, $2, $3, clock_timestamp() + interval '24 hours'
  WHERE (SELECT count(*) FROM (SELECT FROM idempotency_key WHERE key <> $1 LIMIT $4::int) AS kept) < $4::int
  ON CONFLICT (key) DO UPDATE
  SET request_hash = excluded.request_hash, holder = excluded.holder, answer = NULL, begun_at = clock_timestamp(),
      expires_at = excluded.expires_at
  WHERE known.expires_at <= clock_timestamp()
     OR (known.answer IS NULL AND known.request_hash = excluded.request_hash
         AND known.begun_at < clock_timestamp() - interval '1 minute')`;

export const PRUNE = pruneSql('idempotency_key', 'key', { where: 'expires_at <= now()', oldest: 'expires_at' });

const FIND = 'SELECT request_hash, answer FROM idempotency_key WHERE key = $1';
