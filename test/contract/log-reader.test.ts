import { expect, it } from '@jest/globals';
import { leafOf, openLog } from '../../src/storage/index.js';
import { describeDatabases } from '../support/databases.js';

describeDatabases('the log as it is read', (database) => {
  it('comes whole and in the order of its ids, page by page, past the ninth', async () => {
    const log = openLog(database());
    for (let at = 1; at <= 25; at++) {
      const { leaf, leafHash } = leafOf({ kind: 'session', at, facts: { at }, decision: 'done', reason: 'test' });
      await database().prisma.$executeRawUnsafe(
        `INSERT INTO log_leaf (leaf, leaf_hash, kind, lineage) VALUES ($1::bytea, $2::bytea, 'session', ARRAY[]::text[])`,
        leaf,
        leafHash,
      );
    }
    const read: number[] = [];
    for (let after: string | undefined = '0'; after !== undefined;) {
      const page = await log.read({}, { after, limit: 4 });
      read.push(...page.entries.map((entry) => entry.at));
      after = page.next;
    }
    expect(read).toEqual(Array.from({ length: 25 }, (_, index) => index + 1));
  });
});
