import type { Json } from '../../protocol/index.js';
import type { ArgumentType } from './argument-type.js';
import { flawAt, type PolicyFlaw } from './flaw.js';
import { listOf, member, type Mentions, nodeOf, pathOf } from './mentions.js';
import type { Policy } from './policy.js';
import type { ShelvedTool, ToolShelf } from './schema.js';
import { named, takesTool } from './scope.js';

/**
 * A forbid on an argument says nothing about a call without it. So a policy may name only what is certain to be there:
 * what the schema requires, and what some policy forbids to be absent.
 */
export function findAbsences(policies: readonly Policy[], tools: ToolShelf): readonly PolicyFlaw[] {
  const guards = policies
    .map((policy) => ({ policy, paths: guardedBy(policy) }))
    .filter(({ paths }) => paths.length > 0);
  return policies.flatMap((policy) => {
    const mentioned = policy.looks.context.members.get('arguments');
    if (mentioned === undefined) return [];
    const own = neededBy(policy);
    for (const shelved of tools.under(policy)) {
      if (!takesTool(policy.json, shelved.tool)) continue;
      const theirs = guards.filter((guard) => takesTool(guard.policy.json, shelved.tool)).flatMap(({ paths }) => paths);
      const here = [...own, ...theirs];
      const open = unsure(mentioned, shelved).find((path) => !here.some((guarded) => startsWith(guarded, path)));
      if (open !== undefined) return [flawAt(policy.source, sentence(open, shelved), { policy: policy.id })];
    }
    return [];
  });
}

const sentence = (path: readonly string[], { tool }: ShelvedTool): string =>
  `names context.${path.join('.')}, which a call of ${tool.name} can lack, and no policy forbids its absence: add a forbid unless { context has ${path.join('.')} }`;

type PathNames = readonly string[];

/** The mentioned arguments that a call may lack, `arguments` itself first. */
function unsure(mentioned: Mentions, { type }: ShelvedTool): readonly PathNames[] {
  return [['arguments'], ...optionalIn(mentioned, type, ['arguments'])];
}

function optionalIn(mentioned: Mentions, type: ArgumentType, path: PathNames): readonly PathNames[] {
  if (type.kind !== 'Record') return [];
  return [...mentioned.members].flatMap(([name, inner]) => {
    const found = type.members.get(name);
    const here = [...path, name];
    return found === undefined ? [] : [...(found.required ? [] : [here]), ...optionalIn(inner, found.type, here)];
  });
}

/** Paths without which this policy forbids the call: terms of `unless { a && b }`, negated terms of `when { !a || !b }`. */
function guardedBy({ effect, json, conditions, demand }: Policy): readonly PathNames[] {
  const [condition, ...more] = listOf(conditions);
  if (effect !== 'forbid' || more.length > 0 || condition === undefined) return [];
  if (named(json.principal) !== undefined) return [];
  // A human's grant would lift the guard, and what it guards against with it.
  if (demand !== undefined && demand.requires !== 'exact_call') return [];
  const body = member(condition, 'body');
  if (member(condition, 'kind') === 'unless') return terms(body, '&&').flatMap(presence);
  return terms(body, '||').flatMap((term) => {
    const [operator, inner] = nodeOf(term);
    return operator === '!' ? terms(member(inner, 'arg'), '&&').flatMap(presence) : [];
  });
}

/** Paths without which this permit does not apply: terms of its `when { a && b }`. */
function neededBy({ effect, conditions }: Policy): readonly PathNames[] {
  const clauses = effect === 'permit' ? listOf(conditions) : [];
  return clauses
    .filter((clause) => member(clause, 'kind') === 'when')
    .flatMap((clause) => terms(member(clause, 'body'), '&&').flatMap(presence));
}

function terms(expression: Json | undefined, operator: '&&' | '||'): readonly (Json | undefined)[] {
  const [found, body] = nodeOf(expression);
  return found === operator
    ? [...terms(member(body, 'left'), operator), ...terms(member(body, 'right'), operator)]
    : [expression];
}

function presence(term: Json | undefined): readonly PathNames[] {
  const path = nodeOf(term)[0] === 'has' ? pathOf(term) : undefined;
  return path?.variable === 'context' && path.attributes[0] === 'arguments' ? [path.attributes] : [];
}

const startsWith = (path: PathNames, start: PathNames): boolean => start.every((name, index) => path[index] === name);
