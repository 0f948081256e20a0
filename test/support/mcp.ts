import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { McpServer as McpServerV1 } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import express from 'express';
import { z } from 'zod';
import type { ApprovedCall, Guard, VerifierOptions } from '../../src/sdk/verifier/index.js';
import { createVerifier } from '../../src/sdk/verifier/index.js';

/** What the tools of a test server saw: nothing is a proof that nothing ran. */
export type Ran = { tool: string; args: unknown; call: ApprovedCall }[];
export type RunningServer = { url: string; resource: string; ran: Ran; guard: Guard; close(): Promise<void> };
export type Adapter = 'v2 fetch' | 'v2 node' | 'v1 express' | 'v1 node';
export const ADAPTERS: readonly Adapter[] = ['v2 fetch', 'v2 node', 'v1 express', 'v1 node'];

/** A real MCP server of the official SDK with two guarded tools, on loopback. */
export async function startMcp(
  adapter: Adapter,
  options: Omit<VerifierOptions, 'resource'>,
  scopes: Record<string, string[]> = {},
): Promise<RunningServer> {
  const server = createServer((request, response) => {
    listener(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve).unref());
  const resource = `${origin(server)}/mcp`;
  const guard = createVerifier({ ...options, resource }).guard({ scopes });
  const ran: Ran = [];
  const listener: RequestListener = listeners[adapter](guard, ran);
  return { url: resource, resource, ran, guard, close: () => close(server) };
}

const Path = z.object({ path: z.string(), mode: z.string().default('create') });
const done = { content: [{ type: 'text' as const, text: 'done' }] };

function v2(guard: Guard, ran: Ran): McpServer {
  const server = new McpServer({ name: 'files', version: '1.0.0' });
  for (const tool of ['write_file', 'read_file']) {
    server.registerTool(
      tool,
      { inputSchema: Path },
      guard.tool(tool, (args, call) => {
        ran.push({ tool, args, call });
        return done;
      }),
    );
  }
  return server;
}

function v1(guard: Guard, ran: Ran): McpServerV1 {
  const server = new McpServerV1({ name: 'files', version: '1.0.0' });
  for (const tool of ['write_file', 'read_file']) {
    server.registerTool(
      tool,
      { inputSchema: Path.shape },
      guard.tool(tool, (args, call) => {
        ran.push({ tool, args, call });
        return done;
      }),
    );
  }
  return server;
}

const listeners: Record<Adapter, (guard: Guard, ran: Ran) => RequestListener> = {
  'v2 fetch': (guard, ran) => {
    const handler = createMcpHandler(() => v2(guard, ran));
    return toNodeHandler({
      fetch: guard.fetch((request, options) => handler.fetch(request, options)),
    }) as RequestListener;
  },
  'v2 node': (guard, ran) => {
    const handler = toNodeHandler(createMcpHandler(() => v2(guard, ran)));
    return guard.node((request, response, body) => handler(request as never, response, body));
  },
  'v1 node': (guard, ran) =>
    guard.node(async (request, response, body) => {
      const transport = new StreamableHTTPServerTransport({});
      await v1(guard, ran).connect(transport);
      await transport.handleRequest(request, response, body);
    }),
  'v1 express': (guard, ran) => {
    const app = express();
    app.use('/mcp', guard.express(), express.json(), (request, response, next) => {
      const transport = new StreamableHTTPServerTransport({});
      v1(guard, ran)
        .connect(transport as never)
        .then(() => transport.handleRequest(request, response, request.body))
        .catch(next);
    });
    return app;
  },
};

/** The origin of a listening server. */
export const origin = (server: Server): string => `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;

/** Ends a server and its connections. */
export async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}

/** A raw tools/call with this text as its arguments; `undefined` leaves them out. */
export const callText = (tool: string, args?: string): string =>
  `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"${tool}"${args === undefined ? '' : `,"arguments":${args}`}}}`;

/** Sends a body as it is. */
export function post(url: string, body: string, headers: Record<string, string>): Promise<Response> {
  return fetch(url, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers },
  });
}

/** The JSON-RPC answer, whether it came plain or as one event. */
export async function rpcOf(response: Response): Promise<unknown> {
  const text = await response.text();
  const data = /^data: (.*)$/m.exec(text)?.[1] ?? text;
  return JSON.parse(data) as unknown;
}
