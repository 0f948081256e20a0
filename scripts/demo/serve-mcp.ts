import { createServer, type RequestListener } from 'node:http';
import { Client } from '@modelcontextprotocol/client';
import { localhostHostValidation, localhostOriginValidation, toNodeHandler } from '@modelcontextprotocol/node';
import { createMcpHandler, InMemoryTransport, type McpServer } from '@modelcontextprotocol/server';
import { ToolDefinition } from 'writ/protocol';
import type { Delegation, FetchHandler, Refused, Verifier } from 'writ/verifier';
import { z } from 'zod';
import { close, listen } from './company.js';

/** A running MCP server. */
export type McpProcess = Readonly<{
  resource: string;
  verifier: Verifier;
  /** Its tools as it describes them in `tools/list`. */
  definitions: readonly ToolDefinition[];
  stop(): Promise<void>;
}>;

/** What a server writes down of its own: what ran and for whom, and why a request was refused. */
export type Notes = Readonly<{
  ran(tool: string, delegation: Delegation): void;
  refused(refused: Refused): void;
}>;

type Served = Readonly<{
  resource: string;
  make: () => McpServer;
  guarded: (fetch: FetchHandler) => (request: Request) => Promise<Response>;
}>;

/** Serves an MCP server at its resource, and beside it the document that tells clients who issues its tokens (RFC 9728). */
export async function serveMcp(verifier: Verifier, { resource, make, guarded }: Served): Promise<McpProcess> {
  const { pathname, port } = new URL(resource);
  const fetch = guarded(createMcpHandler(make).fetch);
  // The SDK declares its own smaller types of Node's request and response.
  const mcp = toNodeHandler({ fetch }) as RequestListener;
  // A page of another site whose name points to this machine is none of ours (DNS rebinding).
  const checks = [localhostHostValidation(), localhostOriginValidation()];
  const server = createServer((request, response) => {
    if (!checks.every((isOurs) => isOurs(request, response))) return;
    if (request.url === pathname) {
      mcp(request, response);
    } else if (request.url === `/.well-known/oauth-protected-resource${pathname}`) {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(verifier.protectedResourceMetadata()));
    } else {
      response.writeHead(404).end();
    }
  });
  await listen(server, Number(port));
  const stop = async (): Promise<void> => {
    await verifier.close();
    await close(server);
  };
  return { resource, verifier, definitions: await definitionsOf(make()), stop };
}

/** What an administrator would read at the server itself. */
async function definitionsOf(server: McpServer): Promise<readonly ToolDefinition[]> {
  const [ours, theirs] = InMemoryTransport.createLinkedPair();
  const client = new Client({ name: 'administrator', version: '1.0.0' });
  await Promise.all([server.connect(theirs), client.connect(ours)]);
  const { tools } = await client.listTools();
  await client.close();
  return z.array(ToolDefinition.catchall(z.unknown())).parse(tools).map(pinned);
}

const pinned = ({ name, title, description, inputSchema, outputSchema, annotations }: ToolDefinition): ToolDefinition =>
  ToolDefinition.parse(
    JSON.parse(JSON.stringify({ name, title, description, inputSchema, outputSchema, annotations })),
  );

/** A tool's answer. */
export const text = (words: string): { content: [{ type: 'text'; text: string }] } => ({
  content: [{ type: 'text', text: words }],
});
