import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { openDatabase, openFeedReader, revoke } from '../../src/storage/index.js';
import { revokeWithin } from '../../src/storage/revocations.js';
import { databaseKinds, describeDatabases, freshDatabase } from '../support/databases.js';

describeDatabases('numbers of revocations', (database) => {
  const numberOf = async (target: string) =>
    Number((await database().prisma.revocation.findUniqueOrThrow({ where: { target } })).number);
  const again = async (...targets: string[]) => {
    await revoke(database().prisma, targets, 'test', 'test');
    return Promise.all(targets.map(numberOf));
  };

  it('stay with what is ended for good', async () => {
    const first = await again('token:a', 'txn:a', 'grant:a', 'key:a', 'foreign:a');
    expect(await again('token:a', 'txn:a', 'grant:a', 'key:a', 'foreign:a')).toEqual(first);
  });

  it('are new each time for what is cut off and may begin anew', async () => {
    const first = await again('agent:a', 'server:a', 'person:a', 'tool:a#b', 'session:a', 'issuer:a');
    const second = await again('agent:a', 'server:a', 'person:a', 'tool:a#b', 'session:a', 'issuer:a');
    expect(second).toEqual(first.map((number) => number + 6));
  });

  it('are given in the order that was asked for, once to what is named twice, and to nothing for nothing', async () => {
    const [one = 0, other] = await again('session:x', 'agent:x', 'agent:x');
    expect(other).toBe(one + 1);
    await revoke(database().prisma, [], 'test', 'test');
    expect(await again('session:y')).toEqual([one + 2]);
  });

  it('rise with their times, also when the clock went back', async () => {
    await database().prisma.$executeRawUnsafe(`UPDATE revocation SET revoked_at = revoked_at + interval '1 hour'`);
    await again('session:later', 'agent:later');
    const rows = await database().prisma.revocation.findMany({ orderBy: { number: 'asc' } });
    const times = rows.map(({ revokedAt }) => revokedAt.getTime());
    expect(times).toEqual([...times].sort((a, b) => a - b));
  });
});

describeDatabases('the reader of the feed', (database) => {
  const reader = () => openFeedReader(database());

  it('says only where the numbers stand when no number is given', async () => {
    expect(await reader().read(undefined, 10)).toEqual({
      at: expect.any(Number),
      highest: 0,
      entries: [],
      hasMore: false,
    });
    await revoke(database().prisma, ['session:1', 'session:2', 'session:3'], 'test', 'test');
    expect(await reader().read(undefined, 10)).toMatchObject({ highest: 3, entries: [], hasMore: false });
  });

  it('has what comes after a number, as much as was asked for', async () => {
    const { at, ...read } = await reader().read(1, 1);
    expect(Math.abs(at - Date.now())).toBeLessThan(5_000);
    expect(read).toEqual({
      highest: 3,
      entries: [{ target: 'session:2', number: 2, exp: expect.any(Number) }],
      hasMore: true,
    });
    expect(await reader().read(1, 2)).toMatchObject({ entries: [{ number: 2 }, { number: 3 }], hasMore: false });
    expect(await reader().read(3, 2)).toMatchObject({ highest: 3, entries: [], hasMore: false });
  });

  it('has a new number in place of the one that a target had before', async () => {
    await revoke(database().prisma, ['agent:a'], 'test', 'test');
    await revoke(database().prisma, ['agent:a'], 'test', 'test');
    const { entries } = await reader().read(0, 10);
    expect(entries.map(({ target, number }) => [target, number])).toEqual([
      ['session:1', 1],
      ['session:2', 2],
      ['session:3', 3],
      ['agent:a', 5],
    ]);
  });

  it('leaves out what is older than any token, and keeps the end of the rest', async () => {
    await database().prisma.$executeRawUnsafe(
      `UPDATE revocation SET revoked_at = now() - interval '421 seconds' WHERE number < 3`,
    );
    await database().prisma.$executeRawUnsafe(
      `UPDATE revocation SET revoked_at = now() - interval '410 seconds' WHERE number = 3`,
    );
    const { at, highest, entries } = await reader().read(0, 10);
    expect([highest, entries.map(({ number }) => number)]).toEqual([5, [3, 5]]);
    expect((entries[0]?.exp ?? 0) - at / 1_000).toBeGreaterThan(9);
    expect((entries[0]?.exp ?? 0) - at / 1_000).toBeLessThan(12);
  });
});

describe.each(databaseKinds)('a reader beside many who revoke (%s)', (kind) => {
  it('passes no number by, however late it is committed', async () => {
    const { database, options, drop } = await freshDatabase(kind);
    const replica = kind === 'server' ? await openDatabase(options) : database;
    try {
      const reader = openFeedReader(replica);
      const [seen, order]: [string[], number[]] = [[], []];
      let [from, isOver] = [0, false];
      const read = async (): Promise<void> => {
        const { entries, highest } = await reader.read(from, 1_000);
        for (const { target, number } of entries) {
          seen.push(target);
          order.push(number);
        }
        from = highest;
      };
      const reading = (async () => {
        while (!isOver) {
          await read();
          await pause(0);
        }
      })();
      const slowly = async (n: number): Promise<void> => {
        const prisma = n % 2 === 0 ? database.prisma : replica.prisma;
        await revoke(prisma, [`session:${String(n)}`, `token:${String(n)}`], 'test', 'test');
      };
      await Promise.all(Array.from({ length: 60 }, (_, n) => slowly(n)));
      isOver = true;
      await reading;
      await read();
      expect(seen).toHaveLength(120);
      expect(new Set(seen).size).toBe(120);
      expect(order).toEqual(Array.from({ length: 120 }, (_, n) => n + 1));
    } finally {
      if (replica !== database) await replica.close();
      await drop();
    }
  });

  it('waits for a number whose transaction is still open, and does not see the one after it before', async () => {
    if (kind !== 'server') return;
    const { database, options, drop } = await freshDatabase(kind);
    const replica = await openDatabase(options);
    try {
      const reader = openFeedReader(replica);
      let commit = (): void => undefined;
      const held = new Promise<void>((resolve) => (commit = resolve));
      let began = (): void => undefined;
      const isBegun = new Promise<void>((resolve) => (began = resolve));
      const first = database.prisma.$transaction(async (transaction) => {
        await revokeWithin(transaction, ['session:first'], 'test', 'test');
        began();
        await held;
      });
      await isBegun;
      const second = revoke(replica.prisma, ['session:second'], 'test', 'test');
      await pause(200);
      expect(await reader.read(0, 10)).toMatchObject({ highest: 0, entries: [] });
      commit();
      await Promise.all([first, second]);
      const { entries } = await reader.read(0, 10);
      expect(entries.map(({ target }) => target)).toEqual(['session:first', 'session:second']);
    } finally {
      await replica.close();
      await drop();
    }
  });
});
