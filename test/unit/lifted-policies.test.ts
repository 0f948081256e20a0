import { describe, expect, it } from '@jest/globals';
import { anInput, setOf } from '../support/policies.js';

const ALLOW = '@id("all") permit (principal, action, resource);';
const asking = (more = ''): string =>
  `${ALLOW} @id("ask") @requires("approval") forbid (principal, action, resource)${more};`;

describe('a decision that a person lifted a policy for', () => {
  const set = setOf(asking());
  const input = anInput({ discharged: ['ask'] });
  const verdict = set.decide(input);
  const kept = set.keep(input, verdict);
  if (kept === undefined) throw new Error('nothing is kept');

  it('is decided over again as it was, as long as that policy says what it said', () => {
    expect(verdict.verdict).toBe('allow');
    expect(set.redecide(kept)).toEqual(verdict);
    expect(setOf(`${asking()} @id("more") permit (principal, action, resource);`).redecide(kept)).toMatchObject({
      verdict: 'allow',
    });
  });

  it('is asked anew where the policy of that name has another text', () => {
    expect(setOf(asking(' when { true }')).redecide(kept)).toMatchObject({ verdict: 'ask', policies: ['ask'] });
  });

  it('is asked anew where nobody knows which text was lifted', () => {
    const { lifted, ...rest } = kept;
    expect(lifted).toEqual({ ask: set.texts.get('ask') });
    expect(set.redecide(rest)).toMatchObject({ verdict: 'ask' });
  });
});
