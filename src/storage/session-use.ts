import { z } from 'zod';
import type { SessionUse } from '../session/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';

/** When agents were registered, and when a session of each was last used. */
export const openSessionUse = ({ prisma }: Database): SessionUse => ({
  of: async (agents) => {
    const rows = Rows.parse(await guarded(() => prisma.$queryRawUnsafe(USE, [...agents])));
    return new Map(rows.map(({ id, since, last_used: lastUsed }) => [id, { since, lastUsed: lastUsed ?? undefined }]));
  },
});

const USE = `
  SELECT a.client_id AS id, extract(epoch FROM a.created_at)::int AS since,
    (SELECT extract(epoch FROM max(s.last_used_at))::int FROM agent_session s WHERE s.agent_id = a.client_id) AS last_used
  FROM agent a WHERE a.client_id = ANY($1::text[])`;

const Rows = z.array(z.object({ id: z.string(), since: z.number(), last_used: z.number().nullable() }));
