import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { feedId } from '../../src/protocol/index.js';
import { DenySet } from '../../src/sdk/verifier/deny-set.js';

const NOW = 1_000;
const id = (n: number): string => feedId(`token:${String(n)}`);

type Step = Readonly<{ put: number; number: number; end: number } | { pass: number } | { forget: true }>;
const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    {
      weight: 9,
      arbitrary: fc.record({ put: fc.nat(300), number: fc.integer({ min: 1, max: 2 ** 50 }), end: fc.nat(500) }),
    },
    { weight: 1, arbitrary: fc.record({ pass: fc.nat(100) }) },
    { weight: 1, arbitrary: fc.constant({ forget: true } as const) },
  ),
  { maxLength: 800 },
);

describe('the deny set', () => {
  it('says what a map of ids would, whatever is put in, passes and is forgotten', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const set = new DenySet(1_000);
        const model = new Map<number, { number: number; end: number }>();
        let now = NOW;
        for (const step of all) {
          if ('put' in step) {
            const old = model.get(step.put);
            // What may be forgotten is forgotten sooner or later, so only one that still counts can be added to.
            if (old !== undefined && old.end < now) continue;
            const end = now + step.end;
            expect(set.put(id(step.put), step.number, end, now)).toBe(true);
            model.set(step.put, { number: Math.max(old?.number ?? 0, step.number), end: Math.max(old?.end ?? 0, end) });
          } else if ('pass' in step) now += step.pass;
          else set.forget(now);
        }
        for (let n = 0; n <= 300; n++) {
          const known = model.get(n);
          expect(set.numberOf(id(n), now)).toBe(known === undefined || known.end < now ? 0 : known.number);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('takes as many as it may hold and then none, until some may be forgotten', () => {
    const set = new DenySet(1_000);
    for (let n = 0; n < 1_000; n++) expect(set.put(id(n), n + 1, NOW + (n < 10 ? 5 : 100), NOW)).toBe(true);
    expect(set.put(id(1_000), 1_001, NOW + 100, NOW)).toBe(false);
    expect(set.numberOf(id(1_000), NOW)).toBe(0);
    expect(set.put(id(999), 2_000, NOW + 100, NOW)).toBe(true);
    expect(set.put(id(1_000), 1_001, NOW + 100, NOW + 6)).toBe(true);
    expect(set.numberOf(id(999), NOW + 6)).toBe(2_000);
    expect(set.numberOf(id(1_000), NOW + 6)).toBe(1_001);
    expect(set.numberOf(id(0), NOW + 6)).toBe(0);
  });

  it('stays within 57 bytes an entry, and gives the memory back when they may be forgotten', () => {
    const set = new DenySet(1_000_000);
    for (let n = 0; n < 100_000; n++) set.put(id(n), n + 1, NOW + 5, NOW);
    expect(set.size).toBe(100_000);
    expect(set.bytes / set.size).toBeLessThanOrEqual(57);
    for (let call = 0; call < 64; call++) set.forget(NOW + 6);
    expect(set.size).toBe(0);
    expect(set.bytes).toBeLessThan(300_000);
  });
});
