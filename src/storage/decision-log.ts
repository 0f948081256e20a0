import { z } from 'zod';
import { approvalKey } from '../approval/index.js';
import type { DecisionLog } from '../authzen/index.js';
import { type Clock, Fault } from '../base/index.js';
import { clocksDiffer, MAX_CLOCK_DIFFERENCE } from './clocks.js';
import type { Database } from './database.js';
import type { Prisma } from './generated/client.js';
import { guarded } from './outage.js';

/** The decisions that others asked for, in the log before they are answered. */
export function openDecisions({ prisma }: Database, clock: Clock): DecisionLog {
  return {
    keep: async ({ requestId, registryVersion, spends, keyThumbprint, leaves }) => {
      const keys = spends.map(({ key }) => key);
      const ends = spends.map(({ expiresAt }) => expiresAt);
      const now = clock.now();
      const values = [requestId, keys, ends, registryVersion, now, MAX_CLOCK_DIFFERENCE, leaves, keyThumbprint ?? null];
      const hasApproval = keys.some((key) => key.startsWith(approvalKey('')));
      const row = await guarded(() => (hasApproval ? allOrNothing({ prisma }, values) : keepOne(prisma, values)));
      if (row.off) throw clocksDiffer();
      return { registryVersion: Number(row.registry), replayed: row.replayed, lost: row.lost };
    },
  };
}

type Keeping = Pick<Prisma.TransactionClient, '$queryRawUnsafe'>;

async function keepOne(prisma: Keeping, values: readonly unknown[]): Promise<Kept> {
  const [row] = Rows.parse(await prisma.$queryRawUnsafe(KEEP, ...values));
  if (row === undefined) throw new Fault('internal', 'the database has no registry state');
  return row;
}

/** DANGER: what a person approved is not spent by a request that is refused, because somebody brings what was used before. */
async function allOrNothing({ prisma }: Pick<Database, 'prisma'>, values: readonly unknown[]): Promise<Kept> {
  let row: Kept | undefined;
  try {
    return await prisma.$transaction(async (transaction) => {
      row = await keepOne(transaction, values);
      if (row.replayed) throw new Undone();
      return row;
    });
  } catch (thrown) {
    if (thrown instanceof Undone && row !== undefined) return row;
    throw thrown;
  }
}

class Undone extends Error {}

/** A stale caller spends and keeps nothing; nor does one whose clock the database cannot believe. A replayed one keeps nothing. */
const KEEP = `
WITH state AS MATERIALIZED (
  SELECT version, abs(extract(epoch FROM clock_timestamp())::bigint - $5::bigint) > $6::int AS off FROM registry_state WHERE id = 1
), spent AS (
  INSERT INTO replay (key, spender, expires_at)
  SELECT key, $1, to_timestamp(ends) FROM unnest($2::text[], $3::bigint[]) AS s(key, ends), state
  WHERE state.version = $4::bigint AND NOT state.off ORDER BY key
  ON CONFLICT (key) DO NOTHING RETURNING key
), lost AS MATERIALIZED (
  SELECT coalesce(array_agg(s.key), ARRAY[]::text[]) AS keys FROM unnest($2::text[]) AS s(key)
  WHERE NOT EXISTS (SELECT 1 FROM spent WHERE spent.key = s.key)
    AND NOT EXISTS (SELECT 1 FROM replay r WHERE r.key = s.key AND r.spender = $1)
), replayed AS MATERIALIZED (
  SELECT (EXISTS (SELECT 1 FROM revocation WHERE target = 'agent-key:' || $8::text) OR cardinality(lost.keys) > 0)
    AND (SELECT version = $4::bigint AND NOT off FROM state) AS yes
  FROM lost
), kept AS (
  INSERT INTO log_leaf (leaf, leaf_hash, kind, lineage)
  SELECT leaf, sha256('\\x00'::bytea || leaf), 'decision', ARRAY[]::text[]
  FROM (SELECT convert_to(text, 'UTF8') AS leaf FROM unnest($7::text[]) AS u(text)) AS written, replayed, state
  WHERE NOT replayed.yes AND state.version = $4::bigint AND NOT state.off
)
SELECT (SELECT version FROM state)::text AS registry, (SELECT off FROM state) AS off, (SELECT yes FROM replayed) AS replayed,
  (SELECT keys FROM lost) AS lost`;

const Rows = z.array(
  z.object({ registry: z.string(), off: z.boolean(), replayed: z.boolean(), lost: z.array(z.string()) }),
);
type Kept = z.infer<typeof Rows>[number];
