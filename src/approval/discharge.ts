import type { Demand } from './binding.js';
import type { Answer, Approval } from './transition.js';

/** The active policies by id, each with the SHA-256 of its text. */
export type PolicyTexts = ReadonlyMap<string, string>;

/** What each demand says. */
export const textsOf = (demands: readonly Pick<Demand, 'policy' | 'text'>[]): Readonly<Record<string, string>> =>
  Object.fromEntries(demands.map(({ policy, text }) => [policy, text]));

/** Of a request that bought a token: the policies that were granted, as long as each says what it said. */
export const stillLifted = (
  {
    answers,
    about,
  }: Readonly<{ answers: readonly Answer[]; about: Readonly<{ texts: Readonly<Record<string, string>> }> }>,
  active: PolicyTexts,
): readonly string[] =>
  answers
    .map(({ policy }) => policy)
    .filter((policy) => active.has(policy) && active.get(policy) === about.texts[policy]);

/**
 * The policies that a grant lifts today: what was granted, as long as the policy says what it said when it was asked. The
 * policy set decides with them lifted; where it asks again, the person has to be asked again.
 */
export function discharged({ state, frozen, answers }: Approval, active: PolicyTexts): readonly string[] {
  if (state !== 'granted') return [];
  const isSame = (policy: string, text: string): boolean => active.get(policy) === text;
  return frozen.binding.demands
    .filter(({ policy, text }) => isSame(policy, text) && answers.some((answer) => answer.policy === policy))
    .map(({ policy }) => policy);
}
