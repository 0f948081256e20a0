import { closeRecord, leafHash, recordHead, type RecordKind } from '../audit/index.js';
import type { Seconds } from '../base/index.js';
import type { Json } from '../protocol/index.js';
import type { Prisma, PrismaClient } from './generated/client.js';

/** A record whose outcome is known as it is written: everything but an exchange. */
export type DoneRecord = Readonly<{
  kind: RecordKind;
  at: Seconds;
  facts: Readonly<Record<string, Json>>;
  decision: 'done' | 'refuse';
  reason: string;
  session?: Readonly<{ id: string; sequence: number }>;
  txn?: string;
}>;

/** The stored form of such a record. */
export function leafOf({
  kind,
  at,
  facts,
  decision,
  reason,
  session,
}: DoneRecord): Readonly<{ leaf: Buffer; leafHash: Buffer }> {
  const outcome = { decision, reason, session: session?.id ?? null, sequence: session?.sequence ?? null, seen: 0 };
  const leaf = closeRecord(recordHead(kind, at, facts), outcome);
  return { leaf, leafHash: leafHash(leaf) };
}

type Writing = PrismaClient | Prisma.TransactionClient;

/** Appends one record, in its own statement or inside a transaction. */
export async function append(prisma: Writing, record: DoneRecord): Promise<void> {
  await appendHashed(prisma, record);
}

/** The same, for whoever wants to name the record by its hash. */
export async function appendHashed(prisma: Writing, record: DoneRecord): Promise<Buffer> {
  const leaf = leafOf(record);
  await insert(prisma, [record], [leaf]);
  return leaf.leafHash;
}

/** Appends any number of records in their order, in one statement. */
export async function appendAll(prisma: Writing, records: readonly DoneRecord[]): Promise<void> {
  if (records.length > 0) await insert(prisma, records, records.map(leafOf));
}

async function insert(
  prisma: Writing,
  records: readonly DoneRecord[],
  leaves: readonly ReturnType<typeof leafOf>[],
): Promise<void> {
  await prisma.$executeRawUnsafe(
    INSERT,
    leaves.map(({ leaf }) => leaf),
    leaves.map(({ leafHash: hash }) => hash),
    records.map(({ kind }) => kind),
    records.map(({ session }) => session?.id ?? null),
    records.map(({ session }) => session?.sequence ?? null),
    records.map(({ txn }) => txn ?? null),
  );
}

const INSERT = `
  INSERT INTO log_leaf (leaf, leaf_hash, kind, session_id, sequence, txn, lineage)
  SELECT leaf, leaf_hash, kind, session_id, sequence, txn, ARRAY[]::text[]
  FROM unnest($1::bytea[], $2::bytea[], $3::text[], $4::text[], $5::int[], $6::text[]) WITH ORDINALITY
    AS t(leaf, leaf_hash, kind, session_id, sequence, txn, n) ORDER BY n`;
