import type { Json } from '../../protocol/index.js';
import type { ArgumentType } from './argument-type.js';
import { flawAt, type PolicyFlaw } from './flaw.js';
import { listOf, member, type Mentions, nodeOf, pathOf } from './mentions.js';
import type { Policy } from './policy.js';
import { PolicyIndex } from './policy-index.js';
import type { ShelvedTool, ToolShelf } from './schema.js';
import { named, takesTool } from './scope.js';

/**
 * A forbid on an argument says nothing about a call without it. So a policy may name only what is certain to be there:
 * what the schema requires, and what some policy forbids to be absent.
 */
export function findAbsences(policies: readonly Policy[], tools: ToolShelf): readonly PolicyFlaw[] {
  const guards = new Map(policies.map((policy) => [policy, ensuredBy(policy)]));
  const index = new PolicyIndex(policies.filter((policy) => guards.get(policy)?.length !== 0));
  return policies.flatMap((policy) => {
    const mentioned = policy.looks.context.members.get('arguments');
    if (mentioned === undefined) return [];
    const own = [...forbiddenWithout(policy), ...permittedWith(policy)];
    for (const shelved of tools.under(policy).filter(({ tool }) => takesTool(policy.json, tool))) {
      const theirs = index.meeting(shelved.tool).flatMap((guard) => guards.get(guard) ?? []);
      const open = unsure(mentioned, shelved).find(
        (path) => ![...own, ...theirs].some((sure) => startsWith(sure, path)),
      );
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

/** What a policy makes sure of for the others at its tools: not for one principal alone, and not until a human lifts it. */
const ensuredBy = (policy: Policy): readonly PathNames[] =>
  named(policy.json.principal) === undefined && (policy.demand?.requires ?? 'exact_call') === 'exact_call'
    ? forbiddenWithout(policy)
    : [];

/** Terms of a forbid's `unless { a && b }`, and negated terms of its `when { !a || !b }`. */
function forbiddenWithout({ effect, conditions }: Policy): readonly PathNames[] {
  const [condition, ...more] = listOf(conditions);
  if (effect !== 'forbid' || more.length > 0) return [];
  const body = member(condition, 'body');
  if (member(condition, 'kind') === 'unless') return terms(body, '&&').flatMap(presence);
  return terms(body, '||').flatMap((term) => {
    const [operator, inner] = nodeOf(term);
    return operator === '!' ? terms(member(inner, 'arg'), '&&').flatMap(presence) : [];
  });
}

/** Terms of a permit's `when { a && b }`: it permits nothing without them. */
function permittedWith({ effect, conditions }: Policy): readonly PathNames[] {
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
