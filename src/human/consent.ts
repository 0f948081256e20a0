import type { Seconds } from '../base/index.js';
import { type ActionClass, type Budget, isLoopback, type Tier } from '../protocol/index.js';
import {
  type Ceiling,
  type RegisteredAgent,
  type RegistrySnapshot,
  sentenceOf,
  type Tool,
  toolState,
} from '../registry/index.js';
import type { Person } from './people.js';

/** One tool that the agent could call, in plain words. */
export type ConsentTool = Readonly<{
  name: string;
  sentence: string;
  action: ActionClass | undefined;
  tier: Tier;
  scopes: readonly string[];
}>;

/** Everything the person is shown before deciding; nothing else is granted. */
export type ConsentRequest = Readonly<{
  agent: Readonly<{ clientId: string; name: string; owner: string; purpose: string }>;
  person: Readonly<{ name: string; email: string | undefined }>;
  redirectHost: string;
  /** Every address that the agent returns to is on the person's own computer (MCP: impersonation by a local program). */
  isLoopback: boolean;
  servers: readonly Readonly<{
    name: string;
    resource: string;
    scopes: readonly string[];
    tools: readonly ConsentTool[];
  }>[];
  /** What it may spend, across everybody that it acts for or for each. */
  budgets: readonly Budget[];
  staysSignedIn: boolean;
  /** How long it may go on, the longest last; nothing for an agent that does not stay signed in. */
  lasts: readonly Seconds[];
}>;

export function consentRequest(
  registry: RegistrySnapshot,
  asked: Readonly<{
    agent: RegisteredAgent;
    person: Person;
    redirectUri: string;
    scopes: readonly string[];
    longest: Seconds;
  }>,
): ConsentRequest {
  const { agent, person, scopes } = asked;
  const { client_id: clientId, name, owner, purpose, budgets = [] } = agent;
  const staysSignedIn = scopes.includes('offline_access');
  return {
    agent: { clientId, name, owner, purpose },
    person: { name: person.attributes.name ?? person.attributes.email ?? person.id, email: person.attributes.email },
    redirectHost: new URL(asked.redirectUri).host,
    isLoopback: agent.redirect_uris.every((uri) => isLoopback(new URL(uri).hostname)),
    servers: agent.allow
      .map((ceiling) => ({
        name: registry.serverByResource(ceiling.resource)?.name ?? ceiling.resource,
        resource: ceiling.resource,
        scopes: ceiling.scopes.filter((scope) => scopes.includes(scope)),
        tools: toolsOf(registry.serverByResource(ceiling.resource)?.tools ?? [], ceiling, scopes),
      }))
      .filter(({ scopes: wanted }) => wanted.length > 0),
    budgets,
    staysSignedIn,
    lasts: staysSignedIn ? [...SHORTER.filter((seconds) => seconds < asked.longest), asked.longest] : [],
  };
}

const HOUR: Seconds = 3_600;
const SHORTER: readonly Seconds[] = [HOUR, 24 * HOUR, 168 * HOUR];

/** Those that it can call with these scopes: a tool that waits for a review cannot be called. */
function toolsOf(tools: readonly Tool[], ceiling: Ceiling, granted: readonly string[]): readonly ConsentTool[] {
  return tools
    .filter((tool) => toolState(tool) === 'reviewed')
    .filter(({ name }) => ceiling.tools === '*' || ceiling.tools.includes(name))
    .filter(({ scopes }) => scopes.every((scope) => granted.includes(scope) && ceiling.scopes.includes(scope)))
    .map((tool) => {
      const { name, action, tier, scopes } = tool;
      return { name, action, tier, scopes, sentence: sentenceOf(tool) };
    });
}
