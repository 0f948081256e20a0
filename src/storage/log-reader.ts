import { z } from 'zod';
import { type LogReader, readRecord } from '../audit/index.js';
import { Fault } from '../base/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';

/** Reads the log in the order of its ids; a leaf that this build cannot read is an error, never left out. */
export function openLog({ prisma }: Database): LogReader {
  return {
    read: async ({ session, txn, kind }, { after, limit }) => {
      const parameters = [session ?? null, txn ?? null, kind ?? null, after ?? '0', limit + 1];
      const rows = Rows.parse(await guarded(() => prisma.$queryRawUnsafe(READ, ...parameters)));
      const entries = rows.slice(0, limit).map((row) => {
        const record = readRecord(row.leaf);
        if (record === undefined)
          throw new Fault('log_rejected', `log entry ${row.id} is no record that this build can read`);
        return {
          id: row.id,
          kind: record.kind,
          at: record.at,
          txn: row.txn ?? undefined,
          leafHash: Buffer.from(row.leaf_hash).toString('base64url'),
          facts: record.facts,
          outcome: record.outcome,
        };
      });
      return { entries, next: rows.length > limit ? entries.at(-1)?.id : undefined };
    },
  };
}

const READ = `
  SELECT id::text AS id, leaf, leaf_hash, txn FROM log_leaf
  WHERE ($1::text IS NULL OR session_id = $1) AND ($2::text IS NULL OR txn = $2) AND ($3::text IS NULL OR kind = $3)
    AND id > $4::bigint
  ORDER BY log_leaf.id LIMIT $5::int`;

const Rows = z.array(
  z.object({
    id: z.string(),
    leaf: z.instanceof(Uint8Array),
    leaf_hash: z.instanceof(Uint8Array),
    txn: z.string().nullable(),
  }),
);
