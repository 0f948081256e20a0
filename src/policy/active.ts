import { Fault } from '../base/index.js';
import type { RegistrySnapshot } from '../registry/index.js';
import { compilePolicySet, type EngineError, type PolicySet, type PolicyTool, policyTools } from './set/index.js';

/** The policy set that decides over this registry; `undefined` when there is none that fits it, and then nothing is permitted. */
export type ActivePolicies = (registry: RegistrySnapshot) => PolicySet | undefined;

/**
 * Compiles the active set once for each set and catalogue of tools. A set is checked before it is activated, and a change
 * of tools is checked against it; what does not fit all the same is reported and decides nothing.
 */
export function openActivePolicies(report: (fault: Error) => void): ActivePolicies {
  const compiled = new WeakMap<RegistrySnapshot, PolicySet | undefined>();
  let last:
    Readonly<{ hash: string | undefined; tools: readonly PolicyTool[]; set: PolicySet | undefined }> | undefined;
  return (registry) => {
    if (compiled.has(registry)) return compiled.get(registry);
    const tools = policyTools(registry.servers);
    const hash = registry.policies?.hash;
    const isKnown = last !== undefined && last.hash === hash && areAlike(last.tools, tools);
    const set = isKnown ? last?.set : compile(registry, tools, report);
    last = { hash, tools, set };
    compiled.set(registry, set);
    return set;
  };
}

/** Most tools are the same objects, since a change of the registry leaves the others alone. */
const areAlike = (some: readonly PolicyTool[], others: readonly PolicyTool[]): boolean =>
  some.length === others.length &&
  some.every((tool, at) => tool === others[at] || JSON.stringify(tool) === JSON.stringify(others[at]));

function compile(
  { policies }: RegistrySnapshot,
  tools: readonly PolicyTool[],
  report: (fault: Error) => void,
): PolicySet | undefined {
  if (policies === undefined) return undefined;
  const set = compilePolicySet(policies.files, tools, { onBroken: onceEach(report) });
  if (set.ok) return set.value;
  const [first] = set.error;
  report(new Error(`the active policy set does not fit the tools: ${first?.path ?? ''} ${first?.problem ?? ''}`));
  return undefined;
}

/** The alarm: each policy that errs is told of once while its set is active, without the values that it erred on. */
function onceEach(report: (fault: Error) => void): (errors: readonly EngineError[]) => void {
  const told = new Set<string>();
  return (errors) => {
    for (const { kind, policy } of errors) {
      const what = policy === undefined ? kind : `${kind}: ${policy}`;
      if (told.has(what)) continue;
      told.add(what);
      report(new Fault('policy_broken', `the policy engine did not decide cleanly, so the call was refused (${what})`));
    }
  };
}
