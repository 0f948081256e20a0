import type { ToolDefinition } from '../protocol/index.js';
import { type Tool, toolState } from './tool.js';

/** Somebody other than the administrator has seen a definition of a tool. `by` is the client that says so. */
export type DefinitionReport = Readonly<{
  sha256: string;
  definition: ToolDefinition | undefined;
  seenBy: 'agent' | 'verifier';
  by: string;
  seenAt: string;
}>;

/** `marked`: the tool waits for a review from now on. Every other result changes nothing. */
export type Reported = 'marked' | 'waiting' | 'as_reviewed' | 'not_reviewed' | 'disbelieved';

/**
 * What a report makes of a tool. It can only stop a tool, once until a person or an import has settled it, and a client
 * whose report about this definition turned out wrong is not heard again: a liar stops a tool for one reading at most.
 */
export function withReport(tool: Tool, report: DefinitionReport): Readonly<{ tool: Tool; result: Reported }> {
  const { sha256, definition, seenBy, by, seenAt } = report;
  if (toolState(tool) === 'draft') return { tool, result: 'not_reviewed' };
  if (sha256 === tool.reviewed) return { tool, result: 'as_reviewed' };
  if (tool.disbelieved?.includes(by) === true) return { tool, result: 'disbelieved' };
  const { changed } = tool;
  const brings = definition !== undefined && changed?.sha256 === sha256 && changed.definition === undefined;
  if (changed !== undefined && !brings) return { tool, result: 'waiting' };
  const seen = { sha256, ...(definition === undefined ? {} : { definition }), seen_by: seenBy, seen_at: seenAt, by };
  return { tool: { ...tool, changed: seen }, result: 'marked' };
}

const MAX_DISBELIEVED = 64;

/** The tool once what was reported of it turned out wrong: as it was reviewed, and who said otherwise is not heard again. */
export function withoutReport(tool: Tool): Tool {
  const { changed, ...rest } = tool;
  if (changed?.by === undefined) return rest;
  return { ...rest, disbelieved: [...new Set([changed.by, ...(rest.disbelieved ?? [])])].slice(0, MAX_DISBELIEVED) };
}
