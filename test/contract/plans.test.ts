import { expect, it } from '@jest/globals';
import { describeDatabases } from '../support/databases.js';
import { COMMIT_SQL } from '../../src/storage/commit-sql.js';

/** Nothing is in the tables and nothing is known of them: the moment in which the plan is made that stays. */
describeDatabases('plans of statements', (database) => {
  it('find what a commit reads by its key, also when they are made while the tables are empty', async () => {
    const parameters = Array.from({ length: 33 }, (_, at) => (at === 18 || at === 30 ? '30' : 'ARRAY[]'));
    const types = [...COMMIT_SQL.matchAll(/\$(\d+)::(\w+(?:\[\])?)/g)];
    const typeOf = (at: number): string => types.find(([, number]) => number === String(at + 1))?.[2] ?? 'text';
    const values = parameters.map((value, at) => `${value}::${typeOf(at)}`).join(', ');
    const plan = await database().prisma.$transaction(async (transaction) => {
      await transaction.$executeRawUnsafe(
        `PREPARE planned (${parameters.map((_, at) => typeOf(at)).join(', ')}) AS ${COMMIT_SQL}`,
      );
      return transaction.$queryRawUnsafe<{ 'QUERY PLAN': string }[]>(`EXPLAIN EXECUTE planned (${values})`);
    });
    expect(plan.map((row) => row['QUERY PLAN']).filter((line) => line.includes('Seq Scan'))).toEqual([]);
  });
});
