import type { Seconds } from '../base/index.js';
import { clientOf } from '../protocol/index.js';
import type { Agent } from './agent.js';
import type { TrustedIssuer } from './issuer.js';
import type { McpServer } from './server.js';

/** A registered client with the hash of its secret, if it has one (`scrypt` text form, never the secret). */
export type RegisteredAgent = Agent & Readonly<{ secretHash: string | undefined }>;
export type RegisteredServer = McpServer & Readonly<{ secretHash: string | undefined }>;

/** A policy set as its authors wrote it, under the hash of its files. */
export type PolicyFiles = Readonly<{ hash: string; files: readonly Readonly<{ path: string; text: string }>[] }>;

/** The whole registry, and the policies over it, at one version. Immutable: a change makes a new snapshot, and commits compare versions. */
export interface RegistrySnapshot {
  readonly version: number;
  /** The active policy set; without one nothing is permitted. */
  readonly policies: PolicyFiles | undefined;
  agent(clientId: string): RegisteredAgent | undefined;
  serverByResource(resource: string): RegisteredServer | undefined;
  serverByClientId(clientId: string): RegisteredServer | undefined;
  issuer(issuer: string): TrustedIssuer | undefined;
  readonly agents: Iterable<RegisteredAgent>;
  readonly servers: Iterable<RegisteredServer>;
  readonly issuers: Iterable<TrustedIssuer>;
}

/** True while the agent may act at all. */
export const isUsable = (agent: Pick<Agent, 'status' | 'expires_at'>, now: Seconds): boolean =>
  agent.status === 'active' && Date.parse(agent.expires_at) / 1000 > now;

/** Builds the lookups once per version. */
export function makeSnapshot(
  version: number,
  contents: Readonly<{
    agents: readonly RegisteredAgent[];
    servers: readonly RegisteredServer[];
    issuers: readonly TrustedIssuer[];
    policies?: PolicyFiles | undefined;
  }>,
): RegistrySnapshot {
  const agents = new Map(contents.agents.map((agent) => [agent.client_id, agent]));
  const servers = new Map(contents.servers.map((server) => [server.resource, server]));
  const byClientId = new Map(contents.servers.map((server) => [server.client_id, server]));
  const issuers = new Map(contents.issuers.map((issuer) => [issuer.issuer, issuer]));
  return {
    version,
    policies: contents.policies,
    agent: (id) => agents.get(id),
    serverByResource: (resource) => servers.get(resource),
    serverByClientId: (id) => byClientId.get(id),
    issuer: (issuer) => issuers.get(issuer),
    agents: contents.agents,
    servers: contents.servers,
    issuers: contents.issuers,
  };
}

/**
 * The first actor of a chain that we name and that may act no more, or `undefined`. An instance (`<client id>/<name>`)
 * acts as its client; an actor of another issuer is not ours to judge.
 */
export function unusableActor(
  actors: readonly Readonly<{ sub: string; iss: string }>[],
  registry: Pick<RegistrySnapshot, 'agent' | 'serverByClientId'>,
  { issuer, now }: Readonly<{ issuer: string; now: Seconds }>,
): string | undefined {
  const isGone = ({ sub, iss }: Readonly<{ sub: string; iss: string }>): boolean => {
    if (iss !== issuer) return false;
    const clientId = clientOf(sub);
    const agent = registry.agent(clientId);
    return agent === undefined ? registry.serverByClientId(clientId)?.status !== 'active' : !isUsable(agent, now);
  };
  return actors.find(isGone)?.sub;
}

/** How clients prove who they are, the weaker first: a secret is known to two. */
export const CLIENT_PROOFS = ['client_secret', 'private_key_jwt'] as const;
export type ClientProof = (typeof CLIENT_PROOFS)[number];

/** The weakest proof of who they are that actors of a chain give; `undefined` where one of them is not ours to know. */
export function weakestProof(
  actors: readonly Readonly<{ sub: string; iss: string }>[],
  registry: Pick<RegistrySnapshot, 'agent' | 'serverByClientId'>,
  issuer: string,
): ClientProof | undefined {
  const proofs = actors.map(({ sub, iss }): ClientProof | undefined => {
    const client = registry.agent(clientOf(sub)) ?? registry.serverByClientId(clientOf(sub));
    if (iss !== issuer || client === undefined) return undefined;
    return client.authentication.method === 'private_key_jwt' ? 'private_key_jwt' : 'client_secret';
  });
  return proofs.includes(undefined) ? undefined : CLIENT_PROOFS.find((proof) => proofs.includes(proof));
}
