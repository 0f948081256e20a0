import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import { McpServer as McpServerV1 } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { close, origin } from './mcp.js';

export type Listed = Record<string, unknown> & { name: string };
export type ToolServer = {
  resource: string;
  /** What it lists from now on; each array is a page. */
  pages: Listed[][];
  /** Which bearer token it wants; `undefined` wants none. */
  token: string | undefined;
  /** The Authorization header of every request. */
  authorizations: (string | undefined)[];
  close(): Promise<void>;
};
export type Revision = '2025-11-25' | '2026-07-28';
export const REVISIONS: readonly Revision[] = ['2025-11-25', '2026-07-28'];

/** A tool as servers list it, with an input schema of text arguments. */
export const listed = (name: string, more: Record<string, unknown> = {}, args: readonly string[] = []): Listed => ({
  name,
  description: `Does ${name}.`,
  inputSchema: { type: 'object', properties: Object.fromEntries(args.map((arg) => [arg, { type: 'string' }])) },
  ...more,
});

/** A real MCP server of the official SDK that lists what a test wants, page by page. */
export async function startToolServer(revision: Revision, pages: Listed[][] = [[]]): Promise<ToolServer> {
  const state: Pick<ToolServer, 'pages' | 'token' | 'authorizations'> = { pages, token: undefined, authorizations: [] };
  const page = (cursor: string | undefined) => {
    const at = cursor === undefined ? 0 : Number(cursor);
    return {
      tools: (state.pages[at] ?? []) as never[],
      ...(at + 1 < state.pages.length ? { nextCursor: String(at + 1) } : {}),
    };
  };
  const listener = revision === '2026-07-28' ? modern(page) : older(page);
  const server = createServer((request, response) => {
    state.authorizations.push(request.headers.authorization);
    if (state.token !== undefined && request.headers.authorization !== `Bearer ${state.token}`) {
      response.writeHead(401, { 'www-authenticate': 'Bearer' }).end();
      return;
    }
    listener(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve).unref());
  return Object.assign(state, { resource: `${origin(server)}/mcp`, close: () => close(server) });
}

type Page = (cursor: string | undefined) => { tools: never[]; nextCursor?: string };
const INFO = { name: 'tools', version: '1.0.0' };
const CAN = { capabilities: { tools: {} } };

function modern(page: Page): RequestListener {
  const handler = createMcpHandler(() => {
    const server = new McpServer(INFO, CAN);
    server.server.setRequestHandler('tools/list', ({ params }) => Promise.resolve(page(params?.cursor)));
    return server;
  });
  return toNodeHandler(handler) as RequestListener;
}

function older(page: Page): RequestListener {
  return (request: IncomingMessage, response) => {
    const server = new McpServerV1(INFO, CAN);
    server.server.setRequestHandler(ListToolsRequestSchema, ({ params }) => Promise.resolve(page(params?.cursor)));
    const transport = new StreamableHTTPServerTransport({});
    void server.connect(transport as never).then(() => transport.handleRequest(request, response));
  };
}
