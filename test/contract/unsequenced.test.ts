import { beforeEach, expect, it } from '@jest/globals';
import { openFindings } from '../../src/storage/index.js';
import { describeDatabases } from '../support/databases.js';

describeDatabases('a leaf that is not in the tree after 5 s', (database) => {
  const run = (sql: string): Promise<number> => database().prisma.$executeRawUnsafe(sql);
  const write = (text: string): Promise<number> =>
    run(`INSERT INTO log_leaf (leaf, leaf_hash, kind, lineage, at)
      VALUES ('${text}', sha256('\\x00'::bytea || '${text}'), 'session', ARRAY[]::text[], now() - interval '1 minute')`);
  const found = async (): Promise<readonly unknown[]> => {
    const store = openFindings(database(), { permits: () => Promise.resolve([]) }, 0);
    return (await store.findings({ kind: 'unsequenced' }, { limit: 9 })).findings.map(({ facts }) => facts['leaves']);
  };

  beforeEach(async () => {
    await run('TRUNCATE log_pending, log_entry, log_leaf');
  });

  it('is a finding, though somebody took it out of the queue', async () => {
    await write('a');
    await run(`UPDATE log_pending SET since = now() - interval '1 minute'`);
    expect(await found()).toEqual([1]);
    await write('b');
    await run('DELETE FROM log_pending');
    expect(await found()).toEqual([2]);
  });

  it('is none once it is there, and for its first seconds', async () => {
    await write('a');
    await run(`INSERT INTO log_entry (index, leaf_id, leaf_hash) SELECT 0, id, leaf_hash FROM log_leaf`);
    await run('DELETE FROM log_pending');
    await write('b');
    expect(await found()).toEqual([]);
    await run('DELETE FROM log_pending');
    await run('UPDATE log_leaf SET at = now()');
    expect(await found()).toEqual([]);
  });
});
