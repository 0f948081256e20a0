import { expect, it } from '@jest/globals';
import { gathered } from '../../src/base/index.js';

it('does work for all who wait at once, one run after the other, and tells each how theirs ended', async () => {
  const runs: (readonly string[])[] = [];
  let running = 0;
  const ask = gathered<string>(async (items) => {
    running += 1;
    expect(running).toBe(1);
    runs.push([...items]);
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    if (items.includes('bad')) throw new Error('bad');
  });
  const first = ask('one');
  await Promise.resolve();
  await Promise.resolve();
  const together = [ask('two'), ask('bad')];
  await first;
  const outcomes = await Promise.allSettled(together);
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  await ask('last');
  expect(runs).toEqual([['one'], ['two', 'bad'], ['last']]);
});
