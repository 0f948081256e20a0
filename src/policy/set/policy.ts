import { err, ok, type Result } from '../../base/index.js';
import { copyJson, type Json } from '../../protocol/index.js';
import { type Demand, readAnnotations } from './annotations.js';
import { parsePolicy, type PolicyJson } from './engine.js';
import { flawAt, type PolicyFlaw, type PolicyText } from './flaw.js';
import { type Looks, looksOf, UNMET } from './mentions.js';
import { named } from './scope.js';

/** One policy, read and understood. */
export type Policy = Readonly<{
  id: string;
  effect: 'permit' | 'forbid';
  source: PolicyText;
  json: PolicyJson;
  /** The same without its scope and annotations: for slices, in which every policy's scope holds. */
  open: PolicyJson;
  conditions: Json;
  looks: Looks;
  reason: string | undefined;
  demand: Demand | undefined;
}>;

export function readPolicy(source: PolicyText): Result<Policy, readonly PolicyFlaw[]> {
  const parsed = parsePolicy(source.text);
  if (!parsed.ok) return err(parsed.error.map(({ problem, offset }) => flawAt(source, problem, { offset })));
  const json = parsed.value;
  const annotated = readAnnotations(json);
  if (!annotated.ok) return err([flawAt(source, annotated.error, { policy: json.annotations?.['id'] })]);
  const { id, reason, demand } = annotated.value;
  const conditions = copyJson(json.conditions);
  const looks = looksOf(conditions);
  const flaw = looks.flaw ?? (namesNobody(json) ? UNMET : unsatisfiable(demand, looks));
  if (flaw !== undefined) return err([flawAt(source, flaw, { policy: id })]);
  const open: PolicyJson = { ...json, annotations: {}, principal: ANY, action: ANY, resource: ANY };
  return ok({ id, effect: json.effect, source, json, open, conditions, looks, reason, demand });
}

const namesNobody = ({ principal, resource }: PolicyJson): boolean =>
  [principal, resource].some((scope) => named(scope)?.id === '');

const ANY = { op: 'All' } as const;

/** A demand that the agent can meet must be one that its policy looks at, or meeting it would change nothing. */
function unsatisfiable(demand: Demand | undefined, { context }: Looks): string | undefined {
  const looksAt = (group: string): boolean => context.members.has(group);
  if (demand?.requires === 'exact_call' && !looksAt('arguments'))
    return 'has @requires("exact_call") but does not look at context.arguments, so an exact call would not lift it';
  if (demand?.requires === 'reauthentication' && !looksAt('authn'))
    return 'has @requires("reauthentication") but does not look at context.authn, so signing in again would not lift it';
  return undefined;
}
