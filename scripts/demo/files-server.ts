import { McpServer } from '@modelcontextprotocol/server';
import { createVerifier } from 'writ/verifier';
import { z } from 'zod';
import { type McpProcess, type Notes, serveMcp, text } from './serve-mcp.js';

/** Files can be taken over: whoever holds it describes read_file in other words. */
export type FilesServer = McpProcess & Readonly<{ describe(words: string): void }>;

/**
 * An MCP server that checks tokens offline, with nothing but the public keys of Writ. What Writ adds to a server of the
 * official SDK is `createVerifier`, `guard.fetch` around the server and `guard.tool` around each handler.
 */
export async function startFilesServer(issuer: string, port: number, notes: Notes): Promise<FilesServer> {
  const resource = `http://127.0.0.1:${port}/files`;
  const stored = new Map([['notes/week-47.md', 'Shipped the importer. Two invoices are open.']]);

  // All of this runs on one machine with one clock, so no difference of clocks is forgiven. The default is 30 s.
  const verifier = createVerifier({ issuer, resource, clockSkewSeconds: 0 });
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
  return { ...served, describe };
}
