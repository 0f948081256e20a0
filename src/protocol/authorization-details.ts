import { z } from 'zod';
import { MCP_TOOL_CALL } from './names.js';
import { ToolName } from './words.js';

/**
 * RFC 9396: permission to call one tool of one MCP server. With `arguments_sha256` only with exactly those arguments
 * (RFC 8785 digest of the raw `params.arguments`); `max_uses` is how often the token may be used for it.
 */
export const McpToolCall = z.strictObject({
  type: z.literal(MCP_TOOL_CALL),
  locations: z.tuple([z.string().min(1).max(512)]),
  actions: z.tuple([z.literal('tools/call')]),
  identifier: ToolName,
  arguments_sha256: z
    .string()
    .regex(/^[A-Za-z0-9_-]{43}$/)
    .optional(),
  definition_sha256: z
    .string()
    .regex(/^[A-Za-z0-9_-]{43}$/)
    .optional(),
  max_uses: z.number().int().min(1).max(1_000),
});
export type McpToolCall = z.infer<typeof McpToolCall>;

/** Tools in one token: a wider task is several tokens. */
export const MOST_TOOLS = 32;
export const McpToolCalls = z.array(McpToolCall).min(1).max(MOST_TOOLS);
