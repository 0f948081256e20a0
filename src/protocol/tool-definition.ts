import { z } from 'zod';
import type { Result } from '../base/index.js';
import { type CanonicalFlaw, digest } from './canonical.js';
import { copyJson, type JsonObject } from './json.js';
import { ToolName } from './words.js';

const JsonRecord = z.record(z.string(), z.unknown());

/**
 * What is pinned of a tool as `tools/list` of its MCP server describes it: all that a model or a person acts on. Icons,
 * `_meta` and members that we do not know are left out, so they may change without a review.
 */
export const ToolDefinition = z.strictObject({
  name: ToolName,
  title: z.string().max(256).optional(),
  description: z.string().max(16_384).optional(),
  inputSchema: JsonRecord,
  outputSchema: JsonRecord.optional(),
  annotations: JsonRecord.optional(),
});
export type ToolDefinition = z.infer<typeof ToolDefinition>;

const PINNED = ['name', 'title', 'description', 'inputSchema', 'outputSchema', 'annotations'] as const;

/** The pinned members of one entry of `tools/list`; `undefined` when it is not a tool that can be registered. */
export function definitionOf(listed: JsonObject): ToolDefinition | undefined {
  const pinned = Object.fromEntries(PINNED.flatMap((name) => (name in listed ? [[name, listed[name]]] : [])));
  const read = ToolDefinition.safeParse(pinned);
  return read.success ? read.data : undefined;
}

/** The pin: SHA-256 over the RFC 8785 form of the definition, base64url. Agents, verifiers and Writ all compute this one. */
export function definitionDigest(definition: ToolDefinition): Result<string, CanonicalFlaw> {
  return digest(copyJson(Object.fromEntries(PINNED.map((name) => [name, definition[name]]))));
}
