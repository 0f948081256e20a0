import { describe, expect, it } from '@jest/globals';
import { flawsOf, type RevokeResult } from '../../scripts/drill/revoke.js';

const CLEAN: RevokeResult = {
  revocations: 10,
  verifiers: 8,
  kills: 1,
  measured: 20,
  missed: 0,
  stopped_blind: 60,
  false_refusals: 0,
  p50_ms: 100,
  p99_ms: 1_000,
  cut_off_ms: 4_000,
  stood_still_ms: 30,
};

describe('a drill of revocations', () => {
  it('is passed by one that measured a quarter of the refusals, each within a second', () => {
    expect(flawsOf(CLEAN)).toEqual([]);
  });

  it.each<[string, Partial<RevokeResult>, string]>([
    ['revoked nothing', { revocations: 0 }, 'nothing was revoked'],
    ['measured less than that', { measured: 19 }, 'only 19 refusals were measured, and 20 are needed'],
    ['let a call outlive its revocation', { missed: 1 }, '1 calls outlived their revocation'],
    ['refused what was not revoked', { false_refusals: 2 }, '2 calls were refused that nothing was against'],
    ['was late', { p99_ms: 1_001 }, 'p99 is 1001 ms, above 1000 ms'],
  ])('is failed, and told why, by one that %s', (_, broken, flaw) => {
    expect(flawsOf({ ...CLEAN, ...broken })).toEqual([flaw]);
  });
});
