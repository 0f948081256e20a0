import { z } from 'zod';
import type { DecisionLog } from '../authzen/index.js';
import { type Clock, Fault } from '../base/index.js';
import { clocksDiffer, MAX_CLOCK_DIFFERENCE } from './clocks.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';

/** The decisions that others asked for, in the log before they are answered. */
export function openDecisions({ prisma }: Database, clock: Clock): DecisionLog {
  return {
    keep: async ({ requestId, registryVersion, spends, keyThumbprint, leaves }) => {
      const keys = spends.map(({ key }) => key);
      const ends = spends.map(({ expiresAt }) => expiresAt);
      const now = clock.now();
      const values = [requestId, keys, ends, registryVersion, now, MAX_CLOCK_DIFFERENCE, leaves, keyThumbprint ?? null];
      const [row] = Rows.parse(await guarded(() => prisma.$queryRawUnsafe(KEEP, ...values)));
      if (row === undefined) throw new Fault('internal', 'the database has no registry state');
      if (row.off) throw clocksDiffer();
      return { registryVersion: Number(row.registry), replayed: row.replayed };
    },
  };
}

/** A stale caller spends and keeps nothing; nor does one whose clock the database cannot believe. A replayed one keeps nothing. */
const KEEP = `
WITH state AS MATERIALIZED (
  SELECT version, abs(extract(epoch FROM clock_timestamp())::bigint - $5::bigint) > $6::int AS off FROM registry_state WHERE id = 1
), spent AS (
  INSERT INTO replay (key, spender, expires_at)
  SELECT key, $1, to_timestamp(ends) FROM unnest($2::text[], $3::bigint[]) AS s(key, ends), state
  WHERE state.version = $4::bigint AND NOT state.off ORDER BY key
  ON CONFLICT (key) DO NOTHING RETURNING key
), replayed AS MATERIALIZED (
  SELECT (EXISTS (SELECT 1 FROM revocation WHERE target = 'agent-key:' || $8::text) OR EXISTS (
    SELECT 1 FROM unnest($2::text[]) AS s(key)
    WHERE NOT EXISTS (SELECT 1 FROM spent WHERE spent.key = s.key)
      AND NOT EXISTS (SELECT 1 FROM replay r WHERE r.key = s.key AND r.spender = $1)
  )) AND (SELECT version = $4::bigint AND NOT off FROM state) AS yes
), kept AS (
  INSERT INTO log_leaf (leaf, leaf_hash, kind, lineage)
  SELECT leaf, sha256('\\x00'::bytea || leaf), 'decision', ARRAY[]::text[]
  FROM (SELECT convert_to(text, 'UTF8') AS leaf FROM unnest($7::text[]) AS u(text)) AS written, replayed, state
  WHERE NOT replayed.yes AND state.version = $4::bigint AND NOT state.off
)
SELECT (SELECT version FROM state)::text AS registry, (SELECT off FROM state) AS off, (SELECT yes FROM replayed) AS replayed`;

const Rows = z.array(z.object({ registry: z.string(), off: z.boolean(), replayed: z.boolean() }));
