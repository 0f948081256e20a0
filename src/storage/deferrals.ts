import { z } from 'zod';
import { approvalKey, type Held, POLL_INTERVAL } from '../approval/index.js';
import type { Seconds } from '../base/index.js';
import type { Deferrals, Redeemed } from '../exchange/index.js';
import { copyJson, type JsonObject, sha256, TokenType, Typ } from '../protocol/index.js';
import type { EncryptionKeys } from '../token/index.js';
import { Recorded } from '../token/recorded.js';
import { approvalKeys, sealFor, unsealFor } from './approval-rows.js';
import type { ApprovalStore } from './approvals.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';
import { isEnding } from './revocations.js';

/** The exchange's side of requests to people. */
export function openDeferrals(database: Database, approvals: ApprovalStore, encryptionKeys: EncryptionKeys): Deferrals {
  const { prisma } = database;
  const keys = approvalKeys(encryptionKeys);
  const query = (sql: string, ...values: unknown[]): Promise<readonly unknown[]> =>
    guarded(() => prisma.$queryRawUnsafe(sql, ...values));
  const find = async (code: string, client: string, now: Seconds): Promise<Held | undefined> => {
    const [row] = Ids.parse(await query(OF_CODE, sha256(code), client));
    return row && approvals.byId(row.id, now);
  };
  return {
    ask: (asking, now) => approvals.ask(asking, now),
    answer: (id, event, at) => approvals.answer(id, event, at),
    standing: async (run) => {
      const of = 'session' in run ? [run.session, null, null] : [null, run.key, run.signedInSince ?? null];
      const [found] = Standings.parse(await query(STANDING, ...of));
      return found && { ends: found.at, over: found.over ?? undefined };
    },
    find: async (code, client, now) => {
      const held = await find(code, client, now);
      return held && { held, isVoid: held.state === 'granted' && (await approvals.isVoid(held)) };
    },
    polled: async (id, now) => Polled.parse(await query(POLL, id, now))[0]?.soon === true,
    withdraw: async (code, client, now) => {
      const held = await find(code, client, now);
      if (held !== undefined) await approvals.answer(held.id, { event: 'withdraw', by: client }, { now });
    },
    prepare: async (approval, requestId, { token, beganAt }, now) => {
      const { claims, receipt, ...rest } = token;
      const plain: JsonObject = {
        ...rest,
        claims: copyJson(claims),
        receipt: { ...receipt },
        beganAt: beganAt ?? null,
      };
      const sealed = sealFor(contextOf(approval, requestId), plain, keys);
      await guarded(() => prisma.$executeRawUnsafe(PREPARE, requestId, approval, sealed, now));
    },
    used: (approval, now) => approvals.used(approval, now),
    recorded: async (approval) => {
      const [kept] = Kept.parse(await query(PREPARED, approvalKey(approval), approval));
      const plain = kept && unsealFor(contextOf(approval, kept.request), kept.sealed, keys);
      const read = Prepared.safeParse(plain).data;
      if (read === undefined) return undefined;
      const { beganAt, ...token } = read;
      // DANGER: a redemption may have spent the approval and been refused; what is not in the log is no token.
      const [leaf] = Leaves.parse(await query(LEAF, token.tokenHash));
      if (leaf === undefined) return undefined;
      const commitment = { session: leaf.session, seen: leaf.seen, leaf: leaf.hash.toString('base64url') };
      return { recorded: new Recorded(tokenOf(token), commitment), beganAt: beganAt ?? undefined };
    },
  };
}

/** The token of one redemption cannot stand in for that of another. */
const contextOf = (approval: string, requestId: string): string => `${approval} ${requestId}`;

const Prepared = z.object({
  typ: z.enum(Typ),
  kid: z.string(),
  issuedTokenType: z.enum(TokenType),
  tokenType: z.enum(['Bearer', 'DPoP', 'N_A']),
  claims: z.record(z.string(), z.json()),
  receipt: z.object({
    decision: z.string(),
    policy: z.string(),
    approval: z.string().optional(),
    bind: z.literal(true).optional(),
    uses: z.literal('local').optional(),
  }),
  scope: z.string(),
  transaction: z.string(),
  personId: z.string(),
  tokenHash: z.string(),
  issuedAt: z.number().int(),
  expiresAt: z.number().int(),
  beganAt: z.number().int().nullable(),
});

function tokenOf({ receipt, ...token }: Omit<z.infer<typeof Prepared>, 'beganAt'>): Redeemed['token'] {
  const { decision, policy, approval, bind, uses } = receipt;
  const more = {
    ...(approval === undefined ? {} : { approval }),
    ...(bind === undefined ? {} : { bind }),
    ...(uses === undefined ? {} : { uses }),
  };
  return { ...token, receipt: { decision, policy, ...more } };
}

const Standings = z.array(
  z.object({ at: z.coerce.number().int(), over: z.enum(['session_paused', 'session_ended']).nullable() }),
);
const Ids = z.array(z.object({ id: z.string() }));
const Polled = z.array(z.object({ soon: z.boolean() }));
const Kept = z.array(z.object({ request: z.string(), sealed: z.instanceof(Uint8Array) }));
const Leaves = z.array(
  z.object({
    session: z.string(),
    seen: z.coerce.number().int(),
    hash: z.instanceof(Uint8Array).transform((bytes) => Buffer.from(bytes)),
  }),
);

/** A run whose session is over by its time gets another one, and so does one that was ended before its person signed in. */
const STANDING = `
  SELECT floor(extract(epoch FROM expires_at))::bigint::text AS at,
    CASE WHEN status = 'ended' THEN 'session_ended'
      WHEN status = 'paused' AND NOT coalesce(resumes_at <= clock_timestamp(), false) THEN 'session_paused' END AS over
  FROM agent_session
  WHERE (id = $1::text OR run_key = $2::text) AND CASE WHEN status = 'ended'
    THEN NOT (coalesce(ended_by, '') = 'writ' AND coalesce(ended_reason, '') IN ('expired', 'idle'))
      AND NOT coalesce(ended_at < to_timestamp($3::float8), false)
    ELSE expires_at > clock_timestamp() END`;

const OF_CODE = 'SELECT id FROM approval WHERE code_hash = $1 AND client_id = $2';

const POLL = `
  WITH before AS MATERIALIZED (
    SELECT id, coalesce(polled_at > to_timestamp($2::float8) - make_interval(secs => pause), false) AS soon
    FROM approval WHERE id = $1 FOR UPDATE
  )
  UPDATE approval a SET polled_at = to_timestamp($2::float8), pause = a.pause + CASE WHEN before.soon THEN ${POLL_INTERVAL} ELSE 0 END
  FROM before WHERE a.id = before.id RETURNING before.soon`;

const PREPARE = `
  INSERT INTO approval_token (request_id, approval_id, sealed, made_at) VALUES ($1, $2, decode($3, 'base64'), to_timestamp($4::float8))
  ON CONFLICT (request_id) DO UPDATE SET sealed = EXCLUDED.sealed, made_at = EXCLUDED.made_at`;

const PREPARED = `
  SELECT t.request_id AS request, t.sealed FROM replay r JOIN approval_token t ON t.request_id = r.spender
  WHERE r.key = $1 AND t.approval_id = $2`;

/** A token that has been revoked is not signed again. */
const LEAF = `
  SELECT session_id AS session, seen::text AS seen, leaf_hash AS hash FROM log_leaf l
  WHERE token_hash = $1 AND session_id IS NOT NULL AND seen IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM revocation r WHERE r.target = ANY(l.lineage) AND ${isEnding('l.seen')})`;
