import type { ActionClass, Tier, ToolDefinition } from '../src/protocol/index.js';
import { Tool, withReview } from '../src/registry/index.js';

export type ReviewedTool = Readonly<{
  scopes: string[];
  tier: Tier;
  action: ActionClass;
}> &
  Partial<ToolDefinition>;

/** A tool for the registry that counts as reviewed: with its definition and the pin of it. */
export function reviewedTool(name: string, { scopes, tier, action, ...described }: ReviewedTool): Tool {
  const tool = Tool.parse({ name, scopes, tier, action, data: 'internal' });
  const reviewed = withReview(tool, { name, inputSchema: { type: 'object' }, ...described });
  if (!reviewed.ok) throw new Error(`the definition of ${name}: ${reviewed.error}`);
  return reviewed.value;
}
