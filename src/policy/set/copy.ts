import { copyJson } from '../../protocol/index.js';
import type { PolicyJson } from './engine.js';
import { type Looks, looksOf } from './mentions.js';
import type { Policy } from './policy.js';

/** A policy as it is asked in a question for both principals: whose word it is, and how the engine reads it. */
export type Copy = Readonly<{
  policy: Policy;
  whose: 'person' | 'agent' | 'both';
  json: PolicyJson;
  looks: Looks;
}>;

/**
 * INVARIANT: in a question the person is the principal and the agent is `context.agent`, which is the same entity. So the
 * agent's policies read `principal` from there, and one that reads it nowhere says the same of both.
 */
export class Copies {
  readonly #ofAgent = new WeakMap<Policy, Copy>();

  of(person: readonly Policy[], agent: readonly Policy[]): readonly Copy[] {
    const isForBoth = (policy: Policy): boolean =>
      !policy.looks.principal && person.includes(policy) && agent.includes(policy);
    const asked = person.map((policy): Copy => {
      const whose = isForBoth(policy) ? 'both' : 'person';
      return { policy, whose, json: policy.open, looks: policy.looks };
    });
    return [...asked, ...agent.filter((policy) => !isForBoth(policy)).map((policy) => this.#agents(policy))];
  }

  #agents(policy: Policy): Copy {
    const known = this.#ofAgent.get(policy);
    if (known !== undefined) return known;
    const json = structuredClone(policy.open);
    for (const { body } of json.conditions) rename(body);
    const made: Copy = { policy, whose: 'agent', json, looks: looksOf(copyJson(json.conditions)) };
    this.#ofAgent.set(policy, made);
    return made;
  }
}

/** Makes every `principal` of an expression in Cedar's JSON form `context.agent`. */
function rename(expression: unknown): void {
  if (!isNode(expression)) return;
  if (expression['Var'] === 'principal') {
    delete expression['Var'];
    expression['.'] = { left: { Var: 'context' }, attr: 'agent' };
    return;
  }
  for (const [operator, body] of Object.entries(expression)) {
    if (operator === 'Value') continue;
    for (const inner of isNode(body) ? Object.values(body) : [body])
      for (const child of Array.isArray(inner) ? inner : [inner]) rename(child);
  }
}

const isNode = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
