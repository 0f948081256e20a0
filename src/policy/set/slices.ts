import { Bounded } from './bounded.js';
import { type CedarValue, type Evaluation, PreparedPolicies, type Question, type TypeAndId } from './engine.js';
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
import { type Mentions, NOTHING, together } from './mentions.js';
import type { Policy } from './policy.js';
import type { ShelvedTool } from './schema.js';
import { PolicyIndex } from './policy-index.js';
import { named, takesPrincipal } from './scope.js';
import { actionOf, groupsOf } from './tool.js';

/**
 * INVARIANT: a slice holds exactly the policies whose scope takes in this tool and this principal, so it decides what the
 * whole set would decide, without asking about scopes again.
 */
export class Slice {
  readonly policies: readonly Policy[];
  readonly arguments: Mentions | undefined;
  readonly #prepared: PreparedPolicies;
  readonly #facts: readonly Fact[];
  readonly #groups: readonly string[];
  readonly #looks: Readonly<{ context: Mentions; principal: boolean; action: boolean }>;

  constructor(policies: readonly Policy[]) {
    this.policies = policies;
    this.#prepared = new PreparedPolicies(Object.fromEntries(policies.map(({ id, open }) => [id, open])));
    const context = policies.reduce((all, { looks }) => together(all, looks.context), NOTHING);
    this.#looks = {
      context,
      principal: policies.some(({ looks }) => looks.principal),
      action: policies.some(({ looks }) => looks.action),
    };
    this.#facts = factsIn(context);
    this.#groups = [...FACT_GROUPS].filter((group) => context.members.has(group));
    this.arguments = context.members.get('arguments');
  }

  evaluate(question: Question): Evaluation {
    return this.#prepared.evaluate(question);
  }

  /** What this slice looks at and nothing else: the less the engine has to read, the faster and the more often alike. */
  question(principal: TypeAndId, input: DecisionInput, seen: Seen): Question {
    const { context, principal: looksAtPrincipal, action } = this.#looks;
    const projected = contextOf(this.#facts, this.#groups, input);
    if (seen.arguments !== undefined && this.arguments !== undefined) projected['arguments'] = seen.arguments;
    const uid = { type: 'Action', id: actionOf(input.tool) };
    const isPerson = principal.type === 'Person';
    const entities = [];
    if (action)
      entities.push({ uid, attrs: {}, parents: groupsOf(seen.tool.tool).map((id) => ({ type: 'Action', id })) });
    if ((looksAtPrincipal && isPerson) || context.members.has('person')) entities.push(personEntity(input));
    if ((looksAtPrincipal && !isPerson) || context.members.has('agent')) entities.push(agentEntity(input));
    return {
      principal,
      action: uid,
      resource: { type: 'Server', id: input.tool.server },
      context: projected,
      entities,
    };
  }
}

/** The tool, and its arguments as the policies see them. */
export type Seen = Readonly<{ tool: ShelvedTool; arguments: CedarValue | undefined }>;

/** What decides over one tool: the slice of the person and the slice of the agent. */
export type Pair = Readonly<{ number: number; person: Slice; agent: Slice; arguments: Mentions | undefined }>;

const MAX_SLICES = 8_192;
const MAX_PAIRS = 32_768;

/** The slices of one set, made when they are first met. Tools that meet the same policies share theirs. */
export class Slices {
  readonly #index: PolicyIndex;
  readonly #named: ReadonlySet<string>;
  readonly #slices = new Bounded<Slice>(MAX_SLICES);
  readonly #pairs = new Bounded<Pair>(MAX_PAIRS);
  #numbers = 0;

  constructor(policies: readonly Policy[]) {
    this.#index = new PolicyIndex(policies);
    this.#named = new Set(policies.flatMap(({ json }) => named(json.principal) ?? []).map(keyOf));
  }

  /** The pair for a tool, this person and this agent, without the policies that are discharged. */
  pair(tool: ShelvedTool, input: DecisionInput, without: ReadonlySet<string>): Pair {
    const principals = [personId(input), agentId(input)] as const;
    const [person, agent] = principals;
    const told = principals.map((principal) => (this.#named.has(keyOf(principal)) ? principal.id : ''));
    const key = [actionOf(tool.tool), ...told, ...[...without].sort()].join('\n');
    return this.#pairs.get(key) ?? this.#pairs.set(key, this.#make(tool, [person, agent], without));
  }

  /** What some policy looks at of this tool's arguments, whoever asks. */
  argumentsOf({ tool }: ShelvedTool): Mentions | undefined {
    const looks = this.#index.meeting(tool).map((policy) => policy.looks.context);
    return looks.reduce(together, NOTHING).members.get('arguments');
  }

  #make(tool: ShelvedTool, [person, agent]: readonly [TypeAndId, TypeAndId], without: ReadonlySet<string>): Pair {
    const met = this.#index.meeting(tool.tool).filter(({ id }) => !without.has(id));
    const slices = { person: this.#slice(met, person), agent: this.#slice(met, agent) };
    const { arguments: ofPerson } = slices.person;
    const { arguments: ofAgent } = slices.agent;
    const both = ofPerson && ofAgent ? together(ofPerson, ofAgent) : (ofPerson ?? ofAgent);
    return { number: this.#numbers++, ...slices, arguments: both };
  }

  #slice(met: readonly Policy[], principal: TypeAndId): Slice {
    const policies = met.filter(({ json }) => takesPrincipal(json, principal));
    const key = policies.map((policy) => this.#index.at(policy)).join(' ');
    return this.#slices.get(key) ?? this.#slices.set(key, new Slice(policies));
  }
}

const keyOf = ({ type, id }: TypeAndId): string => `${type} ${id}`;
