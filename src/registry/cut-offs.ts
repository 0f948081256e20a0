import { z } from 'zod';
import { feedTarget } from '../protocol/index.js';
import type { Agent } from './agent.js';
import type { TrustedIssuer } from './issuer.js';
import type { McpServer } from './server.js';
import { toolState } from './tool.js';

const WasTool = z.looseObject({ name: z.string(), reviewed: z.string().optional(), changed: z.unknown().optional() });
const Was = z.looseObject({
  status: z.string(),
  client_id: z.string().optional(),
  resource: z.string().optional(),
  issuer: z.string().optional(),
  tools: z.array(WasTool).default([]),
});

/**
 * What a change of an agent, server or trusted issuer cuts off: tokens from before it are worth nothing any more.
 * A server is an agent too where it calls others. `before` is the document that was stored.
 */
export function cutOffs(before: unknown, after: Agent | McpServer | TrustedIssuer | undefined): readonly string[] {
  const was = Was.safeParse(before).data;
  if (was?.status !== 'active') return [];
  const { resource, issuer, client_id: client } = was;
  if (after?.status !== 'active')
    return [
      ...(resource === undefined ? [] : [feedTarget.server(resource)]),
      ...(client === undefined ? [] : [feedTarget.agent(client)]),
      ...(issuer === undefined ? [] : [`issuer:${issuer}`]),
    ];
  if (resource === undefined) return [];
  const tools = 'tools' in after ? after.tools : [];
  return was.tools
    .filter((tool) => isReviewed(tool) && !tools.some((now) => isReviewed(now) && isSame(tool, now)))
    .map(({ name }) => feedTarget.tool(resource, name));
}

type Pinned = Readonly<{ name: string; reviewed?: string | undefined; changed?: unknown }>;

const isReviewed = (tool: Pinned): boolean => toolState(tool) === 'reviewed';

const isSame = (one: Pinned, other: Pinned): boolean => one.name === other.name && one.reviewed === other.reviewed;
