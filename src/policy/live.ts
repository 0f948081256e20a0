import type { Seconds } from '../base/index.js';
import type { Brought } from '../delegation/index.js';
import { type RegistrySnapshot, unusableActor, weakestProof } from '../registry/index.js';
import { acceptanceOf, type PublishedKeysOf } from './accepted.js';
import { narrow, scopesOf } from './ceilings.js';
import type { KeptInput, Past, PolicySet } from './set/index.js';
import { type Outcome, outcomeOf } from './set/index.js';

/** A token that may still be used, and the decision that it is the receipt of. */
export type LiveToken = Readonly<{
  tokenHash: string;
  /** Revocation targets: whichever of them ends, it ends too. Its own is among them. */
  lineage: readonly string[];
  decision: string;
  /** The policy set that decided. */
  policy: string;
  session: string | undefined;
  agent: string;
  person: string | undefined;
  /** The current one first. */
  actors: readonly Readonly<{ sub: string; iss: string }>[];
  /** What it is for, one of these: an MCP server, another agent, the trust domain. */
  server: string | undefined;
  heir: string | undefined;
  isForDomain: boolean;
  tools: readonly Readonly<{ name: string; argumentsSha256: string | undefined; maxUses: number | undefined }>[];
  scopes: readonly string[];
  isBound: boolean;
  expiresAt: Seconds;
  /** How the token of a trusted issuer was accepted that it comes of, and from which agent. */
  brought: (Brought & Readonly<{ agent: string }>) | undefined;
}>;

/** Live tokens in the order of their records, among so many that were read. `next` is where to read on. */
export type LivePage = Readonly<{ tokens: readonly LiveToken[]; read: number; next: string | undefined }>;

export interface LivePermits {
  /** Of what was decided before this version of the registry, and is not revoked. */
  page(before: number, at: Readonly<{ after: string; limit: number }>): Promise<LivePage>;
  /** Those of these, by their hashes, that live. */
  among(hashes: readonly string[]): Promise<readonly LiveToken[]>;
  /** How many sessions are of these agents or people, or below one that is. */
  sessionsOf(whose: Readonly<{ agents: readonly string[]; persons: readonly string[] }>): Promise<number>;
}

/** A token that these rules would not have let be; `tool` is the action's name and `to` what would have come of it. */
export type Loss = Readonly<{ token: LiveToken; tool: string; to: Outcome }>;

export type Reexamined = Readonly<{ lost: readonly Loss[]; undecided: readonly LiveToken[] }>;

/** What live tokens are held against: the ceilings of the registry, and over them the policies. */
export type RulesOfNow = Readonly<{
  set: PolicySet;
  registry: RegistrySnapshot;
  issuer: string;
  now: Seconds;
  publishedKeys: PublishedKeysOf;
}>;

/** So many are decided over before requests have their turn. */
const AT_ONCE = 16;

/**
 * What the rules make of live tokens, by their records and by what was kept of their decisions. A token is for all of its
 * tools or for none: one that is refused is enough. What cannot be decided again is told apart, never guessed at. `turn` is where
 * others go on.
 */
export async function reexamine(
  rules: RulesOfNow,
  tokens: readonly LiveToken[],
  past: readonly Past[],
  turn: () => Promise<unknown>,
): Promise<Reexamined> {
  const byDecision = new Map<string, Past[]>();
  for (const one of past) byDecision.set(one.decision, [...(byDecision.get(one.decision) ?? []), one]);
  const found: (Loss | 'allowed' | 'undecided')[] = [];
  for (const [index, token] of tokens.entries()) {
    if (index % AT_ONCE === 0) await turn();
    found.push(beyondCeilings(rules, token) ?? judge(rules, token, byDecision.get(token.decision) ?? []));
  }
  return {
    lost: found.filter((one) => typeof one === 'object'),
    undecided: tokens.filter((_, index) => found[index] === 'undecided'),
  };
}

type Registered = Omit<RulesOfNow, 'set'>;
type Client = NonNullable<ReturnType<RegistrySnapshot['agent'] | RegistrySnapshot['serverByClientId']>>;

/** What lies beyond the ceilings of now: of everybody who acts, and of the server with its tools. */
export function beyondCeilings(rules: Registered, token: LiveToken): Loss | undefined {
  const { registry } = rules;
  const client = registry.agent(token.agent) ?? registry.serverByClientId(token.agent);
  const isOver = client === undefined || isBeyondClient(client, token) || acceptanceOf(token, rules) === 'refused';
  if (isOver || unusableActor(token.actors, registry, rules) !== undefined) return lossOf(token);
  return token.server === undefined ? undefined : beyondServer(token, token.server, { client, registry });
}

function isBeyondClient(client: Client, { isBound, expiresAt, server, heir, isForDomain, scopes }: LiveToken): boolean {
  if (client.status !== 'active' || (client.dpop_required && !isBound)) return true;
  if ('expires_at' in client && expiresAt > Date.parse(client.expires_at) / 1000) return true;
  if (server === undefined && scopes.some((scope) => !scopesOf(client).has(scope))) return true;
  if (heir !== undefined) return !('hand_over_to' in client && client.hand_over_to.includes(heir));
  return isForDomain && !client.transaction_tokens;
}

function beyondServer(
  token: LiveToken,
  resource: string,
  { client, registry }: Readonly<{ client: Client; registry: RegistrySnapshot }>,
): Loss | undefined {
  const server = registry.serverByResource(resource);
  if (server?.status !== 'active' || (server.dpop_required && !token.isBound)) return lossOf(token);
  const tools = token.tools.map((tool) => ({ ...tool, arguments: undefined, definitionSha256: undefined }));
  const wanted = tools.length === 0 ? { tools: undefined, scopes: undefined } : { tools, scopes: undefined };
  const subject = { kind: 'person', scopes: token.scopes, details: undefined } as const;
  const narrowed = narrow({ wanted, subject }, { client, server });
  if (!narrowed.ok) return lossOf(token, 'tool' in narrowed.error ? narrowed.error.tool : undefined);
  const ceiling = client.allow.find((one) => one.resource === resource)?.scopes ?? [];
  const isWide = token.scopes.some((scope) => !ceiling.includes(scope) || !server.scopes.includes(scope));
  return isWide ? lossOf(token) : undefined;
}

/** `tool` is the first of the token's where all of them are lost alike. */
export const lossOf = (token: LiveToken, tool = token.tools[0]?.name): Loss => ({
  token,
  tool: [token.server ?? '', ...(tool === undefined ? [] : [tool])].join('#'),
  to: 'deny',
});

/** What the policies make of one token that is within the ceilings. */
export function judge(rules: RulesOfNow, token: LiveToken, past: readonly Past[]): Loss | 'allowed' | 'undecided' {
  if (isUnknown(token) || acceptanceOf(token, rules) === 'unknown') return 'undecided';
  // Only calls of tools are asked of policies.
  if (token.server === undefined || token.tools.length === 0) return 'allowed';
  const isOfThisSet = token.policy === rules.set.hash;
  // It has said yes already, and nobody knows that it looked at anything that is different now.
  if (isOfThisSet && past.length === 0) return 'allowed';
  let isDecided = token.tools.every(({ name }) => past.some(({ kept }) => kept?.tool.name === name));
  for (const { kept } of past) {
    const input = kept && ofNow(kept, token, rules);
    if (kept !== undefined && isOfThisSet && isSame(kept, input, rules.set)) continue;
    const again = input && rules.set.redecideAsClassed(input);
    if (input === undefined || again === undefined || 'undecidable' in again) isDecided = false;
    else if (outcomeOf(again) !== 'allow')
      return { token, tool: `${input.tool.server}#${input.tool.name}`, to: outcomeOf(again) };
  }
  return isDecided ? 'allowed' : 'undecided';
}

/** It comes of a trusted issuer's token, and nobody kept which: recorded by a replica from before that was. */
const isUnknown = ({ brought, lineage }: LiveToken): boolean =>
  brought === undefined && lineage.some((target) => target.startsWith('foreign:'));

/** The input with what the registry says of the actors now. What it says of the tool the set knows by itself. */
function ofNow(kept: KeptInput, { agent, actors }: LiveToken, { registry, issuer }: Registered): KeptInput {
  const owner = (registry.agent(agent) ?? registry.serverByClientId(agent))?.owner ?? kept.agent.owner;
  const chainAuthentication = weakestProof(actors, registry, issuer);
  return { ...kept, agent: { ...kept.agent, owner }, chainAuthentication };
}

/** A decision is a function of the set, the tool and the input: of the same ones it comes out the same. */
const isSame = (was: KeptInput, input: KeptInput | undefined, set: PolicySet): boolean =>
  was.agent.owner === input?.agent.owner &&
  was.chainAuthentication === input.chainAuthentication &&
  set.knowsToolOf(was);
