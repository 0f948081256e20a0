import { describe, expect, it } from '@jest/globals';
import { BOUND_MS, type Ended } from '../../scripts/drill/following.js';
import {
  note,
  raceFlaws,
  refundWinners,
  revocationWinners,
  survivalOf,
  type Tally,
} from '../../scripts/drill/verdicts.js';

const tally = (): Tally => ({ rounds: 0, double_wins: 0, no_winner: 0 });

describe('a drill of races', () => {
  it.each<[string, number, Partial<Tally>]>([
    ['one winner', 1, {}],
    ['two', 2, { double_wins: 1 }],
    ['none', 0, { no_winner: 1 }],
    ['a number that nobody knows', Number.NaN, { no_winner: 1 }],
    ['less than none', -1, { no_winner: 1 }],
  ])('counts a contest with %s', (_, winners, counted) => {
    const all = tally();
    expect([note(winners, all), all]).toEqual([winners === 1, { ...tally(), rounds: 1, ...counted }]);
  });

  it.each([
    ['one is used', '1', 1],
    ['none is used', '0', 2],
    ['both are used', '2', 0],
    ['the session shows no budget', undefined, Number.NaN],
    ['what is used is no number', '', Number.NaN],
  ])('takes a refund for done once where %s, of two that were reserved', (_, used, winners) => {
    expect(refundWinners(used)).toBe(winners);
  });

  it('never takes what outlived a revocation that failed for its winner', () => {
    expect([
      revocationWinners(true, 0),
      revocationWinners(true, 2),
      revocationWinners(false, 0),
      revocationWinners(false, 1),
    ]).toEqual([1, 3, 0, 0]);
  });

  it.each<[Ended['how'], number, boolean]>([
    ['refused', 60_000, false],
    ['stopped', BOUND_MS, false],
    ['stopped', BOUND_MS + 1, true],
    ['blind', BOUND_MS, false],
    ['blind', BOUND_MS + 1, true],
    ['late', 0, true],
    ['unbegun', 0, true],
  ])('says of a call that was %s %d ms after the revocation whether it outlived it', (how, after, isSurvivor) => {
    const said = survivalOf({ how, why: 'because', ms: 1_000 + after }, 1_000);
    expect(said).toBe(isSurvivor ? `feed: ${how} ${after} ms after, because` : undefined);
  });

  it('is passed by one that held each contest, and by no other', () => {
    const held = { ...tally(), rounds: 1 };
    expect(raceFlaws({ ...held, things: { code: held } })).toEqual([]);
    expect(raceFlaws({ ...tally(), things: {} })).toEqual(['no contest was held']);
    expect(raceFlaws({ ...held, things: { code: held, refresh_token: tally() } })).toEqual([
      'refresh_token was never held',
    ]);
    expect(raceFlaws({ ...held, double_wins: 1, no_winner: 2, things: { code: held } })).toEqual([
      '1 double wins',
      '2 contests without one winner',
    ]);
  });
});
