import { describe, expect, it } from '@jest/globals';
import { openDatabase, openKeys } from '../../src/storage/index.js';
import type { StoredKey } from '../../src/token/index.js';
import { databaseKinds, describeDatabases, freshDatabase } from '../support/databases.js';

const key = (kid: string): StoredKey => ({
  kid,
  alg: 'ES256',
  publicJwk: { kty: 'EC', crv: 'P-256', x: 'x', y: 'y', kid },
  sealed: new Uint8Array([0, 255, 128]),
  state: 'active',
  createdAt: new Date('2026-11-22T10:00:00.123Z'),
});

describeDatabases('signing keys', (database) => {
  it('keeps the first key as it was given', async () => {
    expect(await openKeys(database()).list()).toEqual([]);
    expect(await openKeys(database()).insertFirst(key('first'))).toEqual([key('first')]);
    expect(await openKeys(database()).list()).toEqual([key('first')]);
  });

  it('answers the first key to whoever comes second', async () => {
    expect(await openKeys(database()).insertFirst(key('second'))).toEqual([key('first')]);
  });

  it('takes a new key once none is active, and lists the newest first', async () => {
    await database().prisma.signingKey.updateMany({ data: { state: 'retired' } });
    const later = { ...key('later'), createdAt: new Date('2026-11-23T10:00:00Z') };
    expect(await openKeys(database()).insertFirst(later)).toEqual([later, { ...key('first'), state: 'retired' }]);
  });
});

describe.each(databaseKinds)('the first signing key (%s)', (kind) => {
  it('has one winner when ten starts race for it', async () => {
    const { database, options, drop } = await freshDatabase(kind);
    const replica = kind === 'server' ? await openDatabase(options) : database;
    try {
      const racers = Array.from({ length: 10 }, (_, n) =>
        openKeys(n % 2 === 0 ? database : replica).insertFirst(key(`racer-${n}`)),
      );
      const answers = (await Promise.all(racers)).map((keys) => keys.map(({ kid }) => kid).join());
      expect(new Set(answers).size).toBe(1);
      expect((await openKeys(database).list()).map(({ kid }) => kid).join()).toBe(answers[0]);
    } finally {
      if (replica !== database) await replica.close();
      await drop();
    }
  });
});
