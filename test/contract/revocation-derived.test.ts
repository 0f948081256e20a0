import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { type Database, numberRecent, openDatabase, revoke } from '../../src/storage/index.js';
import { revokeWithin } from '../../src/storage/revocations.js';
import { databaseKinds, describeDatabases, freshDatabase } from '../support/databases.js';

type Leaf = Readonly<{ hash: string; txn?: string; lineage: readonly string[] }>;
type Prisma = Pick<Database['prisma'], 'logLeaf'>;

/** What the record of a token says of what ends it. */
const record = ({ logLeaf }: Prisma, { hash, txn, lineage }: Leaf): Promise<unknown> =>
  logLeaf.create({
    data: {
      ...{ leaf: randomBytes(8), leafHash: randomBytes(32), kind: 'exchange', seen: 0n },
      ...{ tokenHash: hash, txn: txn ?? null, lineage: [...lineage, `token:${hash}`] },
    },
  });

const numbered = async ({ prisma }: Database): Promise<readonly string[]> =>
  (await prisma.revocation.findMany({ orderBy: { number: 'asc' } })).map(({ target }) => target);

describeDatabases('a revocation of what a token does not name', (database) => {
  it('numbers what was made from a token of ours, and nothing else of its transaction', async () => {
    await record(database().prisma, { hash: 'parent', txn: 't', lineage: [] });
    await record(database().prisma, { hash: 'child', txn: 't', lineage: ['token:parent'] });
    await record(database().prisma, { hash: 'sibling', txn: 't', lineage: [] });
    await revoke(database().prisma, ['token:parent'], 'test', 'test');
    expect(await numbered(database())).toEqual(['token:parent', 'token:child']);
  });

  it('numbers what was made from a token that is not in the log', async () => {
    await record(database().prisma, { hash: 'made', txn: 'u', lineage: ['token:persons', 'person:p'] });
    await revoke(database().prisma, ['token:persons'], 'test', 'test');
    expect((await numbered(database())).slice(-2)).toEqual(['token:persons', 'token:made']);
  });

  it('numbers what was made at other servers from a token for a tool that is cut off', async () => {
    const tool = 'tool:https://one.example#read';
    await record(database().prisma, { hash: 'own', lineage: [tool, 'server:https://one.example'] });
    const lineage = [tool, 'server:https://one.example', 'server:https://two.example'];
    await record(database().prisma, { hash: 'behind', lineage });
    await revoke(database().prisma, [tool], 'test', 'test');
    expect((await numbered(database())).slice(-2)).toEqual([tool, 'token:behind']);
  });

  it('is finished by whoever keeps the house, when the one who revoked did not come so far', async () => {
    const { prisma } = database();
    await record(prisma, { hash: 'left', txn: 'v', lineage: [] });
    await record(prisma, { hash: 'of-left', txn: 'v', lineage: ['token:left'] });
    await prisma.$transaction((transaction) => revokeWithin(transaction, ['token:left'], 'test', 'test'));
    await numberRecent(database());
    expect((await numbered(database())).at(-1)).toBe('token:left');
    await prisma.$executeRawUnsafe(
      `UPDATE revocation SET revoked_at = now() - interval '10 seconds' WHERE target = 'token:left'`,
    );
    await numberRecent(database());
    await numberRecent(database());
    expect((await numbered(database())).slice(-2)).toEqual(['token:left', 'token:of-left']);
  });
});

describe.each(databaseKinds.filter((kind) => kind === 'server'))('two connections (%s)', (kind) => {
  it('number what a commit made that was under way when its parent was revoked', async () => {
    const { database, options, drop } = await freshDatabase(kind);
    const other = await openDatabase(options);
    try {
      await record(database.prisma, { hash: 'parent', txn: 't', lineage: [] });
      let revoking: Promise<unknown> | undefined;
      await other.prisma.$transaction(
        async (transaction) => {
          await record(transaction, { hash: 'child', txn: 't', lineage: ['token:parent'] });
          revoking = revoke(database.prisma, ['token:parent'], 'test', 'test');
          while (!(await numbered(database)).includes('token:parent')) await pause(5);
        },
        { timeout: 30_000 },
      );
      await revoking;
      expect(await numbered(database)).toEqual(['token:parent', 'token:child']);
    } finally {
      await other.close();
      await drop();
    }
  }, 60_000);
});
