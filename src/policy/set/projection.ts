import { err, ok, type Result } from '../../base/index.js';
import { isObject, type Json, type JsonObject } from '../../protocol/index.js';
import { type ArgumentType, RESERVED, type RecordType } from './argument-type.js';
import type { CedarValue } from './engine.js';
import { EVERYTHING, type Mentions } from './mentions.js';

/** Why arguments cannot be decided on: the path of the argument, never its value. */
export type ArgumentFlaw = Readonly<{
  path: string;
  problem: 'missing' | 'wrong_type' | 'out_of_range' | 'undeclared' | 'reserved_name';
}>;
type Projected<T> = Result<T, ArgumentFlaw>;

/**
 * The arguments of a call as policies see them: of the reviewed types, and of them what the policies mention. Everything
 * is checked, mentioned or not; only that a number fits a decimal is asked of those alone that a policy reads.
 */
export function projectArguments(
  values: JsonObject,
  type: RecordType,
  mentioned: Mentions | undefined,
): Projected<CedarValue> {
  const reserved = reservedIn(values, 'arguments');
  return reserved === undefined ? project(values, type, { path: 'arguments', mentioned }) : err(reserved);
}

type At = Readonly<{ path: string; mentioned: Mentions | undefined }>;

function project(value: Json, type: ArgumentType, at: At): Projected<CedarValue> {
  switch (type.kind) {
    case 'Record':
      return isObject(value) ? record(value, type, at) : wrong(at);
    case 'Set':
      return Array.isArray(value) ? set(value, type.element, at) : wrong(at);
    case 'Long':
      return typeof value === 'number' && Number.isInteger(value) ? long(value, at) : wrong(at);
    case 'decimal':
      return typeof value === 'number' ? decimal(value, at) : wrong(at);
    case 'Boolean':
      return typeof value === 'boolean' ? ok(value) : wrong(at);
    case 'String':
      return typeof value === 'string' && type.values?.has(value) !== false ? ok(value) : wrong(at);
  }
}

function record(value: JsonObject, { members, closed }: RecordType, { path, mentioned }: At): Projected<CedarValue> {
  const kept: [string, CedarValue][] = [];
  for (const [name, { type, required }] of members) {
    const inner = { path: `${path}.${name}`, mentioned: within(mentioned, name) };
    const held = Object.hasOwn(value, name) ? value[name] : undefined;
    if (held === undefined || held === null) {
      if (required) return err({ path: inner.path, problem: 'missing' });
      continue;
    }
    const projected = project(held, type, inner);
    if (!projected.ok) return projected;
    if (inner.mentioned !== undefined) kept.push([name, projected.value]);
  }
  const hasMore = closed && Object.keys(value).some((name) => !members.has(name));
  return hasMore ? err({ path, problem: 'undeclared' }) : ok(Object.fromEntries(kept));
}

const within = (mentioned: Mentions | undefined, name: string): Mentions | undefined =>
  mentioned?.whole === true ? EVERYTHING : mentioned?.members.get(name);

function set(values: readonly Json[], element: ArgumentType, at: At): Projected<CedarValue> {
  const elements: CedarValue[] = [];
  for (const [index, value] of values.entries()) {
    const projected = project(value, element, { ...at, path: `${at.path}[${String(index)}]` });
    if (!projected.ok) return projected;
    elements.push(projected.value);
  }
  return ok(elements);
}

function long(value: number, { path }: At): Projected<CedarValue> {
  return Number.isSafeInteger(value) ? ok(value === 0 ? 0 : value) : err({ path, problem: 'out_of_range' });
}

/** What Cedar's decimal and a double both hold exactly to four places; what does not fit is refused, never rounded. */
const MAX_FRACTION = Number.MAX_SAFE_INTEGER / 10_000;
const MAX_WHOLE = 922_337_203_685_477;

function decimal(value: number, { path, mentioned }: At): Projected<CedarValue> {
  if (mentioned?.whole !== true) return ok(true);
  const text = Number.isInteger(value) ? `${String(value)}.0` : String(value);
  const fits = Math.abs(value) <= (Number.isInteger(value) ? MAX_WHOLE : MAX_FRACTION);
  if (!fits || !/^-?\d+\.\d{1,4}$/.test(text)) return err({ path, problem: 'out_of_range' });
  return ok({ __extn: { fn: 'decimal', arg: text } });
}

const wrong = ({ path }: At): Projected<CedarValue> => err({ path, problem: 'wrong_type' });

/** INVARIANT: no name that Cedar's JSON gives a meaning reaches the engine, declared or not, at any depth. */
function reservedIn(value: Json, path: string): ArgumentFlaw | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const isList = Array.isArray(value);
  for (const [name, inner] of Object.entries(value)) {
    if (!isList && RESERVED.has(name)) return { path, problem: 'reserved_name' };
    const found = reservedIn(inner, path);
    if (found !== undefined) return found;
  }
  return undefined;
}
