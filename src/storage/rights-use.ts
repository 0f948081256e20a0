import { z } from 'zod';
import { DUE, readRecord, rightsUsedBy } from '../audit/index.js';
import type { Right, RightsUse } from '../registry/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';

/** How agents use what they may, as far as it is counted; see noteUses. */
export function openRightsUse({ prisma }: Database): RightsUse {
  const query = (sql: string, ...values: unknown[]): Promise<unknown> =>
    guarded(() => prisma.$queryRawUnsafe(sql, ...values));
  return {
    countedUntil: async () => Until.parse(await query(COUNTED, DUE))[0]?.until ?? 0,
    unused: async (clients, before) => {
      const byClient = new Map<string, Right[]>();
      for (const { client, ...right } of Rows.parse(await query(UNUSED, [...clients], before)))
        byClient.set(client, [...(byClient.get(client) ?? []), right]);
      return byClient;
    },
    usedSince: async (client, since) => {
      const rows = Leaves.parse(await query(SINCE, since, client));
      return rows.flatMap(({ leaf }) => {
        const record = readRecord(leaf);
        return record === undefined ? [] : rightsUsedBy(record).filter((use) => use.client === client);
      });
    },
  };
}

/** A leaf that is in no place of the tree yet may be older than one that is. */
const COUNTED = `
  SELECT floor(extract(epoch FROM least(now(), (SELECT min(since) FROM log_pending), (
    SELECT l.at FROM log_entry e JOIN log_leaf l ON l.id = e.leaf_id
    WHERE e.index >= coalesce((SELECT index FROM log_consumer WHERE name = $1), 0) ORDER BY e.index LIMIT 1))))::int AS until`;

const UNUSED = `
  SELECT client_id AS client, resource, kind, name FROM agent_right
  WHERE client_id = ANY($1::text[]) AND granted_at < to_timestamp($2::bigint)
    AND (last_used_at IS NULL OR last_used_at < to_timestamp($2::bigint))
  ORDER BY client_id, resource, kind, name`;

/** The name of the agent is somewhere in the bytes: what they say is read afterwards. */
const SINCE = `
  SELECT leaf FROM log_leaf
  WHERE at >= to_timestamp($1::bigint) AND kind IN ('exchange', 'decision')
    AND position(convert_to('"' || $2 , 'UTF8') IN leaf) > 0
    AND position(convert_to('"outcome":{"decision":"permit"', 'UTF8') IN leaf) > 0`;

const Until = z.array(z.object({ until: z.number() }));
const Leaves = z.array(z.object({ leaf: z.instanceof(Uint8Array) }));
const Rows = z.array(
  z.object({
    client: z.string(),
    resource: z.string(),
    kind: z.enum(['server', 'tool', 'scope', 'hand_over', 'domain']),
    name: z.string(),
  }),
);
