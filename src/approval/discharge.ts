import type { Approval } from './transition.js';

/** The active policies by id, each with the SHA-256 of its text. */
export type PolicyTexts = ReadonlyMap<string, string>;

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
