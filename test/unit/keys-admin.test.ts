import { randomBytes } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { openKeys } from '../../src/storage/index.js';
import { type KeysAdmin, keysAdmin, openKeyRing } from '../../src/token/index.js';
import { databaseKinds, freshDatabase } from '../support/databases.js';
import { NOW } from '../support/delegations.js';

const TIMING = { cache: 600, longestToken: 600, skew: 30 };
const ORDER = { by: 'admin-token', reason: 'test' };

/** The keys of a deployment that has just begun. */
async function withKeys(work: (admin: KeysAdmin) => Promise<void>): Promise<void> {
  const { database, drop } = await freshDatabase(databaseKinds.at(-1) ?? 'embedded');
  try {
    const deps = {
      store: openKeys(database, { now: () => NOW }),
      encryptionKeys: [randomBytes(32)] as const,
      timing: TIMING,
    };
    await work(keysAdmin({ ...deps, ring: await openKeyRing(deps) }));
  } finally {
    await drop();
  }
}
const states = async (admin: KeysAdmin): Promise<readonly string[]> => (await admin.list()).map(({ state }) => state);

describe('keys, as administrators move them', () => {
  it('STANDARDS 10.8 are published before they sign, for as long as caches may last, one at a time', () =>
    withKeys(async (admin) => {
      const published = await admin.rotate(ORDER);
      if (!published.ok) throw new Error(published.error);
      const { kid, createdAt } = published.value;
      expect(published.value).toEqual({
        kid: expect.stringMatching(/^[\w-]{16}$/),
        alg: 'ES256',
        state: 'next',
        createdAt: expect.any(Number),
        activatesAt: expect.closeTo(createdAt + 610, 0),
        retiredAt: undefined,
        publishedUntil: undefined,
        withdrawnAt: undefined,
      });
      expect((await admin.list()).map((key) => [key.kid === kid, key.state])).toEqual([
        [true, 'next'],
        [false, 'active'],
      ]);
      expect(await admin.rotate(ORDER)).toEqual({ ok: false, error: 'one_is_next' });
    }));

  it('sign as soon as an administrator says, twenty of them published at most', () =>
    withKeys(async (admin) => {
      const at = { ...ORDER, activateAfter: 0 };
      expect(await admin.rotate(at)).toMatchObject({ ok: true, value: { state: 'active' } });
      expect(await states(admin)).toEqual(['active', 'retired']);
      for (let published = 2; published < 20; published++) expect((await admin.rotate(at)).ok).toBe(true);
      expect(await admin.rotate(at)).toEqual({ ok: false, error: 'too_many' });
      expect(await states(admin)).toHaveLength(20);
    }));

  it('are taken away by name, once, and another one signs', () =>
    withKeys(async (admin) => {
      const [first] = await admin.list();
      if (first === undefined) throw new Error('no key');
      expect(await admin.withdraw('no-such-key', ORDER)).toEqual({ ok: false, error: 'unknown' });
      const withdrawn = await admin.withdraw(first.kid, ORDER);
      const [spare] = await admin.list();
      expect(withdrawn).toEqual({
        ok: true,
        value: {
          result: 'withdrawn',
          key: { ...first, state: 'withdrawn', withdrawnAt: expect.any(Number) },
          active: spare,
        },
      });
      expect(await states(admin)).toEqual(['active', 'withdrawn']);
      expect((await admin.rotate(ORDER)).ok).toBe(true);
      expect(await admin.withdraw(first.kid, ORDER)).toMatchObject({
        ok: true,
        value: { result: 'already_withdrawn', key: { kid: first.kid }, active: { kid: spare?.kid } },
      });
    }));
});
