import type { z } from 'zod';
import type {
  Agent,
  AgentDraft,
  Authentication,
  McpServer,
  RegistrySnapshot,
  TrustedIssuer,
} from '../registry/index.js';
import { withPending } from '../registry/index.js';
import { agentKind, type Contents, issuerKind, type Kind, type ObjectKind, serverKind, split } from './contents.js';
import { EXAMPLE_AGENT, EXAMPLE_ISSUER, EXAMPLE_SERVER, SENT_AGENT, SENT_SERVER } from './examples.js';
import type { Wanted } from './plan.js';
import type { ChangeEffect } from './foresight.js';
import {
  AgentBody,
  AgentPut,
  AgentView,
  IssuerBody,
  IssuerPut,
  IssuerView,
  ServerBody,
  ServerPut,
  ServerView,
} from './shapes.js';

/** One kind of object as the API serves it: `T` as it is written, `V` as it is shown, `S` as it is sent. */
export type Collection<T extends object, V extends T, S extends object = T> = Readonly<{
  name: ObjectKind;
  plural: string;
  title: string;
  schemaName: string;
  idField: string;
  kind: Kind<T>;
  view: z.ZodType<V>;
  /** As a change of it is answered. */
  put: z.ZodType<V & { effect?: ChangeEffect | undefined }>;
  body: z.ZodType<S>;
  example: V;
  sent: S;
  sentId: (object: S) => string;
  among: (contents: Contents) => ReadonlyMap<string, T>;
  shown: (snapshot: RegistrySnapshot) => readonly V[];
  /** As the object would be shown in the place of the one that is there. */
  would: (object: T, there: V | undefined) => V;
  /** What to write when this was sent; the registry may know what has to stay. */
  wish: (object: S, before: Contents) => Partial<Wanted>;
}>;

export const agents: Collection<Agent, AgentView, AgentDraft> = {
  name: 'agent',
  plural: 'agents',
  title: 'agent',
  schemaName: 'Agent',
  idField: 'client_id',
  kind: agentKind,
  view: AgentView,
  put: AgentPut,
  body: AgentBody,
  example: EXAMPLE_AGENT,
  sent: SENT_AGENT,
  sentId: ({ client_id }) => client_id,
  among: (contents) => contents.agent,
  shown: (snapshot) => [...snapshot.agents].map(shownClient),
  would: (object, there) => ({ ...object, has_secret: keepsSecret(object, there) }),
  wish: (object) => ({ agent: [object] }),
};

export const servers: Collection<McpServer, ServerView> = {
  name: 'server',
  plural: 'servers',
  title: 'MCP server',
  schemaName: 'McpServer',
  idField: 'resource',
  kind: serverKind,
  view: ServerView,
  put: ServerPut,
  body: ServerBody,
  example: EXAMPLE_SERVER,
  sent: SENT_SERVER,
  sentId: serverKind.idOf,
  among: (contents) => contents.server,
  shown: (snapshot) => [...snapshot.servers].map(shownClient),
  would: (object, there) => ({ ...object, has_secret: keepsSecret(object, there) }),
  wish: (object, before) => ({ server: [withPending(object, before.server.get(object.resource))] }),
};

export const issuers: Collection<TrustedIssuer, TrustedIssuer> = {
  name: 'issuer',
  plural: 'issuers',
  title: 'trusted issuer',
  schemaName: 'TrustedIssuer',
  idField: 'issuer',
  kind: issuerKind,
  view: IssuerView,
  put: IssuerPut,
  body: IssuerBody,
  example: EXAMPLE_ISSUER,
  sent: EXAMPLE_ISSUER,
  sentId: issuerKind.idOf,
  among: (contents) => contents.issuer,
  shown: (snapshot) => [...snapshot.issuers],
  would: (object) => object,
  wish: (object) => ({ issuer: [object] }),
};

function shownClient<T extends { secretHash: string | undefined }>(
  registered: T,
): Omit<T, 'secretHash'> & { has_secret: boolean } {
  const { object, hasSecret } = split(registered);
  return { ...object, has_secret: hasSecret };
}

/** A secret goes when its client is registered for a key. */
const keepsSecret = (
  { authentication }: Readonly<{ authentication: Authentication }>,
  there: Readonly<{ has_secret: boolean }> | undefined,
): boolean => there?.has_secret === true && authentication.method !== 'private_key_jwt';
