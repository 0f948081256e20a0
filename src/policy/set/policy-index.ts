import type { Policy } from './policy.js';
import { actionsOf, takesTool } from './scope.js';
import { actionOf, groupsOf, type PolicyTool } from './tool.js';

/** The policies of a set by the actions that their scopes name, so that a tool is asked about those alone. */
export class PolicyIndex {
  readonly #open: readonly Policy[];
  readonly #byAction = new Map<string, Policy[]>();
  readonly #order: ReadonlyMap<Policy, number>;

  constructor(policies: readonly Policy[]) {
    this.#open = policies.filter(({ json }) => actionsOf(json) === undefined);
    for (const policy of policies) {
      for (const action of new Set(actionsOf(policy.json))) {
        const others = this.#byAction.get(action);
        if (others === undefined) this.#byAction.set(action, [policy]);
        else others.push(policy);
      }
    }
    this.#order = new Map(policies.map((policy, index) => [policy, index]));
  }

  /** Every policy whose scope takes in this tool, for some principal, in the order of the set. */
  meeting(tool: PolicyTool): readonly Policy[] {
    const named = [actionOf(tool), ...groupsOf(tool)].flatMap((action) => this.#byAction.get(action) ?? []);
    return [...new Set([...this.#open, ...named])]
      .filter(({ json }) => takesTool(json, tool))
      .sort((one, other) => this.at(one) - this.at(other));
  }

  /** Where a policy stands in the set. */
  at(policy: Policy): number {
    return this.#order.get(policy) ?? -1;
  }
}
