import type { McpServer } from './server.js';
import type { Tool } from './tool.js';

/**
 * The server as somebody wrote it, with the changes of its tools that still wait for a review. Writing a tool anew is no
 * review: a change is settled by `reviewed` with the hash of that very change, or where it was looked at, and never by
 * leaving it out. What was written without the definition keeps the one that is known for its hash.
 */
export function withPending(written: McpServer, before: McpServer | undefined): McpServer {
  if (before === undefined) return written;
  const known = new Map(before.tools.map((tool) => [tool.name, tool]));
  return { ...written, tools: written.tools.map((tool) => carried(tool, known.get(tool.name))) };
}

function carried(written: Tool, before: Tool | undefined): Tool {
  if (before === undefined) return written;
  const { changed } = before;
  const isReview = changed !== undefined && written.reviewed === changed.sha256;
  const definition =
    written.definition ??
    (isReview ? changed.definition : written.reviewed === before.reviewed ? before.definition : undefined);
  const tool: Tool = { ...written, ...(definition === undefined ? {} : { definition }) };
  if (isReview) delete tool.changed;
  else if (changed !== undefined) tool.changed = changed;
  if (written.reviewed === before.reviewed && before.disbelieved !== undefined) tool.disbelieved = before.disbelieved;
  return tool;
}
