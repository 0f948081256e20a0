import { type Approver, type Demand, type Difference, type Held, mayAnswer } from '../approval/index.js';
import type { Seconds } from '../base/index.js';
import { clientOf, type Json, type JsonObject, Tier } from '../protocol/index.js';
import { type RegistrySnapshot, sentenceFor, visible } from '../registry/index.js';
import type { PersonDirectory } from './people.js';
import { nameOf, responsible } from './responsible.js';

/** One argument of the call, in full. `text` is what it is, with all that has no shape of its own spelled out. */
export type ShownArgument = Readonly<{
  name: string;
  text: string;
  /** Its line feeds are its own, and not those of how we write JSON. */
  isText: boolean;
  characters: number;
  isSensitive: boolean;
  mark: 'changed' | 'added' | undefined;
}>;

/** All that is said of a request before somebody decides. */
export type ApprovalView = Readonly<{
  agent: Readonly<{ id: string; name: string; owner: string | undefined }>;
  /** The other agents and servers of the chain, the nearest first. */
  chain: readonly string[];
  /** `undefined`: whoever looks. */
  person: string | undefined;
  purpose: string | null;
  task: string | null;
  askedAt: Seconds;
  network: string | null;
  server: Readonly<{ name: string; resource: string }>;
  tool: string;
  sentence: string;
  arguments: readonly ShownArgument[];
  difference: Difference | undefined;
  tier: Tier;
  reasons: readonly string[];
  /** Groups of whom somebody has to approve it. */
  groups: readonly string[];
}>;

/** A request with what is in it, which is erased when it is over. */
export type Open = Held & Readonly<{ approval: NonNullable<Held['approval']> }>;

export const isOpen = (held: Held | undefined): held is Open =>
  held?.approval !== undefined && (held.state === 'asked' || held.state === 'granted');

/** The demands that somebody may answer and nobody has. */
export function openTo(by: Omit<Approver, 'verifiedAt'>, { approval, person, answers }: Open): readonly Demand[] {
  const answered = new Set(answers.map(({ policy }) => policy));
  const { demands } = approval.frozen.binding;
  return demands.filter((demand) => !answered.has(demand.policy) && mayAnswer(by, demand, person));
}

/** The worse one of when it was asked and of now: what is found to do more harm meanwhile is approved as such (AP-23). */
export function tierOf({ about, server, tool }: Held, registry: RegistrySnapshot): Tier {
  const now = registry.serverByResource(server)?.tools.find(({ name }) => name === tool)?.tier ?? about.tier;
  const { options } = Tier;
  return options.indexOf(now) > options.indexOf(about.tier) ? now : about.tier;
}

export async function viewOf(
  held: Open,
  looks: string,
  {
    registry,
    people,
    difference,
  }: Readonly<{ registry: RegistrySnapshot; people: PersonDirectory; difference: Difference | undefined }>,
): Promise<ApprovalView> {
  const { call, demands } = held.approval.frozen.binding;
  const agent = registry.agent(held.client);
  const server = registry.serverByResource(held.server);
  const tool = server?.tools.find(({ name }) => name === held.tool);
  const { sensitive = [] } = tool ?? {};
  const person = held.person === looks ? undefined : await people.byId(held.person);
  return {
    agent: {
      id: held.client,
      name: agent?.name ?? held.client,
      owner: agent === undefined ? undefined : await responsible(agent.owner, people),
    },
    chain: call.chain.slice(1).map((id) => nameIn(registry, id)),
    person: person && nameOf(person),
    ...{ purpose: held.about.purpose, task: held.about.task, askedAt: held.askedAt, network: held.about.network },
    server: { name: server?.name ?? held.server, resource: held.server },
    tool: held.tool,
    sentence: sentenceFor(tool ?? { name: held.tool, sentence: undefined, sensitive: [] }, call.arguments),
    arguments: argumentsOf(call.arguments, sensitive, difference),
    difference,
    tier: tierOf(held, registry),
    reasons: held.about.reasons,
    groups: [...new Set(demands.flatMap(({ approvers }) => approvers))],
  };
}

const nameIn = (registry: RegistrySnapshot, id: string): string =>
  registry.agent(clientOf(id))?.name ?? registry.serverByClientId(clientOf(id))?.name ?? id;

function argumentsOf(
  given: JsonObject,
  sensitive: readonly string[],
  difference: Difference | undefined,
): readonly ShownArgument[] {
  return Object.entries(given).map(([name, value]) => {
    const text = textOf(value);
    return {
      ...{ name: visible(name), text, isText: typeof value === 'string', characters: text.length },
      isSensitive: sensitive.includes(name),
      mark: markOf(name, difference),
    };
  });
}

function markOf(name: string, difference: Difference | undefined): ShownArgument['mark'] {
  if (difference === undefined) return undefined;
  if (difference.changed.includes(name)) return 'changed';
  return difference.added.includes(name) ? 'added' : undefined;
}

/** As JSON writes it, so that a number is no text and a blank at an end stands inside the quotes (ATTACKS AP-01). */
const textOf = (value: Json): string =>
  typeof value === 'string'
    ? `"${visible(value.replaceAll(/["\\]/g, '\\$&'))}"`
    : visible(JSON.stringify(value, undefined, 2));
