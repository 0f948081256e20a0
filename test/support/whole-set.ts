import { isAuthorized } from '@cedar-policy/cedar-wasm/nodejs';
import type { DecisionInput, PolicyTool } from '../../src/policy/index.js';
import {
  agentEntity,
  agentId,
  contextOf,
  FACT_GROUPS,
  FACTS,
  personEntity,
  personId,
} from '../../src/policy/set/facts.js';
import { EVERYTHING } from '../../src/policy/set/mentions.js';
import { projectArguments } from '../../src/policy/set/projection.js';
import { ToolShelf } from '../../src/policy/set/schema.js';
import { actionOf, groupsOf } from '../../src/policy/set/tool.js';

/** What the whole set says as it is written, asked once for each principal with all facts and entities, by Cedar's plainest interface. */
export function wholeSet(
  policies: Readonly<Record<string, string>>,
  asked: DecisionInput,
  tools: readonly PolicyTool[],
): object {
  const tool = new ToolShelf(tools).at(actionOf(asked.tool));
  if (tool === undefined) throw new Error('no such tool');
  const projected = asked.arguments && projectArguments(asked.arguments, tool.type, EVERYTHING);
  const context = contextOf(FACTS, [...FACT_GROUPS], asked);
  if (projected?.ok === true) context['arguments'] = projected.value;
  const entities = [
    ...[personEntity(asked), agentEntity(asked)],
    ...tools.map((one) => ({
      uid: { type: 'Action', id: actionOf(one) },
      attrs: {},
      parents: groupsOf(one).map((id) => ({ type: 'Action', id })),
    })),
  ];
  const both = [personId(asked), agentId(asked)].map((principal) => {
    const answer = isAuthorized({
      principal,
      action: { type: 'Action', id: actionOf(asked.tool) },
      resource: { type: 'Server', id: asked.tool.server },
      context,
      entities,
      policies: { staticPolicies: policies },
    });
    if (answer.type !== 'success' || answer.response.diagnostics.errors.length > 0) return undefined;
    return { decision: answer.response.decision, policies: answer.response.diagnostics.reason };
  });
  const [person, agent] = both;
  if (person === undefined || agent === undefined) return { verdict: 'broken' };
  const denied = [person, agent].filter(({ decision }) => decision === 'deny');
  const ids = [...new Set((denied.length > 0 ? denied : [person, agent]).flatMap((one) => one.policies))].sort();
  if (denied.length === 0) return { verdict: 'allow', policies: ids };
  const missing = { reason: 'not_permitted', term: person.decision === 'deny' ? 'person' : 'agent' };
  return { verdict: 'deny', policies: ids, ...(ids.length > 0 ? { reason: 'forbidden', term: 'policy' } : missing) };
}
