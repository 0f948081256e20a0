import type { Client as McpClient } from '@modelcontextprotocol/client';
import { err, ok, type Result } from '../base/index.js';
import { isLoopback, type JsonObject, watchToolsList } from '../protocol/index.js';
import type { ListedTools, ReadingFlaw, ReadingFlawCode, ToolsReader } from '../registry/index.js';
import { boundedFetch, Unreadable } from './bounded-fetch.js';

export type Bounds = Readonly<{ timeMs: number; bytes: number; pages: number; tools: number }>;

/** Less than the admin API has for an answer; and as many tools as a server may have. */
const BOUNDS: Bounds = { timeMs: 4_000, bytes: 4 * 1024 * 1024, pages: 64, tools: 512 };

/**
 * Reads `tools/list` to its end with the official client, which speaks both revisions. What it gives are the entries as
 * they were sent, not as the client understood them: others pin those too.
 */
export const readTools =
  ({ allowLoopback }: Readonly<{ allowLoopback: boolean }>, bounds: Bounds = BOUNDS): ToolsReader =>
  async ({ resource, token }) => {
    const url = new URL(resource);
    const isLocal = allowLoopback && isLoopback(url.hostname);
    if (url.protocol !== 'https:' && !isLocal) return refused('unsafe_address');
    // Not loaded at every start of a server.
    const { Client, StreamableHTTPClientTransport } = await import('@modelcontextprotocol/client');
    const deadline = AbortSignal.timeout(bounds.timeMs);
    const sent: JsonObject[][] = [];
    const fetch = boundedFetch({ url, token, deadline, bytes: bounds.bytes });
    const transport = new StreamableHTTPClientTransport(url, {
      fetch: async (input, init) => watchToolsList(await fetch(input, init), (tools) => sent.push([...tools])),
    });
    const client = new Client({ name: 'writ', version: '1' }, { versionNegotiation: { mode: 'auto' } });
    try {
      await client.connect(transport, { signal: fetch.over, timeout: bounds.timeMs });
      const tools = await allPages(client, sent, { ...bounds, over: fetch.over });
      return ok({ revision: client.getNegotiatedProtocolVersion() ?? '', tools });
    } catch (thrown) {
      return refused(codeOf(thrown, fetch.flaw() ?? (deadline.aborted ? 'too_slow' : undefined)));
    } finally {
      await Promise.allSettled([transport.terminateSession()]);
      await Promise.allSettled([client.close()]);
    }
  };

type Limits = Bounds & Readonly<{ over: AbortSignal }>;

async function allPages(
  client: McpClient,
  sent: readonly (readonly JsonObject[])[],
  { pages, tools: most, timeMs, over }: Limits,
): Promise<readonly JsonObject[]> {
  const tools: JsonObject[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < pages; page++) {
    const before = sent.length;
    // An empty cursor would have the client read every page by itself.
    const answer = await client.request(
      { method: 'tools/list', params: cursor === undefined ? {} : { cursor } },
      { signal: over, timeout: timeMs },
    );
    const [entries, ...more] = sent.slice(before);
    if (entries === undefined || more.length > 0) throw new Unreadable('not_mcp');
    tools.push(...entries);
    if (tools.length > most) throw new Unreadable('too_many_tools');
    cursor = answer.nextCursor;
    if (cursor === undefined) return tools;
  }
  throw new Unreadable('too_many_pages');
}

/** Our own fetch knows best what happened; the client wraps it in words of its own. */
function codeOf(thrown: unknown, flaw: ReadingFlawCode | undefined): ReadingFlawCode {
  return flaw ?? (thrown instanceof Unreadable ? thrown.code : 'not_mcp');
}

const refused = (code: ReadingFlawCode): Result<ListedTools, ReadingFlaw> => err({ code, sentence: SENTENCES[code] });

const SENTENCES: Readonly<Record<ReadingFlawCode, string>> = {
  unsafe_address: 'The address of the server must be https (http on loopback, where Writ itself is local)',
  unreachable: 'The server does not answer',
  too_slow: 'The server did not answer in time',
  redirected: 'The server answered with a redirect, which is not followed',
  unauthorized: 'The server wants a token, or another one (401)',
  forbidden: 'The server refuses this token its list of tools (403)',
  server_failed: 'The server answered with an error (5xx)',
  too_large: 'The answers of the server are larger than 4 MB',
  too_many_pages: 'The server has more than 64 pages of tools',
  too_many_tools: 'The server has more than 512 tools',
  not_mcp: 'The server does not answer as an MCP server',
};
