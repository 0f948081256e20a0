import { describe, expect, it } from '@jest/globals';
import { calmTree, type TreeReader } from '../../src/audit/index.js';

type Waiting = Readonly<{ settle: (index: number | undefined) => void; fail: (cause: unknown) => void }>;

/** A tree whose answers come when the test says so. */
function slowTree(): Readonly<{ tree: TreeReader; asked: Waiting[] }> {
  const asked: Waiting[] = [];
  const never = (): never => {
    throw new Error('is not asked here');
  };
  const tree: TreeReader = {
    tiles: never,
    tile: never,
    latest: never,
    checkpointFrom: never,
    entries: never,
    verifierKeys: never,
    retentionRecords: never,
    indexOf: () => new Promise((settle, fail) => asked.push({ settle, fail })),
  };
  return { tree, asked };
}

const LEAF = Buffer.alloc(32);
const calm = { atOnce: 2, waiting: 3 };
const turns = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the tree as anybody may ask it', () => {
  it('reads few things at once, and the rest in the order in which it was asked', async () => {
    const { tree, asked } = slowTree();
    const reader = calmTree(tree, calm);
    const answers = [0, 1, 2, 3, 4].map(() => reader.indexOf(LEAF));
    for (let n = 0; n < 5; n++) {
      await turns();
      expect(asked).toHaveLength(Math.min(5, n + 2));
      asked[n]?.settle(n);
    }
    expect(await Promise.all(answers)).toEqual([0, 1, 2, 3, 4]);
  });

  it('tells whoever is one too many to come back, and answers again once there is room', async () => {
    const { tree, asked } = slowTree();
    const reader = calmTree(tree, calm);
    const answers = [0, 1, 2, 3, 4].map(() => reader.indexOf(LEAF));
    await expect(reader.indexOf(LEAF)).rejects.toMatchObject({ code: 'overloaded' });
    asked[0]?.settle(7);
    await turns();
    answers.push(reader.indexOf(LEAF));
    for (let n = 1; n < 6; n++) {
      await turns();
      asked[n]?.settle(7);
    }
    expect(await Promise.all(answers)).toEqual([7, 7, 7, 7, 7, 7]);
  });

  it('gives the turn of a reading that failed to the next', async () => {
    const { tree, asked } = slowTree();
    const reader = calmTree(tree, { ...calm, atOnce: 1 });
    const [first, second] = [reader.indexOf(LEAF), reader.indexOf(LEAF)];
    asked[0]?.fail(new Error('the database is down'));
    await expect(first).rejects.toThrow('the database is down');
    asked[1]?.settle(1);
    expect(await second).toBe(1);
  });
});
