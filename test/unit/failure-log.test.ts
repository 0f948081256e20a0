import { describe, expect, it } from '@jest/globals';
import { failureCounter } from '../../src/storage/failure-log.js';

describe('failures before authentication', () => {
  it('are recorded once a minute for each kind, with the number of those since the record before', () => {
    const count = failureCounter();
    expect(count('a', 0)).toEqual({ earlier: 0 });
    expect([count('a', 1), count('a', 59)]).toEqual([undefined, undefined]);
    expect(count('b', 59)).toEqual({ earlier: 0 });
    expect(count('a', 60)).toEqual({ earlier: 2 });
    expect(count('a', 61)).toBeUndefined();
    expect(count('b', 600)).toEqual({ earlier: 0 });
    expect(count('a', 6_000)).toEqual({ earlier: 1 });
    expect(count('a', 6_060)).toEqual({ earlier: 0 });
  });

  it('of more kinds than are kept are counted together, and none is lost', () => {
    const count = failureCounter(4);
    const flood = (now: number, kinds: number): (object | undefined)[] =>
      Array.from({ length: kinds }, (_, n) => count(`kind ${n}`, now));
    expect(flood(0, 7)).toEqual([
      { earlier: 0 },
      { earlier: 0 },
      { earlier: 0 },
      { earlier: 0 },
      { earlier_of_rare: 0 },
      undefined,
      undefined,
    ]);
    flood(1, 4);
    // Two of the four kinds are kept with what is owed; the other two are owed with the rare ones.
    expect(count('new', 60)).toEqual({ earlier: 0 });
    expect(count('newer', 60)).toEqual({ earlier: 0 });
    expect(count('newest', 60)).toEqual({ earlier_of_rare: 4 });
    expect([count('kind 0', 60), count('kind 1', 60)]).toEqual([{ earlier: 1 }, { earlier: 1 }]);
  });
});
