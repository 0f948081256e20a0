import type { Seconds } from '../base/index.js';
import type { Agent, Ceiling } from './agent.js';
import type { McpServer } from './server.js';

/**
 * One thing that an agent may: a server at all (to connect and list), a tool of it, a scope of it; and, of no server, to hand
 * over to an agent (its name), or to ask for tokens for the trust domain.
 */
export type Right = Readonly<{
  resource: string;
  kind: 'server' | 'tool' | 'scope' | 'hand_over' | 'domain';
  name: string;
}>;

/** What is known of how agents use what they may. */
export interface RightsUse {
  /** Up to when uses are counted: what came later is in the log and not counted yet. */
  countedUntil(): Promise<Seconds>;
  /** The rights of these agents that were granted before this instant, and that nobody is known to have used since. */
  unused(clients: readonly string[], before: Seconds): Promise<ReadonlyMap<string, readonly Right[]>>;
  /** What this agent used since, from the log itself. */
  usedSince(client: string, since: Seconds): Promise<readonly Right[]>;
}

/** What may be taken at one MCP server. `server`: nothing is left of it, so all of it goes. */
export type Taken = Readonly<{
  resource: string;
  server: boolean;
  tools: readonly string[];
  scopes: readonly string[];
}>;

/** What may be taken that is of no MCP server. */
export type TakenBeside = Readonly<{ handOverTo: readonly string[]; transactionTokens: boolean }>;

type Servers = Readonly<{ get(resource: string): Pick<McpServer, 'tools'> | undefined }>;

/** OWASP NHI5: what of its ceilings an agent does not use. A scope that a tool needs which it keeps is not among it. */
export function unusedOf(
  { allow }: Pick<Agent, 'allow'>,
  unused: readonly Right[],
  servers: Servers,
): readonly Taken[] {
  const old = new Set(unused.map(rightName));
  return allow.flatMap((ceiling) => {
    const { resource } = ceiling;
    const isUnused = (kind: Right['kind'], name: string): boolean => old.has(rightName({ resource, kind, name }));
    const tools = toolsOf(ceiling, servers).filter((name) => isUnused('tool', name));
    const needed = neededBeside(tools, ceiling, servers);
    const scopes = ceiling.scopes.filter((name) => isUnused('scope', name) && !needed.has(name));
    const server = isUnused('server', '') && isAll({ tools, scopes }, ceiling, servers);
    return server || tools.length > 0 || scopes.length > 0 ? [{ resource, server, tools, scopes }] : [];
  });
}

/** OWASP NHI5: the agents that it hands over to no more, and whether it asks for no tokens for the trust domain. */
export function unusedBeside(
  { hand_over_to: heirs, transaction_tokens: isAllowed }: Pick<Agent, 'hand_over_to' | 'transaction_tokens'>,
  unused: readonly Right[],
): TakenBeside {
  const old = new Set(unused.map(rightName));
  return {
    handOverTo: heirs.filter((name) => old.has(rightName({ resource: '', kind: 'hand_over', name }))),
    transactionTokens: isAllowed && old.has(rightName({ resource: '', kind: 'domain', name: '' })),
  };
}

/** What of this cannot be taken, by its name. */
export function beyondBeside(taken: TakenBeside, unused: TakenBeside): string | undefined {
  const heir = taken.handOverTo.find((name) => !unused.handOverTo.includes(name));
  if (heir !== undefined) return `handing over to ${heir}`;
  return taken.transactionTokens && !unused.transactionTokens ? 'transaction_tokens' : undefined;
}

/** Why this cannot be taken from an agent, or `undefined`: the name of what is in the way. */
export function beyond(
  taken: readonly Taken[],
  { allow }: Pick<Agent, 'allow'>,
  unused: readonly Taken[],
  servers: Servers,
): string | undefined {
  for (const one of taken) {
    const { resource, server, tools, scopes } = one;
    const ceiling = allow.find((other) => other.resource === resource);
    const may = unused.find((other) => other.resource === resource);
    if (ceiling === undefined || may === undefined || (server && !may.server)) return resource;
    const other = [
      ...tools.filter((name) => !may.tools.includes(name)),
      ...scopes.filter((name) => !may.scopes.includes(name)),
    ];
    if (other[0] !== undefined) return `${resource}#${other[0]}`;
    const needed = neededBeside(tools, ceiling, servers);
    const missing = scopes.find((name) => needed.has(name));
    if (missing !== undefined) return `${resource}#${missing}`;
    if (server && !isAll(one, ceiling, servers)) return resource;
  }
  return undefined;
}

/** The agent without this. Of all tools the others stay, by name. */
export function withoutRights(
  agent: Agent,
  taken: readonly Taken[],
  { servers, beside }: Readonly<{ servers: Servers; beside: TakenBeside }>,
): Agent {
  const allow = agent.allow.flatMap((ceiling) => {
    const one = taken.find(({ resource }) => resource === ceiling.resource);
    if (one === undefined) return [ceiling];
    if (one.server) return [];
    const left = toolsOf(ceiling, servers).filter((name) => !one.tools.includes(name));
    const tools = one.tools.length === 0 ? ceiling.tools : left;
    return [{ ...ceiling, tools, scopes: ceiling.scopes.filter((name) => !one.scopes.includes(name)) }];
  });
  return {
    ...agent,
    allow,
    hand_over_to: agent.hand_over_to.filter((heir) => !beside.handOverTo.includes(heir)),
    transaction_tokens: agent.transaction_tokens && !beside.transactionTokens,
  };
}

/** Names a right among those of one agent. */
export const rightName = ({ resource, kind, name }: Right): string => JSON.stringify([resource, kind, name]);

const toolsOf = ({ resource, tools }: Ceiling, servers: Servers): readonly string[] =>
  tools === '*' ? (servers.get(resource)?.tools ?? []).map(({ name }) => name) : tools;

/** The scopes that the tools need which stay when these go. */
function neededBeside(tools: readonly string[], ceiling: Ceiling, servers: Servers): ReadonlySet<string> {
  const kept = new Set(toolsOf(ceiling, servers).filter((name) => !tools.includes(name)));
  const known = servers.get(ceiling.resource)?.tools ?? [];
  return new Set(known.filter(({ name }) => kept.has(name)).flatMap(({ scopes }) => scopes));
}

const isAll = ({ tools, scopes }: Pick<Taken, 'tools' | 'scopes'>, ceiling: Ceiling, servers: Servers): boolean =>
  toolsOf(ceiling, servers).every((name) => tools.includes(name)) &&
  ceiling.scopes.every((name) => scopes.includes(name));
