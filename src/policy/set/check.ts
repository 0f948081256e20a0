import { flawAt, type PolicyFile, type PolicyFlaw } from './flaw.js';
import type { Policy } from './policy.js';
import { PolicyIndex } from './policy-index.js';
import { compilePolicySet } from './policy-set.js';
import { ToolShelf } from './schema.js';
import { actionsOf, named, takesTool } from './scope.js';
import { actionOf, type PolicyTool } from './tool.js';

/** What is wrong with a set: flaws refuse it; findings are policies that do nothing here, which its author should know. */
export type PolicyCheck = Readonly<{
  hash: string | undefined;
  policies: number;
  flaws: readonly PolicyFlaw[];
  findings: readonly PolicyFlaw[];
  /** Tools that no policy permits to anybody. */
  unpermitted: readonly string[];
}>;

export function checkPolicySet(files: readonly PolicyFile[], tools: readonly PolicyTool[]): PolicyCheck {
  const compiled = compilePolicySet(files, tools, { remember: 0 });
  if (!compiled.ok) return { hash: undefined, policies: 0, flaws: compiled.error, findings: [], unpermitted: [] };
  const { hash, policies } = compiled.value;
  const [shelf, finals] = [new ToolShelf(tools), new PolicyIndex(policies.filter(isFinal))];
  const findings = policies.flatMap((policy) => {
    const idle = idleness(policy, shelf, finals);
    return idle === undefined ? [] : [flawAt(policy.source, idle, { policy: policy.id })];
  });
  return { hash, policies: policies.length, flaws: [], findings, unpermitted: unpermitted(policies, tools) };
}

/** Why a policy can never apply to any of these tools. */
function idleness(policy: Policy, shelf: ToolShelf, finals: PolicyIndex): string | undefined {
  const servers = new Set(shelf.all.map(({ tool }) => tool.server));
  const resource = named(policy.json.resource)?.id;
  const unknown = [...(resource === undefined ? [] : [resource]), ...policy.looks.servers].find(
    (id) => !servers.has(id),
  );
  if (unknown !== undefined) return `names Server::"${unknown}", of which no reviewed tool is known`;
  const met = shelf.under(policy).filter(({ tool }) => takesTool(policy.json, tool));
  if (met.length === 0) return `takes in no reviewed tool${scopeOf(policy)}`;
  if (policy.effect === 'forbid') return undefined;
  const forbidden = met.map(({ tool }) => finals.meeting(tool)[0]);
  const [first] = forbidden;
  return first !== undefined && forbidden.every((final) => final !== undefined)
    ? `permits what "${first.id}" forbids without condition`
    : undefined;
}

const scopeOf = ({ json }: Policy): string => {
  const actions = actionsOf(json);
  return actions === undefined ? '' : `: ${actions.map((id) => `Action::"${id}"`).join(', ')}`;
};

/** A forbid without condition that nobody lifts. */
const isFinal = ({ effect, json, demand }: Policy): boolean =>
  effect === 'forbid' && json.principal.op === 'All' && json.conditions.length === 0 && demand === undefined;

function unpermitted(policies: readonly Policy[], tools: readonly PolicyTool[]): readonly string[] {
  const permits = new PolicyIndex(policies.filter(({ effect }) => effect === 'permit'));
  return tools.filter((tool) => permits.meeting(tool).length === 0).map(actionOf);
}
