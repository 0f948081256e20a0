import { perObject } from '../../base/index.js';
import { ActionClass, copyJson, DataClass, isObject, type JsonObject, Tier } from '../../protocol/index.js';
import type { McpServer } from '../../registry/index.js';

/** What a policy can know of a tool: its key is the pair of server and name (TL-02). */
export type PolicyTool = Readonly<{
  /** The MCP server's resource URI, which holds no '#'. */
  server: string;
  name: string;
  action: ActionClass;
  data: DataClass;
  tier: Tier;
  /** The reviewed schema of its arguments; without one, policies see no argument. */
  inputSchema: JsonObject | undefined;
  sensitive: readonly string[];
}>;

/**
 * The tools of these servers as a person reviewed them. One that has changed since is still among them: it cannot be called,
 * and a policy that names it still fits. The same server gives the same tools, so that what hangs on them is worked out once.
 */
export const policyTools = (servers: Iterable<Server>): readonly PolicyTool[] => [...servers].flatMap(reviewedTools);

type Server = Readonly<Pick<McpServer, 'resource' | 'tools'>>;

const reviewedTools = perObject(({ resource, tools }: Server): readonly PolicyTool[] =>
  tools.flatMap((tool) => {
    const { name, action, data, tier, sensitive, definition } = tool;
    if (tool.reviewed === undefined || action === undefined || data === undefined) return [];
    const inputSchema = definition && objectOf(definition.inputSchema);
    return [{ server: resource, name, action, data, tier, sensitive, inputSchema }];
  }),
);

/** A value of ours as a JSON object: what JSON keeps of it. */
export function objectOf(value: Readonly<Record<string, unknown>>): JsonObject {
  const copy = copyJson(value);
  return isObject(copy) ? copy : {};
}

/** The tool's own action in Cedar. No tool's action is ever a group: a group's name holds no '#'. */
export const actionOf = ({ server, name }: Pick<PolicyTool, 'server' | 'name'>): string => `${server}#${name}`;

/** The groups of actions that a tool is in: its class, its data and its tier. */
export const groupsOf = ({ action, data, tier }: PolicyTool): readonly string[] => [
  action,
  `data:${data}`,
  `tier:${tier}`,
];

/** Every group that there is. */
export const GROUPS: readonly string[] = [
  ...ActionClass.options,
  ...DataClass.options.map((data) => `data:${data}`),
  ...Tier.options.map((tier) => `tier:${tier}`),
];
