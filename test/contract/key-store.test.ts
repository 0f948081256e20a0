import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { type Database, openDatabase, openKeys, openLog } from '../../src/storage/index.js';
import type { KeyStore, NewKey } from '../../src/token/index.js';
import { databaseKinds, describeDatabases, freshDatabase } from '../support/databases.js';

const NOW = 1_795_305_600;
const keysOf = (database: Database): KeyStore => openKeys(database, { now: () => NOW });
const key = (kid: string): NewKey => ({
  kid,
  alg: 'ES256',
  publicJwk: { kty: 'EC', crv: 'P-256', x: 'x', y: 'y', kid },
  sealed: new Uint8Array([0, 255, 128]),
});
const ORDER = { by: 'admin-token', reason: 'test' };
const next = (activateAfter: number, max = 20) => ({ ...ORDER, activateAfter, max });
const GONE = new Uint8Array();

type Seen = readonly [kid: string, state: string, isSealed: boolean];
async function seen(store: KeyStore): Promise<readonly Seen[]> {
  return (await store.read()).keys.map(({ kid, state, sealed }) => [kid, state, sealed.length > 0] as const);
}

/** What the log says of keys, without what differs by kind of event. */
async function events(database: Database): Promise<readonly unknown[]> {
  const { entries } = await openLog(database).read({ kind: 'key' }, { limit: 200 });
  return entries.map(({ facts }) => [facts['what'], facts['kid'] ?? facts['kids'], facts['by']]);
}

describeDatabases('signing keys', (database) => {
  it('keeps the first key as it was given, active from the time of the database on', async () => {
    const store = keysOf(database());
    expect(await store.read()).toEqual({ keys: [], former: [], dueIn: undefined });
    await store.insertFirst(key('a'));
    await store.insertFirst(key('b'));
    const at = expect.any(Number);
    const none = { retiredAt: undefined, publishedUntil: undefined, withdrawnAt: undefined };
    expect(await store.read()).toEqual({
      keys: [{ ...key('a'), state: 'active', createdAt: at, activatesAt: at, ...none }],
      former: [],
      dueIn: undefined,
    });
  });

  it('keeps one next key, which is not due before its time', async () => {
    const store = keysOf(database());
    expect(await store.insertNext(key('b'), next(600))).toBe('published');
    expect(await store.insertNext(key('c'), next(600))).toBe('one_is_next');
    const { dueIn = 0 } = await store.read();
    expect(dueIn).toBeGreaterThan(590);
    expect(dueIn).toBeLessThanOrEqual(600);
    await store.settle(1);
    expect(await seen(store)).toEqual([
      ['b', 'next', true],
      ['a', 'active', true],
    ]);
  });

  it('lets the next one sign at once when the active one is withdrawn, and numbers the withdrawal', async () => {
    const store = keysOf(database());
    expect(await store.withdraw('zz', key('spare'), ORDER)).toBe('unknown');
    expect(await store.withdraw('a', key('spare'), ORDER)).toBe('withdrawn');
    expect(await store.withdraw('a', key('spare'), ORDER)).toBe('already_withdrawn');
    expect(await seen(store)).toEqual([
      ['b', 'active', true],
      ['a', 'withdrawn', false],
    ]);
    const revoked = await database().prisma.revocation.findMany();
    expect(revoked.map(({ target, reason, revokedBy }) => [target, reason, revokedBy])).toEqual([
      ['key:a', 'test', 'admin-token'],
    ]);
  });

  it('makes another one sign when the active one is withdrawn and none is next', async () => {
    const store = keysOf(database());
    await store.withdraw('b', key('spare'), ORDER);
    expect((await seen(store))[0]).toEqual(['spare', 'active', true]);
  });

  it('lets the next one sign in its time, retires the one before without its private half, and removes it', async () => {
    const store = keysOf(database());
    await store.insertNext(key('d'), next(0.01));
    await pause(30);
    expect((await store.read()).dueIn).toBeLessThanOrEqual(0);
    await store.settle(0.2);
    expect((await seen(store)).slice(0, 2)).toEqual([
      ['d', 'active', true],
      ['spare', 'retired', false],
    ]);
    const { keys, dueIn = 0 } = await store.read();
    const [, retired] = keys;
    expect((retired?.publishedUntil ?? 0) - (retired?.retiredAt ?? 0)).toBeCloseTo(0.2, 2);
    expect(dueIn).toBeLessThanOrEqual(0.2);
    await pause(220);
    await store.settle(0.2);
    expect((await seen(store)).map(([kid]) => kid)).toEqual(['d', 'b', 'a']);
  });

  it('keeps the public half of the removed one for as long as a session lives', async () => {
    const store = keysOf(database());
    expect((await store.read()).former).toEqual([key('spare').publicJwk]);
    const shift = `UPDATE signing_key SET published_until = published_until - interval '1 day' WHERE state = 'former'`;
    await database().prisma.$executeRawUnsafe(shift);
    await store.settle(0.2);
    expect((await store.read()).former).toEqual([]);
  });

  it('takes no more keys than may be published', async () => {
    expect(await keysOf(database()).insertNext(key('e'), next(1, 1))).toBe('too_many');
  });

  it('seals again in one transaction: all of it, or nothing', async () => {
    const store = keysOf(database());
    await store.insertNext(key('e'), next(600));
    const asked: string[] = [];
    const failing = store.reseal(({ kid }) => {
      asked.push(kid);
      if (asked.length === 2) throw new Error('does not open');
      return new Uint8Array([9]);
    });
    await expect(failing).rejects.toThrow('does not open');
    expect(asked).toEqual(['e', 'd']);
    const sealed = async (): Promise<unknown> => (await store.read()).keys.map((one) => [one.kid, [...one.sealed]]);
    const before = [...key('e').sealed];
    expect(await sealed()).toEqual([
      ['e', before],
      ['d', before],
      ['b', [...GONE]],
      ['a', [...GONE]],
    ]);
    await store.reseal(({ kid }) => (kid === 'e' ? new Uint8Array([9]) : undefined));
    expect(await sealed()).toEqual([
      ['e', [9]],
      ['d', before],
      ['b', []],
      ['a', []],
    ]);
  });

  it('has every event in the log, and nothing of a key in it', async () => {
    expect(await events(database())).toEqual([
      ['created', 'a', 'writ'],
      ['published', 'b', 'admin-token'],
      ['withdrawn', 'a', 'admin-token'],
      ['activated', 'b', 'admin-token'],
      ['withdrawn', 'b', 'admin-token'],
      ['created', 'spare', 'admin-token'],
      ['published', 'd', 'admin-token'],
      ['retired', 'spare', 'writ'],
      ['activated', 'd', 'writ'],
      ['removed', 'spare', 'writ'],
      ['published', 'e', 'admin-token'],
      ['resealed', ['e'], 'writ'],
    ]);
  });
});

describe.each(databaseKinds)('races for signing keys (%s)', (kind) => {
  it('have one winner when ten start, ten rotate and ten settle at once', async () => {
    const { database, options, drop } = await freshDatabase(kind);
    const replica = kind === 'server' ? await openDatabase(options) : database;
    const race = <T>(run: (store: KeyStore, n: number) => Promise<T>): Promise<T[]> =>
      Promise.all(Array.from({ length: 10 }, (_, n) => run(keysOf(n % 2 === 0 ? database : replica), n)));
    try {
      await race((store, n) => store.insertFirst(key(`first-${n}`)));
      expect(await seen(keysOf(replica))).toHaveLength(1);
      const rotated = await race((store, n) => store.insertNext(key(`next-${n}`), next(0)));
      expect(rotated.sort()).toEqual([...Array<string>(9).fill('one_is_next'), 'published']);
      await race((store) => store.settle(600));
      expect((await seen(keysOf(database))).map(([, state]) => state)).toEqual(['active', 'retired']);
      expect(await events(database)).toHaveLength(4);
    } finally {
      if (replica !== database) await replica.close();
      await drop();
    }
  });
});
