import { describe, expect, it } from '@jest/globals';
import { hashSecret } from '../../src/client/index.js';
import type { PolicyStore } from '../../src/policy/index.js';
import { leafOf, openLog, openPolicies, openRegistry } from '../../src/storage/index.js';
import { databaseKinds, freshDatabase } from '../support/databases.js';

const clock = { now: () => 1_795_305_600 };
const recordOf = () => leafOf({ kind: 'registry', at: 0, facts: {}, decision: 'done', reason: 'changed' });
const FIRST = { hash: 'sha256:first', files: [{ path: 'a.cedar', text: 'permit(principal, action, resource);' }] };
const SECOND = { hash: 'sha256:second', files: [] };

describe.each(databaseKinds)('the store of policy sets (%s)', (kind) => {
  const withStore = async (
    work: (store: PolicyStore, url: Awaited<ReturnType<typeof freshDatabase>>) => Promise<void>,
  ) => {
    const fresh = await freshDatabase(kind);
    try {
      await work(openPolicies(fresh.database, clock), fresh);
    } finally {
      await fresh.database.close();
      await fresh.drop();
    }
  };

  it('keeps a set whole under its hash, once', async () => {
    await withStore(async (store) => {
      expect(await store.stage(FIRST, 'ann')).toBe('staged');
      expect(await store.stage({ ...FIRST, files: [] }, 'bob')).toBe('known');
      expect(await store.read(FIRST.hash)).toEqual(FIRST);
      expect(await store.read('sha256:none')).toBeUndefined();
      expect(await store.list()).toEqual([
        {
          hash: FIRST.hash,
          isActive: false,
          stagedAt: expect.any(Number),
          stagedBy: 'ann',
          activatedAt: undefined,
          activatedBy: undefined,
          replaced: undefined,
        },
      ]);
    });
  });

  it('activates in one step with a new version of the registry, which readers then see', async () => {
    await withStore(async (store, { database }) => {
      const registry = await openRegistry(database, { hashSecret, recordOf, now: () => 0 });
      const { version } = registry.current();
      await store.stage(FIRST, 'ann');
      expect(await store.activate(FIRST.hash, { by: 'ann', basis: version })).toEqual({
        ok: true,
        value: { version: version + 1, before: undefined },
      });
      const snapshot = await registry.refresh();
      expect([snapshot.version, snapshot.policies]).toEqual([version + 1, FIRST]);
    });
  });

  it('knows what a set replaced, which is what a rollback activates', async () => {
    await withStore(async (store) => {
      await store.stage(FIRST, 'ann');
      await store.stage(SECOND, 'ann');
      await store.activate(FIRST.hash, { by: 'ann' });
      await store.activate(SECOND.hash, { by: 'bob' });
      await store.activate(SECOND.hash, { by: 'bob' });
      const active = (await store.list()).find(({ isActive }) => isActive);
      expect([active?.hash, active?.activatedBy, active?.replaced]).toEqual([SECOND.hash, 'bob', FIRST.hash]);
    });
  });

  it('activates no set that it does not have, and none over another registry than it was checked against', async () => {
    await withStore(async (store, { database }) => {
      await store.stage(FIRST, 'ann');
      expect(await store.activate('sha256:none', { by: 'ann' })).toEqual({ ok: false, error: 'unknown' });
      expect(await store.activate(FIRST.hash, { by: 'ann', basis: 41 })).toEqual({ ok: false, error: 'unsettled' });
      expect((await openRegistry(database, { hashSecret, recordOf, now: () => 0 })).current().policies).toBeUndefined();
    });
  });

  it('records each change with what was before', async () => {
    await withStore(async (store, { database }) => {
      await store.stage(FIRST, 'ann');
      await store.stage(SECOND, 'bob');
      await store.activate(FIRST.hash, { by: 'ann' });
      await store.activate(SECOND.hash, { by: 'bob' });
      const { entries } = await openLog(database).read({ kind: 'policy' }, { limit: 10 });
      expect(entries.map(({ facts }) => facts)).toEqual([
        { what: 'staged', policy: FIRST.hash, files: ['a.cedar'], by: 'ann' },
        { what: 'staged', policy: SECOND.hash, files: [], by: 'bob' },
        { what: 'activated', policy: FIRST.hash, before: null, by: 'ann', registry: 1 },
        { what: 'activated', policy: SECOND.hash, before: FIRST.hash, by: 'bob', registry: 2 },
      ]);
    });
  });

  it('lets one of two that activate at once win', async () => {
    await withStore(async (store) => {
      await store.stage(FIRST, 'ann');
      await store.stage(SECOND, 'bob');
      const outcomes = await Promise.all([
        store.activate(FIRST.hash, { by: 'ann', basis: 0 }),
        store.activate(SECOND.hash, { by: 'bob', basis: 0 }),
      ]);
      expect(outcomes.map(({ ok }) => ok).sort()).toEqual([false, true]);
    });
  });
});
