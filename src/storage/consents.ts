import { z } from 'zod';
import type { Clock, Seconds } from '../base/index.js';
import type { Consents } from '../human/index.js';
import { McpToolCall } from '../protocol/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';
import { endForGood, endWithRuns } from './sign-outs.js';
import { isOfEndedSignIn } from './sign-ins.js';

/** `tokenSeconds`: how long a consent is good for whose agent does not stay signed in. */
export function openConsents(database: Database, clock: Clock, tokenSeconds: Seconds): Consents {
  const { prisma } = database;
  return {
    list: async (person, { after, limit }) => {
      const now = clock.now();
      const place = after === undefined ? [null, null] : [after.givenAt, after.id];
      const values = [person, now, now - tokenSeconds, ...place, limit];
      return Rows.parse(await guarded(() => prisma.$queryRawUnsafe(LIST, ...values)));
    },
    revoke: async (id, person) => {
      const ending = { by: person, reason: 'the person took it back', now: clock.now() };
      const { isFirst } = await endForGood(database, ending, async (transaction) => {
        const removed = await transaction.$executeRawUnsafe(REMOVE, id, person);
        if (removed === 0) return { isFirst: false, grants: [], targets: [], rest: [] };
        const about = { kind: 'consent', id, target: `grant:${id}` };
        return endWithRuns(transaction, { grants: [id], targets: [] }, { ...ending, ...about });
      });
      return isFirst;
    },
  };
}

/** The codes and tokens of a consent that its agent can come back with; what is over is not there for anybody. */
const LIST = `
  SELECT grant_id AS id, payload ->> 'clientId' AS agent, (payload ->> 'iat')::float8 AS "givenAt",
    extract(epoch FROM expires_at)::float8 AS "endsAt", payload::text AS payload
  FROM engine_record
  WHERE model = 'Grant' AND payload ->> 'accountId' = $1 AND grant_id IS NOT NULL
    AND (expires_at IS NULL OR expires_at > to_timestamp($2::float8))
    AND ((payload ->> 'iat')::float8 > $3::float8
      OR string_to_array(payload #>> '{openid,scope}', ' ') @> ARRAY['offline_access'])
    AND ($4::float8 IS NULL OR ((payload ->> 'iat')::float8, grant_id) < ($4::float8, $5::text))
    AND NOT ${isOfEndedSignIn()}
  ORDER BY (payload ->> 'iat')::float8 DESC, grant_id DESC LIMIT $6::int`;

/** Locked in the order of their keys, as everybody does who removes several. */
const REMOVE = `
  WITH gone AS MATERIALIZED (
    SELECT key FROM engine_record
    WHERE grant_id = $1 AND EXISTS (SELECT 1 FROM engine_record mine WHERE mine.grant_id = $1 AND mine.model = 'Grant' AND mine.payload ->> 'accountId' = $2)
    ORDER BY key FOR UPDATE
  )
  DELETE FROM engine_record e USING gone WHERE e.key = gone.key`;

const Scopes = z
  .string()
  .default('')
  .transform((text) => text.split(' ').filter((scope) => scope !== ''));

const Grant = z.object({
  openid: z.object({ scope: Scopes }).default({ scope: [] }),
  resources: z.record(z.string(), Scopes).default({}),
  rar: z.array(McpToolCall).optional(),
  calls: z.number().optional(),
});

const Row = z.object({
  id: z.string(),
  agent: z.string(),
  givenAt: z.number(),
  endsAt: z
    .number()
    .nullable()
    .transform((at) => at ?? undefined),
  payload: z.string().transform((text) => Grant.parse(JSON.parse(text))),
});

const Rows = z.array(
  Row.transform(({ payload: { openid, resources, rar, calls }, ...consent }) => ({
    ...consent,
    scopes: Object.values(resources).flat(),
    tools: rar?.map(({ locations: [server], identifier: name }) => ({ server, name })),
    calls,
    staysSignedIn: openid.scope.includes('offline_access'),
  })),
);
