import { perObject } from '../../base/index.js';
import { argumentsType, cedarType } from './argument-type.js';
import { type CedarType, type EngineFlaw, type Schema, validatePolicies } from './engine.js';
import { FACT_GROUPS, FACTS } from './facts.js';
import { flawAt, type PolicyFlaw } from './flaw.js';
import type { Policy } from './policy.js';
import { actionsOf } from './scope.js';
import { actionOf, groupsOf, GROUPS, type PolicyTool } from './tool.js';

/** Strict validation of every policy against the tools that its scope takes in. */
export function validateAll(policies: readonly Policy[], tools: ToolShelf): readonly PolicyFlaw[] {
  const batches = new Map<string, Policy[]>();
  for (const policy of policies) {
    const key = JSON.stringify([policy.json.action, policy.looks.actions]);
    const batch = batches.get(key);
    if (batch === undefined) batches.set(key, [policy]);
    else batch.push(policy);
  }
  return [...batches.values()].flatMap((batch) => validateBatch(batch, tools));
}

/** The tools by what a policy can tell them apart by. */
export class ToolShelf {
  readonly all: readonly ShelvedTool[];
  readonly #byAction: ReadonlyMap<string, ShelvedTool>;
  readonly #byGroup = new Map<string, ShelvedTool[]>(GROUPS.map((group) => [group, []]));

  constructor(tools: readonly PolicyTool[]) {
    this.all = tools.map(shelve);
    this.#byAction = new Map(this.all.map((one) => [actionOf(one.tool), one]));
    for (const one of this.all) for (const group of groupsOf(one.tool)) this.#byGroup.get(group)?.push(one);
  }

  at(action: string): ShelvedTool | undefined {
    return this.#byAction.get(action);
  }

  /** The tools that an action scope takes in. */
  under(policy: Policy): readonly ShelvedTool[] {
    const actions = actionsOf(policy.json);
    if (actions === undefined) return this.all;
    const isIn = policy.json.action.op === 'in';
    return [...new Set(actions.flatMap((id) => this.at(id) ?? (isIn ? (this.#byGroup.get(id) ?? []) : [])))];
  }
}

/** A tool with the type of its arguments; tools of one kind are alike to a policy that does not name them. */
export type ShelvedTool = Readonly<{
  tool: PolicyTool;
  type: ReturnType<typeof argumentsType>;
  cedar: CedarType<string>;
  kind: string;
}>;

const shelve = perObject((tool: PolicyTool): ShelvedTool => {
  const type = argumentsType(tool.inputSchema);
  const cedar = cedarType(type);
  return { tool, type, cedar, kind: JSON.stringify([groupsOf(tool), cedar]) };
});

function validateBatch(batch: readonly Policy[], tools: ToolShelf): readonly PolicyFlaw[] {
  const [first] = batch;
  if (first === undefined) return [];
  const looksAtTool = batch.some(({ looks }) => looks.action || looks.context.members.has('arguments'));
  const alike = new Map(tools.under(first).map((one) => [looksAtTool ? one.kind : '', one]));
  const literal = [...(actionsOf(first.json) ?? []), ...first.looks.actions].map((id) => tools.at(id));
  const shown = new Set([...alike.values(), ...literal].filter((one) => one !== undefined));
  const known = new Map(batch.map((policy) => [policy.id, policy]));
  const valid = validatePolicies(
    Object.fromEntries(batch.map(({ id, source }) => [id, source.text])),
    schemaOf([...shown], alike.size === 0 ? (actionsOf(first.json) ?? []) : undefined),
  );
  return valid.ok ? [] : perPolicy(valid.error).map((flaw) => place(flaw, known.get(flaw.policy ?? '') ?? first));
}

/** The first thing that is wrong with each policy is what its author wants to know; the rest follows from it. */
function perPolicy(flaws: readonly EngineFlaw[]): readonly EngineFlaw[] {
  const first = new Map<string | undefined, EngineFlaw>();
  for (const flaw of flaws) if (!first.has(flaw.policy)) first.set(flaw.policy, flaw);
  return [...first.values()];
}

const place = ({ problem, offset }: EngineFlaw, { source, id }: Policy): PolicyFlaw =>
  flawAt(source, problem, { offset, policy: id });

type Actions = Record<string, Action>;
type Action = NonNullable<Extract<Schema, object>[string]>['actions'][string];

/** The model for these tools. Where a scope takes in none, one without arguments stands for those to come. */
function schemaOf(tools: readonly ShelvedTool[], empty: readonly string[] | undefined): Schema {
  const groups = GROUPS.map((group): [string, Action] => [group, {}]);
  const actions: Actions = Object.fromEntries([
    ...groups,
    ...tools.map(({ tool, cedar }): [string, Action] => [actionOf(tool), action(groupsOf(tool), cedar)]),
  ]);
  if (empty !== undefined)
    actions[TO_COME] = action(
      empty.filter((id) => GROUPS.includes(id)),
      cedarType(argumentsType(undefined)),
    );
  return { '': { entityTypes: ENTITY_TYPES, actions } };
}

const TO_COME = '#to-come';

const ENTITY_TYPES = {
  Person: { tags: { type: 'String' as const } },
  Agent: {
    shape: record([
      ['owner', { type: 'String' }],
      ['kind', { type: 'String' }],
    ]),
  },
  Server: {},
};

const action = (groups: readonly string[], cedar: CedarType<string>): Action => ({
  memberOf: groups.map((id) => ({ id })),
  appliesTo: { principalTypes: ['Person', 'Agent'], resourceTypes: ['Server'], context: contextType(cedar) },
});

function contextType(cedar: CedarType<string>): CedarType<string> {
  const alone = FACTS.filter(({ path }) => path.length === 1).map(({ path: [name], type, optional }) =>
    attribute(name, type, optional),
  );
  const grouped = [...FACT_GROUPS].map((group) =>
    attribute(
      group,
      record(
        FACTS.flatMap(({ path: [own, name], type, optional }) =>
          own === group && name !== undefined ? [attribute(name, type, optional)] : [],
        ),
      ),
    ),
  );
  return record([...alone, ...grouped, attribute('arguments', cedar, true)]);
}

type Attribute = [string, CedarType<string> & { required?: boolean }];

const attribute = (name: string, type: CedarType<string>, optional?: boolean): Attribute => [
  name,
  { ...type, required: optional !== true },
];

function record(attributes: readonly Attribute[]): CedarType<string> {
  return { type: 'Record', attributes: Object.fromEntries(attributes) };
}
