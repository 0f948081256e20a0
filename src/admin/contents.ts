import { perObject } from '../base/index.js';
import type {
  Agent,
  McpServer,
  RegisteredAgent,
  RegisteredServer,
  RegistryChange,
  RegistrySnapshot,
  TrustedIssuer,
} from '../registry/index.js';

export const KINDS = ['agent', 'server', 'issuer'] as const;
export type ObjectKind = (typeof KINDS)[number];

/** The registry as an administrator writes it: by id and without what only the database knows. */
export type Contents = Readonly<{
  agent: ReadonlyMap<string, Agent>;
  server: ReadonlyMap<string, McpServer>;
  issuer: ReadonlyMap<string, TrustedIssuer>;
}>;

/** One kind of object: what names it and how a change of it is written. */
export type Kind<T> = Readonly<{
  idOf(object: T): string;
  write(object: T): RegistryChange;
  remove(id: string): RegistryChange;
}>;

export const agentKind: Kind<Agent> = {
  idOf: ({ client_id }) => client_id,
  write: (object) => ({ kind: 'agent', object }),
  remove: (id) => ({ kind: 'remove-agent', id }),
};
export const serverKind: Kind<McpServer> = {
  idOf: ({ resource }) => resource,
  write: (object) => ({ kind: 'server', object }),
  remove: (id) => ({ kind: 'remove-server', id }),
};
export const issuerKind: Kind<TrustedIssuer> = {
  idOf: ({ issuer }) => issuer,
  write: (object) => ({ kind: 'issuer', object }),
  remove: (id) => ({ kind: 'remove-issuer', id }),
};

/** An object that is unchanged since an earlier version is the same one. */
export const contentsOf = perObject(({ agents, servers, issuers }: RegistrySnapshot): Contents => ({
  agent: new Map([...agents].map((agent) => [agent.client_id, agentOf(agent)])),
  server: new Map([...servers].map((server) => [server.resource, serverOf(server)])),
  issuer: new Map([...issuers].map((issuer) => [issuer.issuer, issuer])),
}));

const agentOf = perObject((agent: RegisteredAgent): Agent => split(agent).object);
const serverOf = perObject((server: RegisteredServer): McpServer => split(server).object);

/** A registered client without the hash of its secret, and whether it has one. */
export function split<T extends { secretHash: string | undefined }>(
  registered: T,
): Readonly<{ object: Omit<T, 'secretHash'>; hasSecret: boolean }> {
  const { secretHash, ...object } = registered;
  return { object, hasSecret: secretHash !== undefined };
}
