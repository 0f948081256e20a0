import { z } from 'zod';
import { ClientId, ResourceUri, ScopeToken, Text } from '../protocol/index.js';
import { AuthenticationOfClient, Ceiling, Name, Status } from './agent.js';
import { Tool } from './tool.js';

/** Which access token a server gets: `txnat+jwt`, or `at+jwt` with `txn` for servers that only know RFC 9068. */
export const TokenShape = z.enum(['txnat+jwt', 'at+jwt']);
export type TokenShape = z.infer<typeof TokenShape>;

/** An MCP server: a protected resource, and itself a client for introspection and its own exchanges. */
export const McpServer = z
  .strictObject({
    resource: ResourceUri,
    client_id: ClientId,
    name: Name,
    owner: Text.min(1).max(256),
    status: Status.default('active'),
    token_shape: TokenShape.default('txnat+jwt'),
    authentication: AuthenticationOfClient.describe('For introspection, revocation and its own exchanges.'),
    dpop_required: z.boolean().default(false),
    scopes: z.array(ScopeToken).min(1).max(256),
    tools: z.array(Tool).max(512),
    allow: z.array(Ceiling).max(64).default([]).describe('Other MCP servers that it may call for a person.'),
    transaction_tokens: z.boolean().default(true).describe('Whether it may ask for tokens for the trust domain.'),
    reports_outcomes: z
      .boolean()
      .nullable()
      .default(null)
      .describe(
        'Whether it reports what became of calls. `true`: a permitted call without an outcome is a finding. `false`: it is ' +
          'none. `null`: it is one as soon as the server has reported once, as the guard of `writ/verifier` does by itself.',
      ),
  })
  .refine(({ tools }) => new Set(tools.map(({ name }) => name)).size === tools.length, {
    error: 'names one tool twice',
    path: ['tools'],
  })
  .refine(({ tools, scopes }) => tools.every((tool) => tool.scopes.every((scope) => scopes.includes(scope))), {
    error: 'a tool needs a scope that the server does not list',
    path: ['tools'],
  });
export type McpServer = z.infer<typeof McpServer>;
export type McpServerInput = z.input<typeof McpServer>;
