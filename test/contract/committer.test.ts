import { describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { recordHead } from '../../src/audit/index.js';
import type { NotPermitted } from '../../src/exchange/index.js';
import { openCommitter } from '../../src/storage/index.js';
import { databaseKinds, freshDatabase } from '../support/databases.js';

const now = (): number => Math.floor(Date.now() / 1_000);

const refusal = (requestId: string, isOver: () => boolean = () => false): NotPermitted => ({
  decision: 'refuse',
  reason: 'test',
  requestId,
  record: recordHead('exchange', now(), { request: requestId }),
  spends: [{ what: 'assertion', key: `key-${requestId}`, expiresAt: now() + 60 }],
  registryVersion: 0,
  now: now(),
  isOver,
  session: undefined,
});

describe.each(databaseKinds.filter((kind) => kind === 'server'))('what waits for its commit (%s)', (kind) => {
  it('is not committed any more once its client was told to come back, and leaves its neighbours alone', async () => {
    const { database, options, drop } = await freshDatabase(kind);
    const holder = new pg.Client({ connectionString: options.url });
    await holder.connect();
    await holder.query('BEGIN; LOCK TABLE log_leaf IN EXCLUSIVE MODE');
    const committer = openCommitter(database);
    const before = Array.from({ length: 400 }, (_, n) => committer.refuse(refusal(`before-${n}`)));
    let over = false;
    const late = committer.refuse(refusal('late', () => over));
    const after = committer.refuse(refusal('after'));
    over = true;
    await holder.query('COMMIT');
    await expect(late).rejects.toMatchObject({ code: 'database_unavailable' });
    expect(await Promise.all([...before, after])).toEqual(
      Array.from({ length: 401 }, () => ({ ok: true, value: null })),
    );
    const { rows } = await holder.query(`
      SELECT (SELECT count(*)::int FROM log_leaf) AS records, (SELECT count(*)::int FROM replay) AS spent,
        (SELECT count(*)::int FROM replay WHERE spender = 'late') AS late`);
    expect(rows).toEqual([{ records: 401, spent: 401, late: 0 }]);
    await holder.end();
    await drop();
  });
});
