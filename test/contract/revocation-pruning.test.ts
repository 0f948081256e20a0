import { beforeEach, expect, it } from '@jest/globals';
import { pruneRevocations } from '../../src/storage/index.js';
import { revoke } from '../../src/storage/revocations.js';
import { describeDatabases } from '../support/databases.js';

const FORGOTTEN = ['token:t', 'session:ses_1', 'sign-in:s', 'company-session:c', 'grant:g'];
const KEPT = [
  'agent:agt',
  'person:prs',
  'server:srv',
  'tool:srv#t',
  'issuer:iss',
  'owner:prs',
  'agent-key:k',
  'transaction:x',
];

describeDatabases('revocations of 400 days ago', (database) => {
  beforeEach(async () => {
    await database().prisma.revocation.deleteMany();
  });

  const revokedDaysAgo = async (days: number, targets: readonly string[]): Promise<void> => {
    await revoke(database().prisma, targets, 'test', 'test');
    await database().prisma.$executeRawUnsafe(
      'UPDATE revocation SET revoked_at = now() - make_interval(days => $1::int) WHERE target = ANY($2::text[])',
      days,
      targets,
    );
  };
  const left = async (): Promise<readonly string[]> =>
    (await database().prisma.revocation.findMany({ orderBy: { number: 'asc' } })).map(({ target }) => target);

  it('are forgotten where nothing that they name can be presented any more, and no others', async () => {
    await revokedDaysAgo(401, [...FORGOTTEN, ...KEPT]);
    const younger = FORGOTTEN.map((target) => `${target}-younger`);
    await revokedDaysAgo(399, younger);
    await pruneRevocations(database());
    expect(await left()).toEqual([...KEPT, ...younger]);
  });

  it('leave the highest number, so that no number is given twice', async () => {
    await revokedDaysAgo(401, ['token:first', 'token:last']);
    await pruneRevocations(database());
    expect(await left()).toEqual(['token:last']);
    await revoke(database().prisma, ['token:next'], 'test', 'test');
    const numbers = (await database().prisma.revocation.findMany({ orderBy: { number: 'asc' } })).map(
      ({ number }) => number,
    );
    expect(numbers).toEqual([2n, 3n]);
  });
});
