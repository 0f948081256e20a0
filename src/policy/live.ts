import type { RegistrySnapshot } from '../registry/index.js';
import { narrow } from './ceilings.js';
import type { Past, PolicySet } from './set/index.js';
import { type Outcome, outcomeOf } from './set/index.js';

/** A token that may still be used, and the decision that it is the receipt of. */
export type LiveToken = Readonly<{
  tokenHash: string;
  decision: string;
  session: string | undefined;
  agent: string;
  person: string | undefined;
  /** The MCP server that it is for; a token for another agent or for the trust domain is decided on when it is exchanged. */
  server: string | undefined;
  tools: readonly Readonly<{ name: string; argumentsSha256: string | undefined; maxUses: number | undefined }>[];
  scopes: readonly string[];
  isBound: boolean;
}>;

/** Live tokens in the order of their records. `next` is where to read on. */
export type LivePage = Readonly<{ tokens: readonly LiveToken[]; next: string | undefined }>;

export interface LivePermits {
  /** Of what was decided before this version of the registry, and is not revoked. */
  page(before: number, at: Readonly<{ after: string; limit: number }>): Promise<LivePage>;
}

/** A token that these rules would not have let be; `tool` is the action's name and `to` what would have come of it. */
export type Loss = Readonly<{ token: LiveToken; tool: string; to: Outcome }>;

export type Reexamined = Readonly<{ lost: readonly Loss[]; undecided: readonly LiveToken[] }>;

/** What live tokens are held against: the ceilings of the registry, and over them the policies. */
export type RulesOfNow = Readonly<{ set: PolicySet; registry: RegistrySnapshot }>;

/**
 * What the rules make of live tokens, by their records and by what was kept of their decisions. A token is for all of its
 * tools or for none: one that is refused is enough. What cannot be decided again is told apart, never guessed at.
 */
export function reexamine(rules: RulesOfNow, tokens: readonly LiveToken[], past: readonly Past[]): Reexamined {
  const byDecision = new Map<string, Past[]>();
  for (const one of past) byDecision.set(one.decision, [...(byDecision.get(one.decision) ?? []), one]);
  const found = tokens.map(
    (token) => beyond(rules.registry, token) ?? judge(rules.set, token, byDecision.get(token.decision) ?? []),
  );
  return {
    lost: found.filter((one) => typeof one === 'object'),
    undecided: tokens.filter((_, index) => found[index] === 'undecided'),
  };
}

/** What lies beyond the ceilings of now: of the client, and of the server with its tools. */
function beyond(registry: RegistrySnapshot, token: LiveToken): Loss | undefined {
  if (token.server === undefined) return undefined;
  const client = registry.agent(token.agent) ?? registry.serverByClientId(token.agent);
  const server = registry.serverByResource(token.server);
  const [first] = token.tools;
  const lost = (tool = first?.name ?? ''): Loss => ({ token, tool: `${token.server ?? ''}#${tool}`, to: 'deny' });
  if (client === undefined || server?.status !== 'active') return lost();
  if ((client.dpop_required || server.dpop_required) && !token.isBound) return lost();
  const tools = token.tools.map((tool) => ({ ...tool, arguments: undefined, definitionSha256: undefined }));
  const wanted = tools.length === 0 ? { tools: undefined, scopes: undefined } : { tools, scopes: undefined };
  const subject = { kind: 'person', scopes: token.scopes, details: undefined } as const;
  const narrowed = narrow({ wanted, subject }, { client, server });
  if (narrowed.ok) return undefined;
  return lost('tool' in narrowed.error ? narrowed.error.tool : undefined);
}

function judge(set: PolicySet, token: LiveToken, past: readonly Past[]): Loss | 'allowed' | 'undecided' {
  // Only calls of tools are asked of policies.
  if (token.server === undefined || token.tools.length === 0) return 'allowed';
  let isDecided = token.tools.every(({ name }) => past.some(({ kept }) => kept?.tool.name === name));
  for (const { kept } of past) {
    const again = kept === undefined ? undefined : set.redecide(kept);
    if (kept === undefined || again === undefined || 'undecidable' in again) isDecided = false;
    else if (outcomeOf(again) !== 'allow')
      return { token, tool: `${kept.tool.server}#${kept.tool.name}`, to: outcomeOf(again) };
  }
  return isDecided ? 'allowed' : 'undecided';
}
