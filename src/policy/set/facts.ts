import type { Seconds } from '../../base/index.js';
import type { JsonObject } from '../../protocol/index.js';
import type { ClientProof } from '../../registry/index.js';
import type { CedarType, CedarValue, EntityJson, TypeAndId } from './engine.js';
import type { Mentions } from './mentions.js';

/** One wanted tool, and all that a policy may look at. */
export type DecisionInput = Readonly<{
  tool: Readonly<{ server: string; name: string }>;
  /** `id` is our `sub`; a person that we have never met has none, and is named by no policy. */
  person: Readonly<{ id: string | undefined; attributes: Readonly<Record<string, string>> }>;
  /** Who acts now. An MCP server that acts as a client is an agent of kind `mcp_server`. */
  agent: Readonly<{ id: string; owner: string; kind: 'agent' | 'mcp_server' }>;
  /** Every actor of the new token, the current one included. */
  chain: readonly string[];
  /** The weakest way in which an actor of the chain proves who it is; undefined where one of them is not in the registry. */
  chainAuthentication?: ClientProof | undefined;
  /** Of the session that the call is in, or that would be opened for it; where no session is, nothing. */
  session: SessionFacts | undefined;
  task: string | undefined;
  purpose: string | undefined;
  now: Seconds;
  /** An address or a network (`2001:db8::/64`). */
  ip: string | undefined;
  acr: string | undefined;
  authTime: Seconds | undefined;
  senderConstrained: boolean;
  /** The exact arguments, when the request has them. */
  arguments: JsonObject | undefined;
  /** Ids of `@requires("approval")` policies that a human's grant for exactly this call discharges. */
  discharged: readonly string[];
}>;

/** What policies may know of an agent session, as it was some seconds ago at most. */
export type SessionFacts = Readonly<{
  /** `new`: this very call would open it. */
  state: 'new' | 'active';
  /** Since it was opened. */
  age: Seconds;
  /** How many sessions it is below. */
  depth: number;
  /** What it was opened for. */
  purpose: string | undefined;
  /** How the person was authenticated in all of it, and in all above it; undefined where that differs anywhere, or was not said. */
  acr: string | undefined;
}>;

/** A fact of the context: where policies find it, its type, and where it comes from. */
export type Fact = Readonly<{
  path: readonly [group: string, name?: string];
  type: CedarType<string>;
  optional?: true;
  of: (input: DecisionInput) => CedarValue | undefined;
}>;

const STRING: CedarType<string> = { type: 'String' };
const LONG: CedarType<string> = { type: 'Long' };
const HOUR = 3_600;
const DAY = 86_400;

/** Everything that a policy may look at, besides principal, action, resource and the arguments. */
export const FACTS: readonly Fact[] = [
  { path: ['person'], type: { type: 'Entity', name: 'Person' }, of: (input) => ({ __entity: personId(input) }) },
  { path: ['agent'], type: { type: 'Entity', name: 'Agent' }, of: (input) => ({ __entity: agentId(input) }) },
  { path: ['chain', 'depth'], type: LONG, of: ({ chain }) => chain.length },
  { path: ['chain', 'agents'], type: { type: 'Set', element: STRING }, of: ({ chain }) => [...chain] },
  { path: ['chain', 'authentication'], type: STRING, optional: true, of: (input) => input.chainAuthentication },
  { path: ['session', 'age'], type: LONG, optional: true, of: ({ session }) => session?.age },
  { path: ['session', 'state'], type: STRING, optional: true, of: ({ session }) => session?.state },
  { path: ['session', 'depth'], type: LONG, optional: true, of: ({ session }) => session?.depth },
  { path: ['session', 'purpose'], type: STRING, optional: true, of: ({ session }) => session?.purpose },
  { path: ['session', 'acr'], type: STRING, optional: true, of: ({ session }) => session?.acr },
  { path: ['task'], type: STRING, optional: true, of: ({ task }) => task },
  { path: ['purpose'], type: STRING, optional: true, of: ({ purpose }) => purpose },
  { path: ['time', 'now'], type: { type: 'Extension', name: 'datetime' }, of: ({ now }) => datetime(now) },
  { path: ['time', 'hour'], type: LONG, of: ({ now }) => Math.floor((now % DAY) / HOUR) },
  { path: ['time', 'weekday'], type: LONG, of: ({ now }) => ((Math.floor(now / DAY) + 3) % 7) + 1 },
  { path: ['network', 'ip'], type: { type: 'Extension', name: 'ipaddr' }, optional: true, of: ({ ip }) => address(ip) },
  { path: ['authn', 'acr'], type: STRING, optional: true, of: ({ acr }) => acr },
  { path: ['authn', 'age'], type: LONG, optional: true, of: authenticationAge },
  { path: ['sender_constrained'], type: { type: 'Boolean' }, of: ({ senderConstrained }) => senderConstrained },
];

/** The facts that are looked at. */
export const factsIn = (mentions: Mentions): readonly Fact[] =>
  FACTS.filter(({ path: [group, name] }) => {
    const found = mentions.members.get(group);
    return found !== undefined && (name === undefined || found.whole || found.members.has(name));
  });

/** The context of a question: these facts and no other. A group that is looked at is there, even if empty. */
export function contextOf(
  facts: readonly Fact[],
  groups: readonly string[],
  input: DecisionInput,
): Record<string, CedarValue> {
  const context: Record<string, Record<string, CedarValue> | CedarValue> = {};
  const grouped = new Map(groups.map((group): [string, Record<string, CedarValue>] => [group, {}]));
  for (const [group, members] of grouped) context[group] = members;
  for (const { path, of } of facts) {
    const [group, name] = path;
    const value = of(input);
    if (value === undefined) continue;
    if (name === undefined) context[group] = value;
    else {
      const members = grouped.get(group) ?? {};
      members[name] = value;
      context[group] = members;
      grouped.set(group, members);
    }
  }
  return context;
}

/** The groups of facts, whose members stand in a record of their own. */
export const FACT_GROUPS: ReadonlySet<string> = new Set(
  FACTS.filter(({ path }) => path.length === 2).map(({ path: [group] }) => group),
);

export const personId = ({ person }: DecisionInput): TypeAndId => ({ type: 'Person', id: person.id ?? '' });
export const agentId = ({ agent }: DecisionInput): TypeAndId => ({ type: 'Agent', id: agent.id });

/** What the person is: attributes from claim mapping, as tags; all of them, or these. */
export const personEntity = (input: DecisionInput, tags?: ReadonlySet<string>): EntityJson => ({
  uid: personId(input),
  attrs: {},
  parents: [],
  tags: Object.fromEntries(Object.entries(input.person.attributes).filter(([name]) => tags?.has(name) !== false)),
});

export const agentEntity = (input: DecisionInput): EntityJson => ({
  uid: agentId(input),
  attrs: { owner: input.agent.owner, kind: input.agent.kind },
  parents: [],
});

/** The engine reads no year of five digits; a text is read three times as fast as an offset from 1970. */
const datetime = (now: Seconds): CedarValue =>
  now >= 0 && now < YEAR_10000
    ? { __extn: { fn: 'datetime', arg: new Date(now * 1_000).toISOString() } }
    : { __extn: { fn: 'offset', args: [EPOCH, { __extn: { fn: 'duration', arg: `${String(now)}s` } }] } };
const EPOCH: CedarValue = { __extn: { fn: 'datetime', arg: '1970-01-01' } };
const YEAR_10000 = 253_402_300_800;

/** RFC 4291 section 2.5.5.2: an IPv4 address is the same however it is written. */
function address(ip: string | undefined): CedarValue | undefined {
  if (ip === undefined) return undefined;
  const [, plain = ip] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(ip) ?? [];
  return { __extn: { fn: 'ip', arg: plain } };
}

function authenticationAge({ authTime, now }: DecisionInput): number | undefined {
  return authTime === undefined ? undefined : Math.max(0, Math.floor(now - authTime));
}
