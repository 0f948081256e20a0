import type { Seconds } from '../base/index.js';
import type { Agent, Ceiling, McpServer, TrustedIssuer } from '../registry/index.js';
import type { Contents } from './contents.js';
import { at, type Flaw, isSafeUrl, SAFE } from './flaw.js';
import { keyFlaws } from './key-rules.js';
import type { Plan, Wish } from './plan.js';

/** Who we are: names that no registered object may take, and the identity providers at which people sign in. */
export type Ourselves = Readonly<{ issuer: string; trustDomain: string; signIns: readonly string[] }>;

/**
 * Everything that would be wrong with the registry after this plan. What an object says of itself is looked at when it
 * changes; what it says of others always, since those may be what changes.
 */
export function flawsOf(
  wish: Wish,
  { after, changes }: Plan,
  { us, now, latest }: Readonly<{ us: Ourselves; now: Seconds; latest: Seconds }>,
): readonly Flaw[] {
  const touched = new Set(changes.filter(isWritten).map(({ kind, id }) => `${kind} ${id}`));
  const renewed = new Set(changes.filter(isNewLife).map(({ id }) => id));
  const agents = [...after.agent.values()];
  const servers = [...after.server.values()];
  const issuers = [...after.issuer.values()];
  return [
    ...twiceIn(wish),
    ...agents.filter(({ client_id: id }) => touched.has(`agent ${id}`)).flatMap((agent) => agentFlaws(agent, us)),
    ...agents.filter(({ client_id: id }) => renewed.has(id)).flatMap((agent) => lifeFlaws(agent, now, latest)),
    ...servers.filter(({ resource: id }) => touched.has(`server ${id}`)).flatMap((server) => serverFlaws(server, us)),
    ...issuers.filter(({ issuer: id }) => touched.has(`issuer ${id}`)).flatMap((issuer) => issuerFlaws(issuer, us)),
    ...agents.flatMap((agent) => agentReferences(agent, after)),
    ...servers.flatMap((server) => serverReferences(server, after)),
    ...twins(servers),
    ...issuers.flatMap((issuer) => issuerReferences(issuer, after)),
    ...keyFlaws(after, touched),
  ];
}

const isWritten = ({ change }: Plan['changes'][number]): boolean => change === 'created' || change === 'changed';

const isNewLife = ({ kind, change, fields }: Plan['changes'][number]): boolean =>
  kind === 'agent' && (change === 'created' || fields.some(({ field }) => field === 'expires_at'));

function twiceIn(wish: Wish): readonly Flaw[] {
  const ids = [
    ...wish.agent.map(({ client_id: id }) => ({ kind: 'agent', id, path: 'client_id' }) as const),
    ...wish.server.map(({ resource: id }) => ({ kind: 'server', id, path: 'resource' }) as const),
    ...wish.issuer.map(({ issuer: id }) => ({ kind: 'issuer', id, path: 'issuer' }) as const),
  ];
  const seen = new Set<string>();
  return ids.flatMap((named) => {
    const key = `${named.kind} ${named.id}`;
    if (seen.has(key)) return [{ ...named, message: 'is named twice in this document' }];
    seen.add(key);
    return [];
  });
}

function agentFlaws(agent: Agent, us: Ourselves): readonly Flaw[] {
  const flaw = at('agent', agent.client_id);
  return [
    ...(agent.client_id === us.trustDomain ? [flaw('client_id', 'is the name of our trust domain')] : []),
    ...agent.redirect_uris.flatMap((uri, i) => {
      const message = redirectFlaw(uri);
      return message === undefined ? [] : [flaw(`redirect_uris.${i}`, message)];
    }),
    ...agent.hand_over_to.flatMap((id, i) =>
      id === agent.client_id ? [flaw(`hand_over_to.${i}`, 'is this agent itself')] : [],
    ),
  ];
}

function agentReferences(agent: Agent, after: Contents): readonly Flaw[] {
  const flaw = at('agent', agent.client_id);
  return [
    ...ceilingFlaws(agent.allow, after, flaw),
    ...agent.hand_over_to.flatMap((id, i) =>
      after.agent.has(id) ? [] : [flaw(`hand_over_to.${i}`, `there is no agent ${id}`)],
    ),
  ];
}

/** OWASP NHI7: an agent ends by itself, unless somebody says again that it is wanted. */
function lifeFlaws({ client_id, expires_at }: Agent, now: Seconds, latest: Seconds): readonly Flaw[] {
  const [flaw, end] = [at('agent', client_id), Date.parse(expires_at) / 1000];
  if (end <= now) return [flaw('expires_at', 'must be in the future')];
  return end > latest ? [flaw('expires_at', `must be at most ${(latest - now) / 86_400} days from now`)] : [];
}

function serverFlaws(server: McpServer, us: Ourselves): readonly Flaw[] {
  const flaw = at('server', server.resource);
  return [
    // A token for this server would have our own issuer as its audience, as a person's token has.
    ...(server.resource === us.issuer ? [flaw('resource', 'is our own issuer')] : []),
    ...(server.client_id === us.trustDomain ? [flaw('client_id', 'is the name of our trust domain')] : []),
    ...server.allow.flatMap(({ resource }, i) =>
      resource === server.resource ? [flaw(`allow.${i}.resource`, 'is this server itself')] : [],
    ),
  ];
}

function serverReferences(server: McpServer, after: Contents): readonly Flaw[] {
  const flaw = at('server', server.resource);
  return [
    ...(after.agent.has(server.client_id) ? [flaw('client_id', 'is the client id of an agent')] : []),
    ...ceilingFlaws(server.allow, after, flaw),
  ];
}

/** Servers of one client id, each with the first of the others. */
function twins(servers: readonly McpServer[]): readonly Flaw[] {
  const sharing = new Map<string, McpServer[]>();
  for (const server of servers) {
    const others = sharing.get(server.client_id);
    if (others === undefined) sharing.set(server.client_id, [server]);
    else others.push(server);
  }
  return [...sharing.values()].flatMap((same) =>
    same.length < 2
      ? []
      : same.map(({ resource }, n) => {
          const message = `is the client id of ${same[n === 0 ? 1 : 0]?.resource ?? ''} too`;
          return at('server', resource)('client_id', message);
        }),
  );
}

function issuerFlaws(issuer: TrustedIssuer, us: Ourselves): readonly Flaw[] {
  const flaw = at('issuer', issuer.issuer);
  return [
    ...(issuer.issuer.replace(/\/$/, '') === us.issuer ? [flaw('issuer', 'is our own issuer')] : []),
    ...(isSafeUrl(issuer.issuer) ? [] : [flaw('issuer', SAFE)]),
  ];
}

function issuerReferences(issuer: TrustedIssuer, after: Contents): readonly Flaw[] {
  const missing = (path: string, id: string): readonly Flaw[] =>
    after.agent.has(id) ? [] : [at('issuer', issuer.issuer)(path, `there is no agent ${id}`)];
  return [
    ...issuer.agents.flatMap((id, i) => missing(`agents.${i}`, id)),
    ...Object.entries(issuer.client_ids).flatMap(([theirs, ours]) => missing(`client_ids.${theirs}`, ours)),
  ];
}

function ceilingFlaws(
  allow: readonly Ceiling[],
  after: Contents,
  flaw: (path: string, message: string) => Flaw,
): readonly Flaw[] {
  return allow.flatMap(({ resource, scopes, tools }, i) => {
    const server = after.server.get(resource);
    if (server === undefined) return [flaw(`allow.${i}.resource`, `there is no MCP server ${resource}`)];
    const known = new Set(server.tools.map(({ name }) => name));
    return [
      ...(allow.findIndex((other) => other.resource === resource) < i
        ? [flaw(`allow.${i}.resource`, 'is named twice')]
        : []),
      ...scopes.flatMap((scope, j) =>
        server.scopes.includes(scope) ? [] : [flaw(`allow.${i}.scopes.${j}`, `${resource} has no scope ${scope}`)],
      ),
      ...(tools === '*' ? [] : tools).flatMap((tool, j) =>
        known.has(tool) ? [] : [flaw(`allow.${i}.tools.${j}`, `${resource} has no tool ${tool}`)],
      ),
    ];
  });
}

/** OAuth 2.1: compared as text, so no fragment; a code never travels in the clear beyond the machine. */
function redirectFlaw(uri: string): string | undefined {
  if (uri.includes('#')) return 'must have no fragment';
  return isSafeUrl(uri) ? undefined : SAFE;
}
