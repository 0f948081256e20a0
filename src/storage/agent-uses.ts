import { z } from 'zod';
import type { AgentStore } from '../audit/index.js';
import { clientOf } from '../protocol/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';

/** What is kept of how agents are used, for whoever reads the log. */
export const openAgentUses = ({ prisma }: Database): AgentStore => ({
  noteUses: async (uses) => {
    if (uses.length === 0) return;
    const columns = [
      uses.map(({ client }) => client),
      uses.map(({ resource }) => resource),
      uses.map(({ kind }) => kind),
      uses.map(({ name }) => name),
      uses.map(({ at }) => at),
    ];
    await guarded(() => prisma.$executeRawUnsafe(USED, ...columns));
  },
  marks: async (actors) => {
    const known = Marks.parse(await guarded(() => prisma.$queryRawUnsafe(MARKS, [...actors])));
    const clients = [...new Set(actors.map(clientOf))];
    const rows = Rotating.parse(await guarded(() => prisma.$queryRawUnsafe(ROTATING, clients)));
    const turning = new Set(rows.map(({ client_id: id }) => id));
    return { known, rotating: new Set(actors.filter((actor) => turning.has(clientOf(actor)))) };
  },
  remember: async (marks, forgetBefore) => {
    const columns = [
      marks.map(({ actor }) => actor),
      marks.map(({ kind }) => kind),
      marks.map(({ mark }) => mark),
      marks.map(({ at }) => at),
    ];
    await guarded(() => prisma.$executeRawUnsafe(FORGET, forgetBefore));
    if (marks.length > 0) await guarded(() => prisma.$executeRawUnsafe(REMEMBER, ...columns));
  },
});

/** To the hour: reviews are made in days. Locked in the order in which noteRights locks. */
const USED = `
  WITH used AS MATERIALIZED (
    SELECT r.client_id, r.resource, r.kind, r.name, u.at
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[]) AS u(client_id, resource, kind, name, at)
    JOIN agent_right r USING (client_id, resource, kind, name)
    WHERE r.last_used_at IS NULL OR r.last_used_at < to_timestamp(u.at) - interval '1 hour'
    ORDER BY r.client_id, r.resource, r.kind, r.name FOR UPDATE OF r
  )
  UPDATE agent_right r SET last_used_at = to_timestamp(used.at) FROM used
  WHERE r.client_id = used.client_id AND r.resource = used.resource AND r.kind = used.kind AND r.name = used.name`;

const MARKS = `
  SELECT actor, kind, mark, extract(epoch FROM last_seen)::int AS at FROM agent_workload WHERE actor = ANY($1::text[])`;

/** Since a day before its end at most: the overlap of two keys. */
const ROTATING = `
  SELECT DISTINCT client_id FROM agent_key
  WHERE client_id = ANY($1::text[]) AND retires_at > now() - interval '1 day'`;

/** What another process has in its hands it forgets. */
const FORGET = `
  DELETE FROM agent_workload w USING (
    SELECT actor, kind, mark FROM agent_workload WHERE last_seen < to_timestamp($1::bigint)
    ORDER BY actor, kind, mark FOR UPDATE SKIP LOCKED
  ) AS old
  WHERE w.actor = old.actor AND w.kind = old.kind AND w.mark = old.mark`;

const REMEMBER = `
  INSERT INTO agent_workload (actor, kind, mark, last_seen)
  SELECT actor, kind, mark, to_timestamp(at) FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS m(actor, kind, mark, at)
  ORDER BY actor, kind, mark
  ON CONFLICT (actor, kind, mark) DO UPDATE SET last_seen = greatest(agent_workload.last_seen, excluded.last_seen)`;

const Marks = z.array(z.object({ actor: z.string(), kind: z.enum(['key', 'dpop']), mark: z.string(), at: z.number() }));
const Rotating = z.array(z.object({ client_id: z.string() }));
