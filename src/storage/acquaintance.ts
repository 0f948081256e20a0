import { z } from 'zod';
import type { People } from '../exchange/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';
import { isIdle } from './session-idle.js';

/** Reads what the exchange wants to know of a person and of the session of a run, in one statement; nothing is remembered. */
export const readAcquaintance =
  ({ prisma }: Database): People['known'] =>
  async (id, run) => {
    if (run === undefined) {
      if (id === undefined) return { attributes: {}, session: undefined };
      const [person] = Persons.parse(await guarded(() => prisma.$queryRawUnsafe(PERSON, id)));
      return { attributes: person?.attributes ?? {}, session: undefined };
    }
    const [session, key, above] = 'session' in run ? [run.session, null, null] : [null, run.key, run.above ?? null];
    const found = await guarded(() => prisma.$queryRawUnsafe(WITH_SESSION, id ?? null, session, key, above));
    const [row] = Rows.parse(found);
    const { opened_at: at, purpose, acr } = row ?? { opened_at: null };
    const opened = at === null ? undefined : { at, purpose: purpose ?? undefined, acr: acr ?? undefined };
    const chain = (row?.above ?? []).map((one) => one ?? undefined);
    return { attributes: row?.attributes ?? {}, session: { opened, above: chain } };
  };

const PERSON = 'SELECT attributes FROM person WHERE id = $1';

/** A session whose time is over is none: the commit closes it, and opens another. */
const WITH_SESSION = `
  WITH RECURSIVE own AS (
    SELECT s.opened_at, s.purpose, s.acr, s.parent_id FROM agent_session s
    WHERE (s.id = $2::text OR s.run_key = $3::text) AND s.status <> 'ended' AND s.expires_at > clock_timestamp() AND ${isIdle('s')} IS NOT TRUE
  ), above AS (
    SELECT up.id, up.parent_id, up.acr FROM agent_session up WHERE up.id = coalesce((SELECT parent_id FROM own), $4::text)
    UNION
    SELECT up.id, up.parent_id, up.acr FROM above JOIN agent_session up ON up.id = above.parent_id
  )
  SELECT person.attributes, floor(extract(epoch FROM own.opened_at))::int AS opened_at, own.purpose, own.acr,
    (SELECT json_agg(above.acr) FROM above) AS above
  FROM (SELECT 1) one LEFT JOIN person ON person.id = $1::text LEFT JOIN own ON true`;

const Attributes = z.record(z.string(), z.string());
const Persons = z.array(z.object({ attributes: Attributes }));
const Rows = z.array(
  z.object({
    attributes: Attributes.nullable(),
    opened_at: z.number().nullable(),
    purpose: z.string().nullable(),
    acr: z.string().nullable(),
    above: z.array(z.string().nullable()).nullable(),
  }),
);
