import { beforeEach, expect, it } from '@jest/globals';
import { openReevaluations } from '../../src/storage/index.js';
import { describeDatabases } from '../support/databases.js';

const clock = { now: (): number => Math.floor(Date.now() / 1000) };
const VERSION = 7_000_000;
let round = 0;

describeDatabases('re-evaluations', (database) => {
  let version = 0;
  beforeEach(async () => {
    version = VERSION + (round += 1);
    const { prisma } = database();
    await prisma.$executeRawUnsafe('DELETE FROM policy_reevaluation');
    await prisma.policyReevaluation.create({ data: { version, policy: 'sha256:one' } });
  });
  const works = (): readonly ReturnType<typeof openReevaluations>[] =>
    [1, 2, 3].map(() => openReevaluations(database(), clock));
  const one = (): ReturnType<typeof openReevaluations> => openReevaluations(database(), clock);
  const row = (): Promise<unknown> => database().prisma.policyReevaluation.findUniqueOrThrow({ where: { version } });
  const holderGoneSilent = (): Promise<unknown> =>
    database().prisma.$executeRawUnsafe(`UPDATE policy_reevaluation SET held_until = now() - interval '1 second'`);
  const numbersOf = (target: string): Promise<number> => database().prisma.revocation.count({ where: { target } });

  it('are held by one of those that ask at once', async () => {
    const taken = await Promise.all(works().map((work) => work.take()));
    expect(taken.filter((held) => held !== undefined)).toEqual([
      { version, policy: 'sha256:one', place: '0', isLast: false, holder: expect.any(String) },
    ]);
  });

  it('are taken up where somebody stopped who is gone; what that one brings late is not taken', async () => {
    const gone = await one().take();
    if (gone === undefined) throw new Error('nothing to do');
    expect(await one().step(gone, { lost: [`first-${String(version)}`], undecided: 0, place: '40' })).toBe(true);
    expect(await one().take()).toBeUndefined();
    await holderGoneSilent();
    const [held] = (await Promise.all(works().map((work) => work.take()))).filter((found) => found !== undefined);
    expect(held).toMatchObject({ place: '40', isLast: false });
    if (held === undefined) throw new Error('nothing was taken up');
    const late = `late-${String(version)}`;
    const steps = await Promise.all([
      one().step(gone, { lost: [late], undecided: 0, place: '80' }),
      one().step(held, { lost: [`first-${String(version)}`], undecided: 0, place: undefined }),
    ]);
    expect([steps, await numbersOf(`token:${late}`), await numbersOf(`token:first-${String(version)}`)]).toEqual([
      ...[[false, true], 0, 1],
    ]);
    expect(await row()).toMatchObject({ passes: 1, ended: 2, finishedAt: null, heldUntil: null });
  });

  it('are done twice, the second time once what was under way has come to its end, and then never again', async () => {
    const first = await one().take();
    if (first === undefined) throw new Error('nothing to do');
    await one().step(first, { lost: [], undecided: 0, place: undefined });
    expect(await one().take()).toBeUndefined();
    await database().prisma.$executeRawUnsafe(
      `UPDATE policy_reevaluation SET begun_at = now() - interval '11 seconds'`,
    );
    const second = await one().take();
    expect(second).toMatchObject({ place: '0', isLast: true });
    if (second === undefined) throw new Error('nothing to do twice');
    const step = { lost: [`unsure-${String(version)}`], undecided: 1, place: undefined };
    const steps = await Promise.all([one().step(second, step), one().step(second, step)]);
    expect(steps.sort()).toEqual([false, true]);
    expect(await row()).toMatchObject({ passes: 2, ended: 1, undecided: 1, finishedAt: expect.any(Date) });
    expect(await one().take()).toBeUndefined();
  });
});
