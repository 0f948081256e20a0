import { Bounded } from './bounded.js';
import { Copies, type Copy } from './copy.js';
import {
  type CedarValue,
  type EngineError,
  type EntityJson,
  type PolicyJson,
  PreparedPolicies,
  type Question,
  type TypeAndId,
} from './engine.js';
import {
  agentEntity,
  agentId,
  contextOf,
  type DecisionInput,
  type Fact,
  FACT_GROUPS,
  factsIn,
  personEntity,
  personId,
} from './facts.js';
import { type Looks, type Mentions, NOTHING, together } from './mentions.js';
import type { Policy } from './policy.js';
import type { ShelvedTool } from './schema.js';
import { PolicyIndex } from './policy-index.js';
import { named, takesPrincipal } from './scope.js';
import { actionOf, groupsOf } from './tool.js';
import { unique } from './verdict.js';

/** What the policies say of one tool to the person and to the agent together. A forbid for either is a forbid. */
export type Answer =
  | Readonly<{ kind: 'allowed' | 'forbidden'; policies: readonly string[] }>
  | Readonly<{ kind: 'missing'; term: 'person' | 'agent' }>
  | Readonly<{ kind: 'broken'; errors: readonly EngineError[] }>;

/**
 * INVARIANT: a slice holds exactly the policies whose scope takes in this tool and this person or agent, so it decides what
 * the whole set would decide of both, without asking about scopes again. One evaluation answers for both: the engine names
 * every permit that holds, and each says for whom.
 */
export class Slice {
  readonly number: number;
  readonly arguments: Mentions | undefined;
  readonly looksAtSession: boolean;
  /** As the engine is given them. */
  readonly policies: Readonly<Record<string, PolicyJson>>;
  readonly #copies: ReadonlyMap<string, Copy>;
  readonly #prepared: PreparedPolicies;
  readonly #facts: readonly Fact[];
  readonly #groups: readonly string[];
  readonly #looks: Pick<Looks, 'context' | 'principal' | 'action' | 'resource'>;
  readonly #tags: ReadonlySet<string> | undefined;

  constructor(number: number, copies: readonly Copy[]) {
    this.number = number;
    this.#copies = new Map(copies.map((copy, at) => [String(at), copy]));
    this.policies = Object.fromEntries([...this.#copies].map(([id, { json }]) => [id, json]));
    this.#prepared = new PreparedPolicies(this.policies);
    const looks = copies.map((copy) => copy.looks);
    const context = looks.reduce((all, one) => together(all, one.context), NOTHING);
    this.#looks = {
      context,
      principal: looks.some(({ principal }) => principal),
      action: looks.some(({ action }) => action),
      resource: looks.some(({ resource }) => resource),
    };
    this.#tags = looks.some(({ anyTag }) => anyTag) ? undefined : new Set(looks.flatMap(({ tags }) => tags));
    this.#facts = factsIn(context);
    this.#groups = [...FACT_GROUPS].filter((group) => context.members.has(group));
    this.arguments = context.members.get('arguments');
    this.looksAtSession = context.members.has('session');
  }

  answer(question: Question): Answer {
    const said = this.#prepared.evaluate(question);
    if (said.kind === 'broken') return { kind: 'broken', errors: said.errors.map((error) => this.#told(error)) };
    const copies = said.policies.flatMap((id) => this.#copies.get(id) ?? []);
    const policies = unique(copies.map(({ policy }) => policy.id));
    if (said.kind === 'deny' && policies.length > 0) return { kind: 'forbidden', policies };
    const isMissing = (term: 'person' | 'agent'): boolean =>
      said.kind === 'deny' || !copies.some(({ whose }) => whose === term || whose === 'both');
    if (isMissing('person')) return { kind: 'missing', term: 'person' };
    return isMissing('agent') ? { kind: 'missing', term: 'agent' } : { kind: 'allowed', policies };
  }

  /** What this slice looks at and nothing else: the less the engine has to read, the faster and the more often alike. */
  question(input: DecisionInput, seen: Seen): Question {
    const { context, principal, action, resource } = this.#looks;
    const projected = contextOf(this.#facts, this.#groups, input);
    if (seen.arguments !== undefined && this.arguments !== undefined) projected['arguments'] = seen.arguments;
    const uid = { type: 'Action', id: action ? actionOf(input.tool) : '' };
    const entities: EntityJson[] = [];
    if (action)
      entities.push({ uid, attrs: {}, parents: groupsOf(seen.tool.tool).map((id) => ({ type: 'Action', id })) });
    if (principal || context.members.has('person')) entities.push(personEntity(input, this.#tags));
    if (context.members.has('agent')) entities.push(agentEntity(input));
    return {
      principal: principal ? personId(input) : { type: 'Person', id: '' },
      action: uid,
      resource: { type: 'Server', id: resource ? input.tool.server : '' },
      context: projected,
      entities,
    };
  }

  #told({ kind, policy }: EngineError): EngineError {
    const copy = policy === undefined ? undefined : this.#copies.get(policy);
    return copy === undefined ? { kind } : { kind, policy: copy.policy.id };
  }
}

/** The tool, and its arguments as the policies see them. */
export type Seen = Readonly<{ tool: ShelvedTool; arguments: CedarValue | undefined }>;

const MAX_SLICES = 8_192;
const MAX_KEYS = 32_768;

/** The slices of one set, made when they are first met. Tools that meet the same policies share theirs. */
export class Slices {
  readonly #index: PolicyIndex;
  readonly #named: ReadonlySet<string>;
  readonly #copies = new Copies();
  readonly #slices = new Bounded<Slice>(MAX_SLICES);
  readonly #met = new Bounded<Slice>(MAX_KEYS);
  #numbers = 0;

  constructor(policies: readonly Policy[]) {
    this.#index = new PolicyIndex(policies);
    this.#named = new Set(policies.flatMap(({ json }) => named(json.principal) ?? []).map(keyOf));
  }

  /** What decides over a tool for this person and this agent, without the policies that are discharged. */
  slice(tool: ShelvedTool, input: DecisionInput, without: ReadonlySet<string>): Slice {
    const principals = [personId(input), agentId(input)] as const;
    const told = principals.map((principal) => (this.#named.has(keyOf(principal)) ? principal.id : ''));
    const key = [actionOf(tool.tool), ...told, ...[...without].sort()].join('\n');
    return this.#met.get(key) ?? this.#met.set(key, this.#find(tool, principals, without));
  }

  /** What some policy looks at of this tool's arguments, whoever asks. */
  argumentsOf({ tool }: ShelvedTool): Mentions | undefined {
    const looks = this.#index.meeting(tool).map((policy) => policy.looks.context);
    return looks.reduce(together, NOTHING).members.get('arguments');
  }

  #find(tool: ShelvedTool, principals: readonly [TypeAndId, TypeAndId], without: ReadonlySet<string>): Slice {
    const met = this.#index.meeting(tool.tool).filter(({ id }) => !without.has(id));
    const [person, agent] = principals.map((principal) => met.filter(({ json }) => takesPrincipal(json, principal)));
    const key = [person, agent].map((some) => some?.map((policy) => this.#index.at(policy)).join(' ')).join('|');
    const known = this.#slices.get(key);
    if (known !== undefined) return known;
    return this.#slices.set(key, new Slice(this.#numbers++, this.#copies.of(person ?? [], agent ?? [])));
  }
}

const keyOf = ({ type, id }: TypeAndId): string => `${type} ${id}`;
