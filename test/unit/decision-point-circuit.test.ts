import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { admit, type Breaker, CLOSED, isOpen, PROBE_EVERY_MS, settle, SILENCES } from '../../src/authzen/index.js';

/** Asks at these times, each at once silent or answered; tells which were asked. */
function run(events: readonly (readonly [gap: number, isAnswered: boolean])[]): Readonly<{
  asked: readonly Readonly<{ at: number; wasOpen: boolean; isAnswered: boolean }>[];
  refused: readonly Readonly<{ at: number }>[];
  end: Breaker;
}> {
  const [asked, refused]: [{ at: number; wasOpen: boolean; isAnswered: boolean }[], { at: number }[]] = [[], []];
  let [circuit, at] = [CLOSED, 0];
  for (const [gap, isAnswered] of events) {
    at += gap;
    const admitted = admit(circuit, at);
    if (admitted === undefined) {
      refused.push({ at });
      continue;
    }
    asked.push({ at, wasOpen: isOpen(circuit), isAnswered });
    circuit = settle(admitted, isAnswered, at);
  }
  return { asked, refused, end: circuit };
}

const events = fc.array(fc.tuple(fc.integer({ min: 0, max: 700 }), fc.boolean()), { maxLength: 60 });

describe('the circuit to a decision point', () => {
  it('opens after three silences in a row, and not before', () => {
    const silences = (count: number) => run(Array.from({ length: count }, () => [1, false] as const)).end;
    expect(isOpen(silences(SILENCES - 1))).toBe(false);
    expect(isOpen(silences(SILENCES))).toBe(true);
    expect(
      run([
        [1, false],
        [1, false],
        [1, true],
        [1, false],
        [1, false],
      ]).end,
    ).toEqual({
      silences: 2,
      triedAt: undefined,
    });
  });

  it('is closed by any answer', () => {
    fc.assert(
      fc.property(events, (before) => {
        expect(run([...before, [PROBE_EVERY_MS, true]]).end).toEqual(CLOSED);
      }),
    );
  });

  it('lets one question through every 500 ms while it is open, no more and no less', () => {
    fc.assert(
      fc.property(events, (given) => {
        const { asked, refused } = run(given);
        for (const { at } of refused) {
          const last = asked.filter((one) => one.at <= at).at(-1);
          expect(last?.isAnswered).toBe(false);
          expect(at - (last?.at ?? 0)).toBeLessThan(PROBE_EVERY_MS);
        }
        for (const [index, { at, wasOpen }] of asked.entries())
          if (wasOpen) expect(at - (asked[index - 1]?.at ?? 0)).toBeGreaterThanOrEqual(PROBE_EVERY_MS);
      }),
    );
  });

  it('is not kept open any longer by silences of questions that were asked before it opened', () => {
    let circuit: Breaker = { silences: SILENCES, triedAt: 1_000 };
    for (const now of [1_100, 1_200, 1_499]) circuit = settle(circuit, false, now);
    expect(admit(circuit, 1_500)).toEqual({ silences: SILENCES, triedAt: 1_500 });
  });

  it('lets only one of many questions at the same moment try', () => {
    const open: Breaker = { silences: SILENCES, triedAt: 0 };
    const first = admit(open, PROBE_EVERY_MS);
    expect(first).toBeDefined();
    expect(admit(first ?? CLOSED, PROBE_EVERY_MS)).toBeUndefined();
  });
});
