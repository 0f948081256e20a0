import { once } from 'node:events';
import { McpServer } from '@modelcontextprotocol/server';
import { createVerifier, type IntrospectionClient } from 'writ/verifier';
import { z } from 'zod';
import { type McpProcess, type Notes, serveMcp, text } from './serve-mcp.js';

/**
 * Files can be taken over: whoever holds it describes read_file in other words. `asked` is every path of Writ that it went
 * to, the last one last.
 */
export type FilesServer = McpProcess & Readonly<{ describe(words: string): void; asked: readonly string[] }>;

/**
 * An MCP server that checks tokens offline, with the public keys of Writ and the feed of what is revoked. What Writ adds to
 * a server of the official SDK is `createVerifier`, `guard.fetch` around the server and `guard.tool` around each handler.
 */
export async function startFilesServer(
  issuer: string,
  port: number,
  {
    follower,
    isRegistered,
    notes,
  }: Readonly<{ follower: IntrospectionClient; isRegistered: () => boolean; notes: Notes }>,
): Promise<FilesServer> {
  const resource = `http://127.0.0.1:${port}/files`;
  const stored = new Map([
    ['notes/week-47.md', 'Shipped the importer. Two invoices are open.'],
    ['drafts/week-46.md', 'To be thrown away.'],
  ]);

  const asked: string[] = [];
  const verifier = createVerifier({
    ...{ issuer, resource, introspection: follower, feed: true },
    // All of this runs on one machine with one clock, so no difference of clocks is forgiven. The default is 30 s.
    clockSkewSeconds: 0,
    // A machine that does much besides must not spoil the story. The default is 2 s.
    timeoutMs: 10_000,
    // Writ does not know Files before an administrator has said what it is.
    fetch: (url, init) => {
      if (!isRegistered()) return Promise.reject(new Error('not yet'));
      asked.push(new URL(url).pathname);
      return fetch(url, init);
    },
  });
  const guard = verifier.guard({ onRefused: notes.refused });

  let description = 'Reads a file.';
  const files = (): McpServer => {
    const server = new McpServer({ name: 'files', version: '1.0.0' });
    server.registerTool(
      'read_file',
      { description, inputSchema: z.object({ path: z.string() }) },
      guard.tool('read_file', ({ path }, { delegation }) => {
        notes.ran('read_file', delegation);
        return text(stored.get(path) ?? 'There is no such file.');
      }),
    );
    server.registerTool(
      'watch_file',
      { description: 'Watches a file until it is told to stop.', inputSchema: z.object({ path: z.string() }) },
      guard.tool('watch_file', async ({ path }, { delegation, signal }) => {
        notes.ran('watch_file', delegation);
        if (!signal.aborted) await once(signal, 'abort');
        throw new Error(`Stopped watching ${path}.`);
      }),
    );
    server.registerTool(
      'write_file',
      { description: 'Writes a file.', inputSchema: z.object({ path: z.string(), text: z.string() }) },
      guard.tool('write_file', (file, { delegation }) => {
        notes.ran('write_file', delegation);
        stored.set(file.path, file.text);
        return text(`Wrote ${file.path} for ${delegation.person}.`);
      }),
    );
    server.registerTool(
      'delete_file',
      { description: 'Deletes a file for good.', inputSchema: z.object({ path: z.string() }) },
      guard.tool('delete_file', ({ path }, { delegation }) => {
        notes.ran('delete_file', delegation);
        return text(stored.delete(path) ? `Deleted ${path}.` : 'There is no such file.');
      }),
    );
    server.registerTool(
      'share_file',
      { description: 'Shares a file with anybody.', inputSchema: z.object({ path: z.string() }) },
      guard.tool('share_file', ({ path }, { delegation }) => {
        notes.ran('share_file', delegation);
        return text(`Everybody can read ${path}.`);
      }),
    );
    return server;
  };

  const served = await serveMcp(verifier, { resource, make: files, guarded: (handler) => guard.fetch(handler) });
  const describe = (words: string): void => {
    description = words;
  };
  return { ...served, describe, asked };
}
