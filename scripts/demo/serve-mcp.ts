import { createServer, type RequestListener } from 'node:http';
import { localhostHostValidation, localhostOriginValidation, toNodeHandler } from '@modelcontextprotocol/node';
import type { Delegation, Refused, Verifier } from 'writ/verifier';
import { close, listen } from './company.js';

/** A running MCP server. */
export type McpProcess = Readonly<{ resource: string; verifier: Verifier; stop(): Promise<void> }>;

/** What a server writes down of its own: what ran and for whom, and why a request was refused. */
export type Notes = Readonly<{
  ran(tool: string, delegation: Delegation): void;
  refused(refused: Refused): void;
}>;

type Served = Readonly<{ resource: string; fetch: (request: Request) => Promise<Response> }>;

/** Serves an MCP server at its resource, and beside it the document that tells clients who issues its tokens (RFC 9728). */
export async function serveMcp(verifier: Verifier, { resource, fetch }: Served): Promise<McpProcess> {
  const { pathname, port } = new URL(resource);
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
  return { resource, verifier, stop: () => close(server) };
}

/** A tool's answer. */
export const text = (words: string): { content: [{ type: 'text'; text: string }] } => ({
  content: [{ type: 'text', text: words }],
});
