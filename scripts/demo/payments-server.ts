import { McpServer } from '@modelcontextprotocol/server';
import { createVerifier, type IntrospectionClient } from 'writ/verifier';
import { z } from 'zod';
import { type McpProcess, type Notes, serveMcp, text } from './serve-mcp.js';

/**
 * An MCP server that asks Writ before every call (RFC 7662) and spends one use of the token in the same step. So several
 * replicas count together, and what was revoked a moment ago is refused. It has a key of its own to ask with.
 */
export async function startPaymentsServer(
  issuer: string,
  port: number,
  { introspection, notes }: Readonly<{ introspection: IntrospectionClient; notes: Notes }>,
): Promise<McpProcess> {
  const resource = `http://127.0.0.1:${port}/payments`;
  const verifier = createVerifier({ issuer, resource, introspection, uses: 'writ' });
  const guard = verifier.guard({ onRefused: notes.refused });

  const payments = (): McpServer => {
    const server = new McpServer({ name: 'payments', version: '1.0.0' });
    server.registerTool(
      'list_invoices',
      { description: 'Lists the open invoices.', inputSchema: z.object({}) },
      guard.tool('list_invoices', (_nothing, { delegation }) => {
        notes.ran('list_invoices', delegation);
        return text('INV-7: 120 EUR to Paper & Co.');
      }),
    );
    server.registerTool(
      'pay_invoice',
      { description: 'Pays an invoice.', inputSchema: z.object({ invoice: z.string(), euros: z.number() }) },
      guard.tool('pay_invoice', ({ invoice, euros }, { delegation }) => {
        notes.ran('pay_invoice', delegation);
        return text(`Paid ${euros} EUR for ${invoice}.`);
      }),
    );
    return server;
  };

  return serveMcp(verifier, { resource, make: payments, guarded: (handler) => guard.fetch(handler) });
}
