import { z } from 'zod';
import type { Cosignature } from '../audit/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';

/** What witnesses said of checkpoints; whoever reads a checkpoint gets their lines with it. */
export type Cosignatures = Readonly<{
  /** The largest tree that somebody of this name cosigned; 0 before the first. */
  lastSize(name: string): Promise<number>;
  /** What is there already stays. */
  keep(size: number, cosignatures: readonly Cosignature[]): Promise<void>;
}>;

export function openCosignatures(database: Pick<Database, 'rows'>): Cosignatures {
  const rows = (sql: string, ...values: readonly unknown[]): Promise<readonly unknown[]> =>
    guarded(() => database.rows(sql, values));
  return {
    lastSize: async (name) => {
      const sql = 'SELECT coalesce(max(size), 0)::text AS size FROM log_cosignature WHERE name = $1';
      return Sizes.parse(await rows(sql, name))[0]?.size ?? 0;
    },
    keep: async (size, cosignatures) => {
      const names = cosignatures.map(({ name }) => name);
      const lines = cosignatures.map(({ line }) => line);
      await rows(KEEP, size, names, lines);
    },
  };
}

const Sizes = z.array(z.object({ size: z.string().transform(Number) }));

const KEEP = `INSERT INTO log_cosignature (size, name, line)
  SELECT $1::bigint, name, line FROM unnest($2::text[], $3::text[]) AS u(name, line) ON CONFLICT DO NOTHING`;
