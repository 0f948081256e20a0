import type { Prisma, PrismaClient } from './generated/client.js';

/** Makes the numbers of revocations follow their commits: whoever sees number n sees every number below it. */
const REVOCATION_LOCK = 7_218_002;

/**
 * Revokes these targets for good, each with the next number, in one transaction of its own or in the one given. A target
 * that is revoked already keeps its number.
 */
export async function revoke(
  prisma: PrismaClient,
  targets: readonly string[],
  by: string,
  reason: string,
): Promise<void> {
  await prisma.$transaction((transaction) => revokeWithin(transaction, targets, by, reason));
}

/** {@link revoke} inside a transaction that is already open. */
export async function revokeWithin(
  transaction: Prisma.TransactionClient,
  targets: readonly string[],
  by: string,
  reason: string,
): Promise<void> {
  await transaction.$queryRawUnsafe(`SELECT pg_advisory_xact_lock(${REVOCATION_LOCK})::text`);
  await transaction.$executeRawUnsafe(INSERT, [...targets], by, reason);
}

const INSERT = `
  INSERT INTO revocation (target, number, reason, revoked_by)
  SELECT target, (SELECT coalesce(max(number), 0) FROM revocation) + row_number() OVER (ORDER BY n), $3, $2
  FROM unnest($1::text[]) WITH ORDINALITY AS t(target, n)
  WHERE NOT EXISTS (SELECT 1 FROM revocation r WHERE r.target = t.target)`;
