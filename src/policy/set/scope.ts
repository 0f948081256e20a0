import type { PolicyJson, TypeAndId } from './engine.js';
import { actionOf, groupsOf, type PolicyTool } from './tool.js';

/** Whether a policy's scope takes this tool in, for some principal. */
export const takesTool = (policy: PolicyJson, tool: PolicyTool): boolean =>
  takesAction(policy.action, tool) && takesEntity(policy.resource, { type: 'Server', id: tool.server });

/** Whether a policy's scope takes this principal in. */
export const takesPrincipal = (policy: PolicyJson, principal: TypeAndId): boolean =>
  takesEntity(policy.principal, principal);

/** The actions that a scope names, tools and groups alike; `undefined` for one that takes all. */
export function actionsOf({ action }: PolicyJson): readonly string[] | undefined {
  if (action.op === 'All') return undefined;
  if ('entities' in action) return action.entities.map((entity) => uid(entity).id);
  return 'entity' in action ? [uid(action.entity).id] : [];
}

/** The one principal or resource that a scope names, if it names one. */
export function named(scope: PolicyJson['principal' | 'resource']): TypeAndId | undefined {
  const inner = scope.op === 'is' ? scope.in : scope;
  return inner !== undefined && 'entity' in inner ? uid(inner.entity) : undefined;
}

function takesAction(action: PolicyJson['action'], tool: PolicyTool): boolean {
  const takes = (id: string): boolean => id === actionOf(tool) || (action.op === 'in' && groupsOf(tool).includes(id));
  if (action.op === 'All') return true;
  if ('entities' in action) return action.entities.some((entity) => takes(uid(entity).id));
  return 'entity' in action && takes(uid(action.entity).id);
}

/** No entity of ours has parents, so `in` is the entity itself. */
function takesEntity(scope: PolicyJson['principal' | 'resource'], { type, id }: TypeAndId): boolean {
  if (scope.op === 'All') return true;
  if (scope.op === 'is' && scope.entity_type !== type) return false;
  const one = named(scope);
  return one === undefined ? scope.op === 'is' && scope.in === undefined : one.type === type && one.id === id;
}

const uid = (entity: { __entity: TypeAndId } | TypeAndId): TypeAndId =>
  '__entity' in entity ? entity.__entity : entity;
