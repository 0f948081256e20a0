import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Fault } from '../../src/base/index.js';
import { recordHead } from '../../src/audit/index.js';
import type { Committer } from '../../src/exchange/index.js';
import { type Database, openCommitter } from '../../src/storage/index.js';
import { databaseKinds, freshDatabase, type TestDatabase } from '../support/databases.js';

type NotPermitted = Parameters<Committer['refuse']>[0];

const OUTAGE = { name: 'Fault', code: 'database_unavailable' };
const now = (): number => Math.floor(Date.now() / 1000);
let counter = 0;

describe('the committer', () => {
  let fresh: TestDatabase;
  let registryVersion = 0;
  beforeAll(async () => {
    fresh = await freshDatabase(databaseKinds.at(-1) ?? 'embedded');
    const state = await fresh.database.prisma.registryState.upsert({ where: { id: 1 }, create: { id: 1 }, update: {} });
    registryVersion = Number(state.version);
  });
  afterAll(() => fresh.drop());

  const refused = (changes: Partial<NotPermitted> = {}): NotPermitted => ({
    decision: 'refuse',
    reason: 'scope_too_wide',
    transaction: undefined,
    requestId: `req-${process.pid}-${(counter += 1)}`,
    record: recordHead('exchange', now(), {}),
    spends: [],
    registryVersion,
    now: now(),
    isOver: () => false,
    session: undefined,
    ...changes,
  });
  /** The real database, but for what its statement does first. */
  const before = (first: () => Promise<void>): Database => ({
    ...fresh.database,
    rows: async (sql, values) => {
      await first();
      return fresh.database.rows(sql, values);
    },
  });
  const failing = (times: number, error: Error) => {
    const seen = { tried: 0 };
    const database = before(() => {
      seen.tried += 1;
      return seen.tried <= times ? Promise.reject(error) : Promise.resolve();
    });
    return { seen, committer: openCommitter(database) };
  };
  const sqlError = (code: string): Error => Object.assign(new Error('from the database'), { code, severity: 'ERROR' });

  it('puts what waits together into statements of 32 at most, and says how they went', async () => {
    const [sizes, lengths, seconds]: [number[], number[], number[]] = [[], [], []];
    const committer = openCommitter(fresh.database, {
      onQueue: (length) => lengths.push(length),
      onCommit: (batch) => {
        sizes.push(batch.size);
        seconds.push(batch.seconds);
      },
    });
    const begun = performance.now();
    const kept = await Promise.all(Array.from({ length: 70 }, () => committer.refuse(refused())));
    expect(kept.every(({ ok }) => ok)).toBe(true);
    expect(sizes).toEqual([32, 32, 6]);
    expect(lengths).toEqual([...Array.from({ length: 70 }, (_, n) => n + 1), 38, 6, 0]);
    expect(seconds.every((one) => one > 0)).toBe(true);
    const sum = seconds.reduce((all, one) => all + one, 0);
    expect(sum).toBeLessThanOrEqual((performance.now() - begun) / 1_000);
    await committer.refuse(refused());
    expect(sizes).toEqual([32, 32, 6, 1]);
  });

  it('runs one statement at a time; what comes meanwhile is in the next', async () => {
    let running = 0;
    let most = 0;
    const sizes: number[] = [];
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    const database = before(async () => {
      most = Math.max(most, (running += 1));
      await gate;
      running -= 1;
    });
    const committer = openCommitter(database, { onQueue: () => undefined, onCommit: ({ size }) => sizes.push(size) });
    const first = Array.from({ length: 40 }, () => committer.refuse(refused()));
    while (running === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    const late = committer.refuse(refused());
    open();
    await Promise.all([...first, late]);
    expect([most, sizes]).toEqual([1, [32, 9]]);
  });

  it('commits nothing that nobody waits for any more, and the rest of its batch', async () => {
    const sizes: number[] = [];
    const watch = { onQueue: () => undefined, onCommit: ({ size }: { size: number }) => sizes.push(size) };
    const committer = openCommitter(fresh.database, watch);
    const [over, awaited] = [committer.refuse(refused({ isOver: () => true })), committer.refuse(refused())];
    await expect(over).rejects.toMatchObject(OUTAGE);
    expect([await awaited, sizes]).toEqual([{ ok: true, value: null }, [1]]);
    await expect(committer.refuse(refused({ isOver: () => true }))).rejects.toMatchObject(OUTAGE);
    expect(sizes).toEqual([1]);
    expect(await committer.refuse(refused())).toEqual({ ok: true, value: null });
  });

  it('lets 2,048 wait and tells the next to come back', async () => {
    const committer = openCommitter(fresh.database);
    const isOver = (): boolean => true;
    const settled = await Promise.allSettled(
      Array.from({ length: 2_049 }, () => committer.refuse(refused({ isOver }))),
    );
    const messages = settled.map((one) =>
      one.status === 'rejected' && one.reason instanceof Fault ? one.reason.message : '',
    );
    expect(new Set(messages.slice(0, 2_048)).size).toBe(1);
    expect(messages[2_048]).not.toBe(messages[0]);
    expect(settled[2_048]).toMatchObject({ status: 'rejected', reason: OUTAGE });
  });

  it.each(['40001', '40P01'])(
    'tries again what the database rolled back for another (%s), five times at most',
    async (code) => {
      const some = failing(5, sqlError(code));
      expect(await some.committer.refuse(refused())).toEqual({ ok: true, value: null });
      expect(some.seen.tried).toBe(6);
      const all = failing(99, sqlError(code));
      await expect(all.committer.refuse(refused())).rejects.toThrow();
      expect(all.seen.tried).toBe(6);
    },
  );

  it.each<[string, Error, object]>([
    ['an outage', sqlError('57P01'), OUTAGE],
    ['a mistake of ours', sqlError('42601'), { message: 'from the database' }],
  ])('fails all of a batch with %s, at once, and goes on', async (_, error, wanted) => {
    const { seen, committer } = failing(1, error);
    const settled = await Promise.allSettled([committer.refuse(refused()), committer.refuse(refused())]);
    for (const one of settled) expect(one).toMatchObject({ status: 'rejected', reason: wanted });
    expect(seen.tried).toBe(1);
    expect(await committer.refuse(refused())).toEqual({ ok: true, value: null });
  });
});
