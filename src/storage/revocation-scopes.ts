import { z } from 'zod';
import type { Clock, Seconds } from '../base/index.js';
import { feedTarget } from '../protocol/index.js';
import type { NumberedRevocation, RevocationsAdmin, RevocationTarget, Revoked } from '../session/index.js';
import type { Database } from './database.js';
import type { Prisma } from './generated/client.js';
import { guarded } from './outage.js';
import { append } from './records.js';
import { type Reach, reachOf } from './revocation-reach.js';
import { numberDerived, revokeWithin } from './revocations.js';
import { AT_ONCE, endInGroups, endSessions, liveSessions } from './session-tree.js';

/** Revocation by scope, for administrators. */
export function openRevocations({ prisma, rows }: Database, clock: Clock): RevocationsAdmin {
  const read = async (sql: string, values: readonly unknown[]): Promise<readonly NumberedRevocation[]> =>
    Numbered.parse(await guarded(() => rows(sql, values)));
  return {
    revoke: async (target, wish) => {
      const order = { ...wish, now: clock.now() };
      const begun = await guarded(() => prisma.$transaction((transaction) => revokeScope(transaction, target, order)));
      if (begun === undefined) return undefined;
      const { rest, targets, ...revoked } = begun;
      await endInGroups(prisma, rest, order);
      const derived = await guarded(() => numberDerived(prisma, targets, order));
      return { ...revoked, tokens: derived.filter((one) => one.startsWith('token:')).length };
    },
    list: ({ before, limit }) => read(LIST, [before ?? null, limit]),
    find: async (target) => (await read(FIND, [target]))[0],
  };
}

type Order = Readonly<{ by: string; reason: string; now: Seconds }>;

/**
 * What is revoked is cut off by its own number with everything below it; sessions beyond {@link AT_ONCE} have theirs a moment
 * later, and whoever was interrupted revokes again.
 *
 * DANGER: always in this order, which is the registry's and an erasure's too: consents, sessions, the revocations' own lock.
 * Whoever went another way round could wait for another in a circle.
 */
export async function revokeScope(
  transaction: Prisma.TransactionClient,
  target: RevocationTarget,
  { by, reason, now }: Order,
): Promise<(Omit<Revoked, 'tokens'> & Readonly<{ rest: readonly string[]; targets: readonly string[] }>) | undefined> {
  const reach = await reachOf(transaction, target);
  if (reach === undefined) return undefined;
  const consents = await removeConsents(transaction, reach);
  const live = reach.sessions ?? (await liveSessions(transaction, reach));
  const rest = live.slice(AT_ONCE);
  const sessions = await endSessions(transaction, live.slice(0, AT_ONCE), { by, reason, now });
  const ended = [...consents.map((grant) => `grant:${grant}`), ...sessions.map(feedTarget.session)];
  await revokeWithin(transaction, [...reach.targets, ...ended], by, reason);
  const [revocation] = Numbered.parse(await transaction.$queryRawUnsafe(FIND, reach.targets[0]));
  if (revocation === undefined) return undefined;
  const counts = { sessions: sessions.length + rest.length, consents: consents.length };
  const id = target.kind === 'token' ? revocation.target.slice('token:'.length) : target.id;
  const facts = { what: 'scope', kind: target.kind, id, number: revocation.number, ...counts, by };
  const of = target.kind === 'transaction' ? { txn: id } : {};
  await append(transaction, { kind: 'revocation', at: now, facts, decision: 'done', reason, ...of });
  return { revocation, ...counts, rest, targets: reach.targets };
}

/** Codes, refresh tokens, consents and sign-ins; answers the consents. */
export async function removeConsents(
  transaction: Prisma.TransactionClient,
  { agents = [], persons = [] }: Pick<Reach, 'agents' | 'persons'>,
): Promise<readonly string[]> {
  if (agents.length + persons.length === 0) return [];
  return Consents.parse(await transaction.$queryRawUnsafe(REMOVE_CONSENTS, agents, persons)).map(({ grant }) => grant);
}

/** Locked in the order of their keys, as everybody does who removes several. */
export const REMOVE_CONSENTS = `
  WITH gone AS MATERIALIZED (
    SELECT key FROM engine_record WHERE key IN (
      SELECT key FROM engine_record WHERE payload ->> 'clientId' = ANY($1::text[])
      UNION SELECT key FROM engine_record WHERE payload ->> 'accountId' = ANY($2::text[]))
    ORDER BY key FOR UPDATE
  ), removed AS (
    DELETE FROM engine_record e USING gone WHERE e.key = gone.key RETURNING e.grant_id
  )
  SELECT DISTINCT grant_id AS "grant" FROM removed WHERE grant_id IS NOT NULL ORDER BY 1`;

const COLUMNS = `number::text AS number, target, reason, revoked_by AS "by", floor(extract(epoch FROM revoked_at))::float8 AS at`;
const FIND = `SELECT ${COLUMNS} FROM revocation WHERE target = $1`;
const LIST = `
  SELECT ${COLUMNS} FROM revocation WHERE revocation.number < coalesce($1::bigint, 9223372036854775807) ORDER BY revocation.number DESC LIMIT $2::int`;

const Consents = z.array(z.object({ grant: z.string() }));
const Numbered = z.array(
  z.object({
    number: z.coerce.number().int(),
    target: z.string(),
    reason: z.string(),
    by: z.string(),
    at: z.coerce.number(),
  }),
);
