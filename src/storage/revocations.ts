import { z } from 'zod';
import type { Database } from './database.js';
import type { Prisma, PrismaClient } from './generated/client.js';
import { guarded } from './outage.js';
import { commitsUnderWay, derivedFrom, DERIVING, mayHaveDerived } from './revocation-derived.js';

/** What may begin anew after it was cut off: it ends what is older, and gets a new number each time. */
const CUT_OFF = `'^(agent|owner|server|person|tool|issuer|session):'`;

/**
 * SQL: whether the revocation `r`, whose target is an ancestor's, ends a token whose commit had seen the number `seen`
 * (NULL has seen none). `unless` is what else makes a cut-off harmless.
 */
export const isEnding = (seen: string, unless = 'false'): string =>
  `(r.target !~ ${CUT_OFF} OR (r.number > coalesce(${seen}, 0) AND NOT (${unless})))`;

/** Makes the numbers of revocations follow their commits: whoever sees number n sees every number below it. */
const REVOCATION_LOCK = 7_218_002;

/**
 * Revokes these targets, each with the next number, in one transaction of its own or in the one given. What is ended for
 * good (a token, a transaction, a key) keeps the number that it has already; what is cut off and may begin anew (an agent, a
 * server, a person, a tool, a session that was paused) gets a new one each time, since what was granted in between ends too.
 */
export async function revoke(
  prisma: PrismaClient,
  targets: readonly string[],
  by: string,
  reason: string,
): Promise<void> {
  await prisma.$transaction((transaction) => revokeWithin(transaction, targets, by, reason));
  await numberDerived(prisma, targets, { by, reason });
}

/**
 * {@link revoke} inside a transaction that is already open. Whoever comes later waits for the end of that transaction.
 * {@link numberDerived} has to follow it where something may have been derived.
 */
export async function revokeWithin(
  transaction: Prisma.TransactionClient,
  targets: readonly string[],
  by: string,
  reason: string,
): Promise<void> {
  if (targets.length === 0) return;
  await transaction.$queryRawUnsafe(`SELECT pg_advisory_xact_lock(${REVOCATION_LOCK})::text`);
  await transaction.$executeRawUnsafe(REVOKE, [...new Set(targets)], by, reason);
}

/**
 * Numbers what was derived from these targets, by commits too that were under way when they were numbered and could not know
 * it; answers what that is. Looks for it before the lock, on which every revocation waits. Whatever interrupts it is made good
 * within seconds by {@link numberRecent}.
 */
export async function numberDerived(
  prisma: PrismaClient,
  targets: readonly string[],
  order: Readonly<{ by: string; reason: string }>,
): Promise<readonly string[]> {
  if (!targets.some(mayHaveDerived)) return [];
  await commitsUnderWay(prisma);
  return number(prisma, await derivedFrom(prisma, targets), order);
}

/** The same for all that was revoked some seconds ago, whoever did it and did not come so far. */
export async function numberRecent({ prisma }: Pick<Database, 'prisma'>): Promise<void> {
  await guarded(async () => {
    const rows = z.array(z.object({ target: z.string() })).parse(await prisma.$queryRawUnsafe(RECENTLY));
    const targets = rows.map(({ target }) => target);
    await number(prisma, await derivedFrom(prisma, targets), { by: 'writ', reason: 'came of what was revoked' });
  });
}

async function number(
  prisma: PrismaClient,
  derived: readonly string[],
  { by, reason }: Readonly<{ by: string; reason: string }>,
): Promise<readonly string[]> {
  if (derived.length > 0) await prisma.$transaction((transaction) => revokeWithin(transaction, derived, by, reason));
  return derived;
}

/** Longer ago than any statement lasts, and not longer than a round of the housekeeping and its neighbour may take. */
export const RECENTLY = `
  SELECT target FROM revocation
  WHERE revoked_at BETWEEN now() - interval '35 seconds' AND now() - interval '6 seconds' AND target ~ '${DERIVING}'`;

/**
 * INVARIANT: `revoked_at` never falls as numbers rise, whatever the clock does, so that what is younger than an age is what
 * is above a number. DANGER: this may run only under the lock.
 */
const REVOKE = `
  WITH wanted AS MATERIALIZED (
    SELECT target, row_number() OVER (ORDER BY n) AS place
    FROM unnest($1::text[]) WITH ORDINALITY AS t(target, n)
    WHERE target ~ ${CUT_OFF} OR NOT EXISTS (SELECT 1 FROM revocation r WHERE r.target = t.target)
  )
  INSERT INTO revocation (target, number, reason, revoked_by, revoked_at)
  SELECT target, (SELECT coalesce(max(number), 0) FROM revocation) + place, $3, $2,
    greatest(clock_timestamp(), (SELECT revoked_at FROM revocation ORDER BY number DESC LIMIT 1))
  FROM wanted ORDER BY place
  ON CONFLICT (target) DO UPDATE SET number = excluded.number, reason = excluded.reason,
    revoked_by = excluded.revoked_by, revoked_at = excluded.revoked_at`;
