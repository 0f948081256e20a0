import { isObject, type Json } from '../../protocol/index.js';

/** Which parts of a record are looked at. `whole`: its value is read, not only whether it is there. */
export type Mentions = Readonly<{ whole: boolean; members: ReadonlyMap<string, Mentions> }>;

export const NOTHING: Mentions = { whole: false, members: new Map() };
export const EVERYTHING: Mentions = { whole: true, members: new Map() };

/** What the conditions of a policy look at. */
export type Looks = Readonly<{
  context: Mentions;
  principal: boolean;
  action: boolean;
  resource: boolean;
  /** The tags that they ask for by name; `anyTag`: others too, by a value. */
  tags: readonly string[];
  anyTag: boolean;
  /** Actions that the conditions name. */
  actions: readonly string[];
  servers: readonly string[];
  /** What is written in a way that we would not read as the engine does. */
  flaw: string | undefined;
}>;

/** Reads the conditions of a policy in Cedar's JSON form. */
export function looksOf(conditions: Json): Looks {
  const reader = new Reader();
  for (const condition of listOf(conditions)) reader.read(member(condition, 'body'), 0);
  return { context: reader.context, ...reader.seen, flaw: reader.flaw };
}

/** A path of attributes from one of Cedar's variables: `context.arguments.amount`. */
export type Path = Readonly<{ variable: string; attributes: readonly string[] }>;

/** The path that an expression is, `has` included, or nothing. */
export function pathOf(expression: Json | undefined): Path | undefined {
  const [operator, body] = nodeOf(expression);
  if (operator === 'Var') return typeof body === 'string' ? { variable: body, attributes: [] } : undefined;
  if (operator !== '.' && operator !== 'has') return undefined;
  const left = pathOf(member(body, 'left'));
  return left && { ...left, attributes: [...left.attributes, ...names(member(body, 'attr'))] };
}

/** An expression's operator and what it stands over. */
export function nodeOf(expression: Json | undefined): readonly [string, Json | undefined] {
  const [entry] = isObject(expression) ? Object.entries(expression) : [];
  return entry ?? ['', undefined];
}

export const member = (value: Json | undefined, name: string): Json | undefined =>
  isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;

/** A JSON array, or an empty one. */
export const listOf = (value: Json | undefined): readonly Json[] => (isList(value) ? value : []);
export const isList = (value: Json | undefined): value is readonly Json[] => Array.isArray(value);

/** Both of two. */
export function together(one: Mentions, other: Mentions): Mentions {
  const members = new Map(one.members);
  for (const [name, mentions] of other.members) members.set(name, together(members.get(name) ?? NOTHING, mentions));
  return { whole: one.whole || other.whole, members };
}

const names = (attribute: Json | undefined): readonly string[] =>
  (isList(attribute) ? attribute : [attribute]).filter((name) => typeof name === 'string');

/** Deeper expressions could overflow the engine's stack, which would leave it unusable. */
const MAX_DEPTH = 64;

class Reader {
  context: Mentions = NOTHING;
  flaw: string | undefined;
  readonly seen = {
    principal: false,
    action: false,
    resource: false,
    anyTag: false,
    tags: new Array<string>(),
    actions: new Array<string>(),
    servers: new Array<string>(),
  };

  read(expression: Json | undefined, depth: number): void {
    const [operator, body] = nodeOf(expression);
    if (depth > MAX_DEPTH) this.flaw ??= 'nests too deep';
    else if (operator === 'Value') this.#literal(body);
    else if (!this.#path(expression, operator)) this.#inside(operator, body, depth);
  }

  #path(expression: Json | undefined, operator: string): boolean {
    const path = pathOf(expression);
    if (path === undefined) return false;
    if (path.variable === 'context' && path.attributes.length === 0) this.flaw ??= 'looks at context as a whole';
    if (path.variable === 'context') this.context = together(this.context, nested(path.attributes, operator !== 'has'));
    if (path.variable === 'principal') this.seen.principal = true;
    if (path.variable === 'action') this.seen.action = true;
    if (path.variable === 'resource') this.seen.resource = true;
    return true;
  }

  #inside(operator: string, body: Json | undefined, depth: number): void {
    // The entities beside the request's own are not given to the engine, so nothing may be asked of them.
    if (OF_ENTITIES.has(operator) && nodeOf(member(body, 'left'))[0] === 'Value') {
      this.flaw ??= `asks something of an entity that it names; ask it of principal, action, resource or context`;
    }
    if (operator === 'hasTag' || operator === 'getTag') this.#tag(member(body, 'right'));
    for (const [name, child] of isObject(body) ? Object.entries(body) : [['', body] as const]) {
      if (operator !== 'Record' && NOT_EXPRESSIONS.has(name)) continue;
      for (const expression of isList(child) ? child : [child]) this.read(expression, depth + 1);
    }
  }

  #tag(expression: Json | undefined): void {
    const [operator, value] = nodeOf(expression);
    if (operator === 'Value' && typeof value === 'string') this.seen.tags.push(value);
    else this.seen.anyTag = true;
  }

  /** JSON cannot hold a larger integer, so the engine would compare with another one than the author wrote. */
  #literal(value: Json | undefined): void {
    if (typeof value === 'number' && !Number.isSafeInteger(value)) this.flaw ??= 'has a number beyond 2^53';
    for (const element of listOf(value)) this.#literal(element);
    const entity = member(value, '__entity');
    const [type, id] = [member(entity, 'type'), member(entity, 'id')];
    if (id === '') this.flaw ??= UNMET;
    if (type === 'Action' && typeof id === 'string') this.seen.actions.push(id);
    if (type === 'Server' && typeof id === 'string') this.seen.servers.push(id);
  }
}

/** A person whom we have never met has the empty id: a policy that names it would speak of all of them. */
export const UNMET = 'names an entity without an id, which nobody has';

const NOT_EXPRESSIONS = new Set(['pattern', 'attr', 'entity_type']);
const OF_ENTITIES = new Set(['.', 'has', 'in', 'is', 'hasTag', 'getTag']);

const nested = (attributes: readonly string[], whole: boolean): Mentions =>
  attributes.reduceRight<Mentions>((inner, name) => ({ whole: false, members: new Map([[name, inner]]) }), {
    whole,
    members: new Map(),
  });
