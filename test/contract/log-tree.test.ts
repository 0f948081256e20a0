import { expect, it } from '@jest/globals';
import { describeDatabases } from '../support/databases.js';

const INSERT = `INSERT INTO log_leaf (leaf, leaf_hash, kind, lineage)
  SELECT convert_to(text, 'UTF8'), sha256('\\x00'::bytea || convert_to(text, 'UTF8')), 'session', ARRAY[]::text[]
  FROM unnest($1::text[]) AS u(text) RETURNING id`;

describeDatabases('the queue of the tree', (database) => {
  const pending = async (): Promise<bigint[]> =>
    (await database().prisma.logPending.findMany({ orderBy: { leafId: 'asc' } })).map(({ leafId }) => leafId);

  it('has every leaf that a statement writes, from that statement on', async () => {
    const { prisma } = database();
    const written = await prisma.$queryRawUnsafe<{ id: bigint }[]>(INSERT, ['a', 'b', 'c']);
    expect(await pending()).toEqual(written.map(({ id }) => id));
  });

  it('has nothing of a leaf that was rolled back', async () => {
    const { prisma } = database();
    const before = await pending();
    const writing = prisma.$transaction(async (transaction) => {
      await transaction.$queryRawUnsafe(INSERT, ['d']);
      throw new Error('not this one');
    });
    await expect(writing).rejects.toThrow('not this one');
    expect(await pending()).toEqual(before);
  });
});
