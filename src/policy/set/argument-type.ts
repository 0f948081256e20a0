import { isObject, type Json, type JsonObject } from '../../protocol/index.js';
import type { CedarType } from './engine.js';
import { isList, member } from './mentions.js';

/** What policies see of a value that a reviewed JSON Schema describes. */
export type ArgumentType =
  | Readonly<{ kind: 'Long' | 'decimal' | 'Boolean' }>
  | Readonly<{ kind: 'String'; values: ReadonlySet<string> | undefined }>
  | Readonly<{ kind: 'Set'; element: ArgumentType }>
  | RecordType;
export type RecordType = Readonly<{ kind: 'Record'; members: ReadonlyMap<string, Member>; closed: boolean }>;
type Member = Readonly<{ type: ArgumentType; required: boolean }>;

/** Names by which Cedar's JSON says what a value is; as names of arguments they could make text an entity. */
export const RESERVED: ReadonlySet<string> = new Set(['__entity', '__extn', '__expr']);

/** What policies see of a tool's arguments. Forms that have no type in Cedar (unions, cycles) are left out. */
export function argumentsType(schema: JsonObject | undefined): RecordType {
  const seen = schema === undefined ? undefined : new SchemaReader(schema).typeOf(schema, []);
  return seen?.type.kind === 'Record' ? seen.type : { kind: 'Record', members: new Map(), closed: false };
}

/** The same for the engine's validator. */
export function cedarType(type: ArgumentType): CedarType<string> {
  switch (type.kind) {
    case 'Set':
      return { type: 'Set', element: cedarType(type.element) };
    case 'Record':
      return {
        type: 'Record',
        attributes: Object.fromEntries(
          [...type.members].map(([name, one]) => [name, { ...cedarType(one.type), required: one.required }]),
        ),
      };
    case 'decimal':
      return { type: 'Extension', name: 'decimal' };
    case 'Long':
    case 'String':
    case 'Boolean':
      return { type: type.kind };
  }
}

type Seen = Readonly<{ type: ArgumentType; nullable: boolean }>;

/** Deeper values are not visible to policies. */
const MAX_DEPTH = 8;

class SchemaReader {
  readonly #root: JsonObject;

  constructor(root: JsonObject) {
    this.#root = root;
  }

  typeOf(schema: Json | undefined, above: readonly Json[]): Seen | undefined {
    if (!isObject(schema) || above.length > MAX_DEPTH || above.includes(schema)) return undefined;
    const inside = [...above, schema];
    const { $ref } = schema;
    if (typeof $ref === 'string') return this.typeOf(this.#pointed($ref), inside);
    const { names, nullable } = typeNames(schema);
    const [name] = names;
    if (names.length === 1 && name !== undefined) return seen(this.#named(name, schema, inside), nullable);
    return names.length === 0 ? this.#oneOrNull(schema, inside) : undefined;
  }

  #named(name: string, schema: JsonObject, above: readonly Json[]): ArgumentType | undefined {
    switch (name) {
      case 'integer':
        return { kind: 'Long' };
      case 'number':
        return { kind: 'decimal' };
      case 'boolean':
        return { kind: 'Boolean' };
      case 'string':
        return { kind: 'String', values: strings(schema['enum']) };
      case 'array':
        return this.#set(schema, above);
      case 'object':
        return this.#record(schema, above);
      default:
        return undefined;
    }
  }

  #set(schema: JsonObject, above: readonly Json[]): ArgumentType | undefined {
    const element = 'prefixItems' in schema ? undefined : this.typeOf(schema['items'], above);
    return element === undefined || element.nullable ? undefined : { kind: 'Set', element: element.type };
  }

  #record(schema: JsonObject, above: readonly Json[]): ArgumentType {
    const required = strings(schema['required']);
    const properties = isObject(schema['properties']) ? Object.entries(schema['properties']) : [];
    const members = new Map<string, Member>();
    for (const [name, property] of properties) {
      const found = RESERVED.has(name) ? undefined : this.typeOf(property, above);
      if (found === undefined) continue;
      members.set(name, { type: found.type, required: required?.has(name) === true && !found.nullable });
    }
    // A closed record would refuse the properties that policies cannot see.
    const closed =
      schema['additionalProperties'] === false &&
      members.size === properties.length &&
      !('patternProperties' in schema);
    return { kind: 'Record', members, closed };
  }

  /** `anyOf` of one type and null is that type, optional; every other union has no type in Cedar. */
  #oneOrNull(schema: JsonObject, above: readonly Json[]): Seen | undefined {
    const branches = schema['anyOf'] ?? schema['oneOf'];
    if (!isList(branches)) return seen(literalType(schema), false);
    const rest = branches.filter((branch) => member(branch, 'type') !== 'null');
    const found = rest.length === 1 ? this.typeOf(rest[0], above) : undefined;
    return found && { ...found, nullable: found.nullable || rest.length < branches.length };
  }

  #pointed(reference: string): Json | undefined {
    if (!reference.startsWith('#')) return undefined;
    const steps = reference.slice(1).split('/').slice(1);
    return steps.reduce<Json | undefined>(
      (at, step) => member(at, step.replaceAll('~1', '/').replaceAll('~0', '~')),
      this.#root,
    );
  }
}

const seen = (type: ArgumentType | undefined, nullable: boolean): Seen | undefined => type && { type, nullable };

function typeNames({ type }: JsonObject): Readonly<{ names: readonly string[]; nullable: boolean }> {
  const all = [...(strings(isList(type) ? type : [type ?? null]) ?? [])];
  return { names: all.filter((name) => name !== 'null'), nullable: all.includes('null') };
}

/** A schema of `enum` or `const` alone. */
function literalType(schema: JsonObject): ArgumentType | undefined {
  const literals = 'const' in schema ? [schema['const'] ?? null] : schema['enum'];
  const values = strings(literals);
  return values !== undefined && values.size > 0 ? { kind: 'String', values } : undefined;
}

/** A list of nothing but strings. */
function strings(list: Json | undefined): ReadonlySet<string> | undefined {
  if (!isList(list)) return undefined;
  const all = list.filter((one) => typeof one === 'string');
  return all.length === list.length ? new Set(all) : undefined;
}
