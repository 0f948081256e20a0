import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { readEvaluation, readEvaluations } from '../../src/authzen/call-answer.js';

/** Anything with members that decide, at any depth, and what is not JSON at all. */
const member = fc.constantFrom('decision', 'context', 'evaluations', 'obligations', 'access_request', 'x');
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom<unknown>(true, false, null, 0, 1, 'true', '', []),
    fc.dictionary(member, tie('value'), { maxKeys: 4 }),
    fc.array(tie('value'), { maxLength: 3 }),
  ),
}));
const answer = fc.oneof(
  value,
  fc.record({ decision: value, context: value }, { requiredKeys: ['decision'] }),
  fc.record({ evaluations: fc.array(fc.record({ decision: fc.boolean() }), { minLength: 1, maxLength: 3 }) }),
  fc.record({ evaluations: fc.array(fc.record({ decision: value, context: value }, { requiredKeys: ['decision'] })) }),
);

/** The rule in the words of the standards, written another way than the source has it. */
const isPlainYes = (given: unknown): boolean => {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return false;
  const { decision, context } = given as Record<string, unknown>;
  if (decision !== true) return false;
  if (context === undefined || context === null) return true;
  if (typeof context !== 'object' || Array.isArray(context)) return false;
  const { obligations, access_request: request } = context as Record<string, unknown>;
  return request === undefined && (obligations === undefined || JSON.stringify(obligations) === '[]');
};

const isDecision = (given: unknown): boolean => {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return false;
  const { decision, context } = given as Record<string, unknown>;
  return typeof decision === 'boolean' && typeof (context ?? {}) === 'object' && !Array.isArray(context);
};

describe('an answer of a decision point', () => {
  it('is yes if and only if it is a plain boolean yes that asks for nothing', () => {
    fc.assert(
      fc.property(answer, (given) => {
        expect(readEvaluation(JSON.stringify(given))?.[0] === 'yes').toBe(isPlainYes(given));
      }),
      { numRuns: 1_000 },
    );
  });

  it('to several questions is one verdict for each, in their order, or nothing', () => {
    fc.assert(
      fc.property(answer, fc.integer({ min: 1, max: 3 }), (given, count) => {
        const read = readEvaluations(JSON.stringify(given), count);
        const list: unknown = (given as { evaluations?: unknown } | null)?.evaluations;
        const isWhole = Array.isArray(list) && list.length === count && list.every(isDecision);
        expect(read?.map((verdict) => verdict === 'yes')).toEqual(isWhole ? list.map(isPlainYes) : undefined);
      }),
      { numRuns: 1_000 },
    );
  });

  it('is nothing when it is any other text', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(readEvaluation(text)).toBeUndefined();
        expect(readEvaluations(text, 1)).toBeUndefined();
      }),
    );
  });
});
