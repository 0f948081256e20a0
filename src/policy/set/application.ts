import { err, ok, type Result } from '../../base/index.js';
import { isObject, type Json, type JsonObject } from '../../protocol/index.js';
import { type Annotated, readAnnotations } from './annotations.js';
import {
  type CedarValue,
  type EntityJson,
  evaluateBySchema,
  parsePolicy,
  parseSchema,
  type PolicyJson,
  type SchemaJson,
  type TypeAndId,
  validateEntities,
  validatePolicies,
} from './engine.js';
import { readEntities } from './entities.js';
import { flawAt, type PolicyFile, type PolicyFlaw, type PolicyText } from './flaw.js';
import { splitFiles } from './source.js';
import { unique } from './verdict.js';

/** The files of one application: `todo.cedarschema` with `todo.cedar` and perhaps `todo.entities.json`. */
export type ApplicationFiles = Readonly<{
  schema: PolicyFile;
  policies: PolicyFile | undefined;
  entities: PolicyFile | undefined;
}>;

/** A question about entities that are not ours, as AuthZEN puts it. */
export type EntityQuestion = Readonly<{
  subject: AskedEntity;
  action: string;
  resource: AskedEntity;
  context: JsonObject;
}>;
export type AskedEntity = Readonly<{ type: string; id: string; properties: JsonObject }>;

/**
 * `unknown`: no schema has this action between these types. `unreadable`: the question does not fit the schema.
 * `undescribed`: a policy asks something of an entity that the set, which alone knows those of its type, does not know.
 */
export type EntityVerdict = Readonly<{
  verdict: 'allow' | 'deny' | 'unknown' | 'undescribed' | 'unreadable' | 'broken';
  policies: readonly string[];
  messages: readonly string[];
}>;

const MAX_SCHEMA = 262_144;
const MAX_BRACKETS = 20;

type Parts = Readonly<{
  schema: SchemaJson<string>;
  policies: ReadonlyMap<string, AppPolicy>;
  entities: readonly EntityJson[];
}>;
type AppPolicy = Annotated & Readonly<{ json: PolicyJson; source: PolicyText }>;

/** Policies over entities of somebody else, with the schema that says what those are. Pure: it decides on what it is given. */
export class Application {
  readonly #parts: Parts;
  readonly #json: Readonly<Record<string, PolicyJson>>;
  readonly #described: ReadonlySet<string>;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#json = Object.fromEntries([...parts.policies].map(([id, { json }]) => [id, json]));
    this.#described = new Set(parts.entities.flatMap(({ uid }) => ('type' in uid ? uid.type : [])));
  }

  decide({ subject, action, resource, context }: EntityQuestion): EntityVerdict {
    const found = this.#action(action, subject.type, resource.type);
    if (found === undefined) return verdict('unknown');
    const asked = [subject, resource].map((entity) => this.#entity(entity));
    const seen = valuesOf(context, this.#attributes(found.context));
    const entities = asked.filter((entity) => entity !== undefined);
    if (seen === undefined || entities.length < asked.length) return verdict('unreadable');
    const [principal, target] = [uidOf(subject), uidOf(resource)];
    const described = entities.filter(({ uid }) => !this.#describes(uid));
    const all = [...this.#parts.entities, ...described].filter(isFirst);
    const { schema } = this.#parts;
    const answer = evaluateBySchema(
      { principal, action: found.uid, resource: target, context: seen, entities: all },
      { schema, policies: this.#json },
    );
    if (answer.kind !== 'broken') return this.#told(answer.kind, answer.policies);
    if (answer.errors.every(({ kind }) => kind === 'engine_refused')) return verdict('unreadable');
    return verdict(this.#knows([principal, target]) ? 'broken' : 'undescribed');
  }

  #told(kind: 'allow' | 'deny', policies: readonly string[]): EntityVerdict {
    const messages = unique(policies.flatMap((id) => this.#parts.policies.get(id)?.reason ?? []));
    return { verdict: kind, policies, messages };
  }

  /** Whether each of these is in the set, or of a type that the set leaves to the request. */
  #knows(asked: readonly TypeAndId[]): boolean {
    const known = this.#parts.entities.map(({ uid }) => JSON.stringify(uid));
    return asked.every((uid) => !this.#describes(uid) || known.includes(JSON.stringify(uid)));
  }

  #describes(uid: EntityJson['uid']): boolean {
    return 'type' in uid && this.#described.has(uid.type);
  }

  /** An entity with what the request says of it. A type that the set itself describes is known by the set alone. */
  #entity({ type, id, properties }: AskedEntity): EntityJson | undefined {
    const [namespace, name] = splitName(type);
    const declared = this.#parts.schema[namespace]?.entityTypes[name];
    const shape = declared !== undefined && 'shape' in declared ? declared.shape : undefined;
    const attrs = this.#described.has(type) ? {} : valuesOf(properties, this.#attributes(shape));
    return attrs && { uid: { type, id }, attrs, parents: [] };
  }

  #action(name: string, principal: string, resource: string): Found | undefined {
    for (const [namespace, { actions }] of Object.entries(this.#parts.schema)) {
      const applies = Object.hasOwn(actions, name) ? actions[name]?.appliesTo : undefined;
      if (applies?.principalTypes.includes(principal) !== true || !applies.resourceTypes.includes(resource)) continue;
      const type = namespace === '' ? 'Action' : `${namespace}::Action`;
      return { uid: { type, id: name }, context: applies.context };
    }
    return undefined;
  }

  /** The names that a record type declares; what a request has beside them is ignored. */
  #attributes(type: unknown, depth = 0): ReadonlySet<string> {
    if (!isRecord(type) || depth > MAX_BRACKETS) return new Set();
    if (isRecord(type['attributes'])) return new Set(Object.keys(type['attributes']));
    const named = typeof type['name'] === 'string' ? type['name'] : type['type'];
    if (typeof named !== 'string') return new Set();
    const [namespace, name] = splitName(named);
    return this.#attributes(this.#parts.schema[namespace]?.commonTypes?.[name], depth + 1);
  }
}

type Found = Readonly<{ uid: TypeAndId; context: unknown }>;

const verdict = (kind: EntityVerdict['verdict']): EntityVerdict => ({ verdict: kind, policies: [], messages: [] });
const uidOf = ({ type, id }: AskedEntity): TypeAndId => ({ type, id });
const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null;

/** Subject and resource may be one entity. */
const isFirst = (entity: EntityJson, at: number, all: readonly EntityJson[]): boolean =>
  all.findIndex(({ uid }) => JSON.stringify(uid) === JSON.stringify(entity.uid)) === at;

function splitName(name: string): readonly [namespace: string, name: string] {
  const at = name.lastIndexOf('::');
  return at < 0 ? ['', name] : [name.slice(0, at), name.slice(at + 2)];
}

/** Declared members as the engine reads them; `undefined` where one would say something else to it than to its sender. */
function valuesOf(given: JsonObject, declared: ReadonlySet<string>): Record<string, CedarValue> | undefined {
  const values: Record<string, CedarValue> = {};
  for (const [name, value] of Object.entries(given)) {
    if (!declared.has(name) || value === null) continue;
    const read = valueOf(value);
    if (read === undefined) return undefined;
    values[name] = read;
  }
  return values;
}

/** Keys of Cedar's own that turn a record into an entity or an extension value. */
const ESCAPES = new Set(['__entity', '__extn', '__expr']);

function valueOf(value: Json): CedarValue | undefined {
  if (value === null) return undefined;
  if (typeof value === 'number') return Number.isSafeInteger(value) ? value : undefined;
  if (isList(value)) {
    const items = value.map(valueOf);
    return items.every((item) => item !== undefined) ? items : undefined;
  }
  if (!isObject(value)) return value;
  if (Object.keys(value).some((key) => ESCAPES.has(key))) return undefined;
  return valuesOf(value, new Set(Object.keys(value)));
}

const isList = (value: Json): value is readonly Json[] => Array.isArray(value);

/** One application, read and validated whole; else every flaw. */
export function compileApplication(files: ApplicationFiles): Result<Application, readonly PolicyFlaw[]> {
  const whole = (file: PolicyFile): PolicyText => ({ file, start: 0, text: file.text });
  const at = whole(files.schema);
  if (files.schema.text.length > MAX_SCHEMA || isTangled(files.schema.text))
    return err([flawAt(at, 'is too large, or nests too deep')]);
  const schema = parseSchema(files.schema.text);
  if (!schema.ok) return err(schema.error.map(({ problem, offset }) => flawAt(at, problem, { offset })));
  const policies = readPolicies(files.policies);
  if (!policies.ok) return policies;
  const texts = Object.fromEntries([...policies.value].map(([id, { source }]) => [id, source.text]));
  const valid = validatePolicies(texts, schema.value);
  if (!valid.ok)
    return err(
      valid.error.map(({ policy, problem, offset }) =>
        flawAt(policies.value.get(policy ?? '')?.source ?? at, problem, { policy, offset }),
      ),
    );
  const entities = readEntities(files.entities?.text ?? '[]');
  const checked = entities && validateEntities(entities, schema.value);
  if (files.entities !== undefined && checked?.ok !== true) {
    const problem = checked?.error[0]?.problem ?? 'is not a list of entities with uid, attrs and parents';
    return err([flawAt(whole(files.entities), problem)]);
  }
  return ok(new Application({ schema: schema.value, policies: policies.value, entities: entities ?? [] }));
}

function readPolicies(file: PolicyFile | undefined): Result<ReadonlyMap<string, AppPolicy>, readonly PolicyFlaw[]> {
  const texts = splitFiles(file === undefined ? [] : [file]);
  if (!texts.ok) return texts;
  const policies = new Map<string, AppPolicy>();
  for (const source of texts.value) {
    const json = parsePolicy(source.text);
    if (!json.ok) return err(json.error.map(({ problem, offset }) => flawAt(source, problem, { offset })));
    const annotated = readAnnotations(json.value);
    if (!annotated.ok) return err([flawAt(source, annotated.error)]);
    const { id, demand } = annotated.value;
    if (demand !== undefined) return err([flawAt(source, 'has @requires, which goes with tools only', { policy: id })]);
    if (policies.has(id)) return err([flawAt(source, 'has the @id of another policy', { policy: id })]);
    policies.set(id, { ...annotated.value, json: json.value, source });
  }
  return ok(policies);
}

function isTangled(text: string): boolean {
  let depth = 0;
  for (const symbol of text) {
    if ('<{[('.includes(symbol)) depth++;
    else if ('>}])'.includes(symbol)) depth--;
    if (depth > MAX_BRACKETS) return true;
  }
  return !text.isWellFormed();
}
