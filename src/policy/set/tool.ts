import type { JsonObject, Tier } from '../../protocol/index.js';

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

export const ACTION_CLASSES = ['read', 'write', 'delete', 'execute', 'send', 'pay'] as const;
export type ActionClass = (typeof ACTION_CLASSES)[number];

export const DATA_CLASSES = ['public', 'internal', 'confidential', 'restricted'] as const;
export type DataClass = (typeof DATA_CLASSES)[number];

const TIERS = ['low', 'medium', 'high', 'critical'] as const satisfies readonly Tier[];

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
  ...ACTION_CLASSES,
  ...DATA_CLASSES.map((data) => `data:${data}`),
  ...TIERS.map((tier) => `tier:${tier}`),
];
