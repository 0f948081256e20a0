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
export const ToolDefinition = z
  .strictObject({
    name: ToolName,
    title: z.string().max(256).optional(),
    description: z.string().max(16_384).optional(),
    inputSchema: JsonRecord,
    outputSchema: JsonRecord.optional(),
    annotations: JsonRecord.optional(),
  })
  .refine(isStorable, {
    error: 'must be at most 64 KB, 24 levels deep, and without U+0000, broken characters and reserved keys',
  });
export type ToolDefinition = z.infer<typeof ToolDefinition>;

const PINNED = ['name', 'title', 'description', 'inputSchema', 'outputSchema', 'annotations'] as const;

/** The pinned members of one entry of `tools/list`; `undefined` when it is not a tool that can be registered. */
export function definitionOf(listed: JsonObject): ToolDefinition | undefined {
  const pinned = Object.fromEntries(PINNED.flatMap((name) => (name in listed ? [[name, listed[name]]] : [])));
  // Looked at as it was sent: parsing would drop a reserved key, and what is left would be another definition.
  if (!isStorable(pinned)) return undefined;
  const read = ToolDefinition.safeParse(pinned);
  return read.success ? read.data : undefined;
}

/**
 * The pin of an entry of `tools/list` whether or not it is a tool that can be registered; `undefined` when it has no
 * RFC 8785 form. Of a definition it is the {@link definitionDigest}.
 */
export function listedPin(listed: JsonObject): string | undefined {
  if (depthOf(listed, MAX_DEPTH) > MAX_DEPTH) return undefined;
  const pin = digest(
    Object.fromEntries(PINNED.flatMap((name) => (name in listed ? [[name, listed[name] ?? null]] : []))),
  );
  return pin.ok ? pin.value : undefined;
}

/** The pin: SHA-256 over the RFC 8785 form of the definition, base64url. Agents, verifiers and Writ all compute this one. */
export function definitionDigest(definition: ToolDefinition): Result<string, CanonicalFlaw> {
  return digest(copyJson(Object.fromEntries(PINNED.map((name) => [name, definition[name]]))));
}

const MAX_DEPTH = 24;
const MAX_LENGTH = 65_536;

/** PostgreSQL keeps no U+0000 and no half of a surrogate pair, and our own parser takes no reserved key. */
function isStorable(definition: unknown): boolean {
  if (depthOf(definition, MAX_DEPTH) > MAX_DEPTH) return false;
  const text = JSON.stringify(definition);
  return (
    text.length <= MAX_LENGTH &&
    !/(?<!\\)(?:\\\\)*(?:\\u0000|\\ud[89a-f]|"(?:__proto__|constructor|prototype)":)/.test(text)
  );
}

/** How deep a value is nested; stops counting beyond `limit`. */
function depthOf(value: unknown, limit: number): number {
  if (typeof value !== 'object' || value === null || limit < 0) return 0;
  let deepest = 0;
  for (const member of Object.values(value)) deepest = Math.max(deepest, depthOf(member, limit - 1));
  return deepest + 1;
}
