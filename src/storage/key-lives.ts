import { z } from 'zod';
import { Fault } from '../base/index.js';
import type { KeyLives } from '../registry/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';

/** How old the keys of agents are. A key that another client had is as old as it was there. */
export function openKeyLives({ prisma }: Database): KeyLives {
  const ofClients = async (clients: readonly string[], thumbprint: string | null): ReturnType<KeyLives['all']> =>
    Rows.parse(await guarded(() => prisma.$queryRawUnsafe(READ, [...clients], thumbprint)));
  return {
    isRevoked: async (thumbprint) => {
      const found = await guarded(() => prisma.$queryRawUnsafe<unknown[]>(REVOKED, `agent-key:${thumbprint}`));
      return found.length > 0;
    },
    all: (clients) => ofClients(clients, null),
    of: async (client, thumbprint) => {
      const [known] = await ofClients([client], thumbprint);
      if (known !== undefined) return known;
      await guarded(() => prisma.$executeRawUnsafe(MEET, client, thumbprint));
      const [met] = await ofClients([client], thumbprint);
      if (met === undefined) throw new Fault('internal', 'a key that was just noted is not there');
      return met;
    },
  };
}

const REVOKED = 'SELECT 1 FROM revocation WHERE target = $1';

const MEET = 'INSERT INTO agent_key (client_id, thumbprint) VALUES ($1, $2) ON CONFLICT DO NOTHING';

const READ = `
  SELECT k.client_id AS client, k.thumbprint, floor(extract(epoch FROM k.retires_at))::int AS retires_at,
    (SELECT floor(extract(epoch FROM min(o.since)))::int FROM agent_key o WHERE o.thumbprint = k.thumbprint) AS since
  FROM agent_key k
  WHERE k.client_id = ANY($1::text[]) AND ($2::text IS NULL OR k.thumbprint = $2)
  ORDER BY k.client_id, k.since, k.thumbprint`;

const Rows = z.array(
  z
    .object({ client: z.string(), thumbprint: z.string(), since: z.number(), retires_at: z.number().nullable() })
    .transform(({ retires_at: retiresAt, ...row }) => ({ ...row, retiresAt: retiresAt ?? undefined })),
);
