import { z } from 'zod';
import { Budgets, ClientId, isPlainText, Jwks, ResourceUri, ScopeToken, Text, ToolName } from '../protocol/index.js';

/** What a client may ask for at one MCP server: the ceiling, never a grant. `tools: '*'` means every registered tool. */
export const Ceiling = z.strictObject({
  resource: ResourceUri,
  scopes: z.array(ScopeToken).max(256),
  tools: z.union([z.literal('*'), z.array(ToolName).max(512)]),
});
export type Ceiling = z.infer<typeof Ceiling>;

export const Status = z.enum(['active', 'disabled']);
export type Status = z.infer<typeof Status>;

/** Which of these are safe (https, or http on loopback) the admin room judges, in the words of each field. */
const WebUrl = z
  .url({ protocol: /^https?$/ })
  .max(512)
  .refine(isPlainText, { error: 'must have no control characters' });
const Name = Text.min(1).max(128);

/** How a client proves who it is (RFC 7523 with RFC 10070; a secret only where an administrator wrote one down). */
export const Authentication = z.discriminatedUnion('method', [
  z.strictObject({ method: z.literal('private_key_jwt'), jwks: Jwks.optional(), jwks_uri: WebUrl.optional() }),
  z.strictObject({ method: z.enum(['client_secret_basic', 'client_secret_post']) }),
]);
export type Authentication = z.infer<typeof Authentication>;

const authentication = Authentication.refine(
  (auth) => auth.method !== 'private_key_jwt' || (auth.jwks === undefined) !== (auth.jwks_uri === undefined),
  { error: 'give exactly one of jwks and jwks_uri' },
);

const Accountable = Text.min(1).max(1_024);
const NAMING = 'Shown as the id of a person (prs_…); may be sent as <issuer>#<subject> too.';

/** An AI agent: an OAuth client that acts for people. */
export const Agent = z.strictObject({
  client_id: ClientId,
  name: Name,
  // Text, so that agents from before people were asked for can be read; whoever writes one has to name people.
  owner: Accountable.describe(`The person who answers for this agent. ${NAMING}`),
  sponsor: Accountable.exactOptional().describe(
    `The person who wants this agent to exist, and who says so again when it is renewed. Mandatory for an active agent. ${NAMING}`,
  ),
  purpose: Text.min(1).max(512),
  status: Status.default('active'),
  authentication,
  redirect_uris: z.array(WebUrl).max(16).default([]),
  allow: z.array(Ceiling).max(256).default([]).describe('What this agent may ask for, by MCP server.'),
  hand_over_to: z.array(ClientId).max(64).default([]).describe('Agents that it may hand a delegation over to.'),
  transaction_tokens: z.boolean().default(false).describe('Whether it may ask for tokens for the trust domain.'),
  dpop_required: z.boolean().default(false),
  budgets: Budgets.optional().describe('What it, and whoever acts under it, may spend across tokens.'),
  expires_at: z.iso.datetime().describe('After this instant the agent is refused.'),
});
export type Agent = z.infer<typeof Agent>;
export type AgentInput = z.input<typeof Agent>;

/** An agent as it is sent: without an end it gets one. */
export const AgentDraft = Agent.extend({
  expires_at: Agent.shape.expires_at
    .exactOptional()
    .describe(
      'After this instant the agent is refused. Without it: what it was, or as late as may be for a new agent.',
    ),
});
export type AgentDraft = z.infer<typeof AgentDraft>;
export type AgentDraftInput = z.input<typeof AgentDraft>;

export { authentication as AuthenticationOfClient, WebUrl, Name };
