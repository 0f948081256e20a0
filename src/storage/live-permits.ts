import { z } from 'zod';
import type { LivePage, LivePermits } from '../policy/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';
import { isEnding } from './revocations.js';
import { countTrees } from './session-tree.js';

/** No token of a permit lives longer than this. */
export const LIVE_SECONDS = 300;

/** The tokens that may still be used, out of the records of the exchanges that made them. */
export function openLivePermits({ prisma }: Database): LivePermits {
  return {
    page: async (before, { after, limit }): Promise<LivePage> => {
      const rows = Rows.parse(await guarded(() => prisma.$queryRawUnsafe(PAGE, after, limit, before)));
      return { tokens: livingOf(rows), read: rows.length, next: rows.length === limit ? rows.at(-1)?.id : undefined };
    },
    among: async (hashes) => {
      if (hashes.length === 0) return [];
      const rows = await guarded(() => prisma.$queryRawUnsafe(AMONG, hashes, EVERY_VERSION));
      return livingOf(Rows.parse(rows));
    },
    sessionsOf: (whose) => guarded(() => countTrees(prisma, whose)),
  };
}

const EVERY_VERSION = Number.MAX_SAFE_INTEGER;

const FACTS = `convert_from(leaf, 'UTF8')::jsonb -> 'facts' AS facts`;
const LATELY = `at > now() - make_interval(secs => ${String(LIVE_SECONDS)})`;

/** SQL: what `recent` has, and whether that was decided before a version of the registry and lives. */
const livesBefore = (version: string): string => `
  SELECT id::text AS id, session_id, token_hash, lineage, facts ->> 'decision' AS decision, facts #>> '{client,id}' AS agent,
    facts ->> 'person' AS person, facts #>> '{target,resource}' AS resource, facts -> 'tools' AS tools,
    coalesce(facts ->> 'scope', '') AS scope, facts #>> '{token,bound}' IS NOT NULL AS is_bound,
    facts ->> 'policy' AS policy, facts #>> '{target,kind}' = 'domain' AS is_for_domain, facts -> 'actors' AS actors, facts #>> '{target,clientId}' AS heir,
    (facts #>> '{token,exp}')::bigint::int AS expires_at,
    CASE WHEN facts ? 'subject' THEN jsonb_build_object('agent', facts #> '{client,id}', 'as', facts -> 'subject')
      WHEN EXISTS (SELECT 1 FROM unnest(recent.lineage) AS t(target) WHERE target LIKE 'foreign:%') THEN (
        SELECT jsonb_build_object('agent', above.facts #> '{client,id}', 'as', above.facts -> 'subject') FROM (
          SELECT convert_from(leaf, 'UTF8')::jsonb -> 'facts' AS facts FROM log_leaf
          WHERE token_hash = ANY (ARRAY(SELECT substr(target, 7) FROM unnest(recent.lineage) AS t(target) WHERE target LIKE 'token:%'))
        ) above WHERE above.facts ? 'subject' LIMIT 1) END AS brought,
    (facts ->> 'registry')::bigint < ${version}
      AND to_timestamp((facts #>> '{token,exp}')::bigint) > clock_timestamp()
      AND NOT EXISTS (SELECT 1 FROM revocation r WHERE r.target = ANY(recent.lineage) AND ${isEnding('recent.seen')}) AS is_live
  FROM recent ORDER BY recent.id`;

/**
 * The page is cut before it is sifted, so that it is never long in coming. Whatever is in the log before a record of long
 * before that time was written before it too, since no statement lasts a minute: a page does not begin at the first record.
 */
export const PAGE = `
  WITH recent AS MATERIALIZED (
    SELECT id, session_id, token_hash, lineage, seen, ${FACTS} FROM log_leaf
    WHERE kind = 'exchange' AND token_hash IS NOT NULL AND id > $1::bigint
      AND id > coalesce((SELECT old.id FROM log_leaf old
        WHERE old.at <= now() - make_interval(secs => ${String(LIVE_SECONDS + 60)}) ORDER BY old.at DESC LIMIT 1), 0)
      AND ${LATELY}
    ORDER BY id LIMIT $2::int
  )
${livesBefore('$3::bigint')}`;

export const AMONG = `
  WITH recent AS MATERIALIZED (
    SELECT id, session_id, token_hash, lineage, seen, ${FACTS} FROM log_leaf
    WHERE kind = 'exchange' AND token_hash = ANY($1::text[]) AND ${LATELY}
  )
${livesBefore('$2::bigint')}`;

const Tool = z.object({
  name: z.string(),
  arguments_sha256: z.string().nullable(),
  max_uses: z.number().int().optional(),
});

const Brought = z
  .object({
    ...{ issuer: z.string(), token_type: z.string(), typ: z.string().nullable(), audience: z.string() },
    ...{ parties: z.array(z.string()), scope_claim: z.string(), scoped: z.boolean(), key: z.string() },
  })
  .transform(({ token_type: tokenType, scope_claim: scopeClaim, scoped: isScoped, ...rest }) => ({
    ...rest,
    ...{ tokenType, scopeClaim, isScoped },
  }));

const Rows = z.array(
  z.object({
    id: z.string(),
    session_id: z.string().nullable(),
    token_hash: z.string(),
    lineage: z.array(z.string()),
    decision: z.string().nullable(),
    agent: z.string(),
    person: z.string().nullable(),
    resource: z.string().nullable(),
    tools: z.array(Tool).nullable(),
    scope: z.string(),
    is_bound: z.boolean(),
    policy: z.string().nullable(),
    actors: z.array(z.object({ sub: z.string(), iss: z.string() })).nullable(),
    is_for_domain: z.boolean().nullable(),
    heir: z.string().nullable(),
    expires_at: z.number().nullable(),
    brought: z.object({ agent: z.string(), as: Brought }).nullable(),
    is_live: z.boolean().nullable(),
  }),
);

const livingOf = (rows: z.infer<typeof Rows>): LivePage['tokens'] =>
  rows.filter(({ is_live: isLive }) => isLive === true).map(tokenOf);

const tokenOf = (row: z.infer<typeof Rows>[number]): LivePage['tokens'][number] => ({
  tokenHash: row.token_hash,
  lineage: row.lineage,
  decision: row.decision ?? '',
  policy: row.policy ?? '',
  session: row.session_id ?? undefined,
  agent: row.agent,
  person: row.person ?? undefined,
  actors: row.actors ?? [],
  server: row.resource ?? undefined,
  isForDomain: row.is_for_domain === true,
  heir: row.heir ?? undefined,
  tools: (row.tools ?? []).map((tool) => ({
    name: tool.name,
    argumentsSha256: tool.arguments_sha256 ?? undefined,
    maxUses: tool.max_uses,
  })),
  scopes: row.scope.split(' ').filter((scope) => scope !== ''),
  isBound: row.is_bound,
  expiresAt: row.expires_at ?? 0,
  brought: row.brought === null ? undefined : { ...row.brought.as, agent: row.brought.agent },
});
