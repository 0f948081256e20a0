import type { AgentDraft, McpServer, TrustedIssuer } from '../registry/index.js';
import type { AgentView, ServerView } from './shapes.js';

/** Objects that the description of the API shows; a test registers them. */
export const SENT_SERVER: McpServer = {
  resource: 'https://mcp.example.com/files',
  client_id: 'mcp_files',
  name: 'Files',
  owner: 'storage@example.com',
  status: 'active',
  token_shape: 'txnat+jwt',
  authentication: { method: 'private_key_jwt', jwks_uri: 'https://mcp.example.com/files/jwks.json' },
  dpop_required: false,
  scopes: ['files:read', 'files:write'],
  tools: [
    { name: 'read_file', scopes: ['files:read'], tier: 'low', action: 'read', data: 'internal', sensitive: [] },
    { name: 'write_file', scopes: ['files:write'], tier: 'high', action: 'write', data: 'internal', sensitive: [] },
  ],
  allow: [],
  transaction_tokens: true,
  reports_outcomes: true,
};

export const SENT_AGENT: AgentDraft = {
  client_id: 'agt_planner',
  name: 'Planner',
  owner: 'https://login.example.com#8c1f0c6e',
  sponsor: 'https://login.example.com#b72d44a1',
  purpose: 'Plans and publishes the weekly report.',
  status: 'active',
  authentication: { method: 'private_key_jwt', jwks_uri: 'https://agents.example.com/planner/jwks.json' },
  redirect_uris: ['https://agents.example.com/planner/callback'],
  allow: [{ resource: SENT_SERVER.resource, scopes: ['files:read'], tools: ['read_file'] }],
  hand_over_to: [],
  transaction_tokens: false,
  dpop_required: false,
};

export const EXAMPLE_ISSUER: TrustedIssuer = {
  issuer: 'https://login.example.com',
  name: 'Company sign-in',
  status: 'active',
  jwks_uri: 'https://login.example.com/jwks.json',
  accepts: [
    {
      token_type: 'urn:ietf:params:oauth:token-type:id_token',
      typ: null,
      audiences: ['agt_planner'],
      scopes: ['files:read'],
    },
  ],
  agents: [SENT_AGENT.client_id],
  client_ids: {},
  claims: { scope: 'scope', email: 'email' },
};

/** The same as they are shown. */
export const EXAMPLE_SERVER: ServerView = { ...SENT_SERVER, has_secret: false };
export const EXAMPLE_AGENT: AgentView = {
  ...SENT_AGENT,
  owner: 'prs_7HqXb2c4d6e8f0a1b2c3d4',
  sponsor: 'prs_k1L2m3N4o5P6q7R8s9T0uA',
  expires_at: '2027-11-22T09:00:00.000Z',
  has_secret: false,
};
