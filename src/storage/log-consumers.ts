import { z } from 'zod';
import type { LogConsumers } from '../audit/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';

/** Where those who follow the log are. */
export function openLogConsumers(database: Database): LogConsumers {
  const rows = (sql: string, ...values: readonly unknown[]): Promise<readonly unknown[]> =>
    guarded(() => database.rows(sql, values));
  return {
    position: async (name) => Positions.parse(await rows(POSITION, name))[0]?.index ?? 0,
    advance: async (name, from, to) => (await rows(ADVANCE, name, from, to)).length > 0,
  };
}

const POSITION = 'SELECT index::text AS index FROM log_consumer WHERE name = $1';

const ADVANCE = `
INSERT INTO log_consumer (name, index) VALUES ($1, $3::bigint)
ON CONFLICT (name) DO UPDATE SET index = EXCLUDED.index WHERE log_consumer.index = $2::bigint RETURNING name`;

const Positions = z.array(z.object({ index: z.string().transform(Number) }));
