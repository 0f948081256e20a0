import type { AgentDraftInput, McpServerInput, Tool, TrustedIssuerInput } from '../../src/registry/index.js';
import { TokenType } from '../../src/protocol/index.js';
import type { KeyPair } from './keys.js';
import type { McpProcess } from './serve-mcp.js';
import { reviewedTool, type ReviewedTool } from '../reviewed-tool.js';

/** What an administrator writes down: who exists, and the most that each may do. */
export type Registry = Readonly<{
  agents: AgentDraftInput[];
  servers: McpServerInput[];
  issuers: TrustedIssuerInput[];
}>;

export type Facts = Readonly<{
  files: Pick<McpProcess, 'resource' | 'definitions'>;
  payments: Pick<McpProcess, 'resource' | 'definitions'>;
  companyIssuer: string;
  redirectUri: string;
  keys: Readonly<Record<'planner' | 'writer' | 'files' | 'payments', KeyPair>>;
}>;

export function demoRegistry({ files, payments, companyIssuer, redirectUri, keys }: Facts): Registry {
  const owner = 'platform team';
  // People as their issuer knows them; nobody has to have been here before.
  const answerable = { owner: `${companyIssuer}#bob`, sponsor: `${companyIssuer}#carol` };
  const [filesUrl, paymentsUrl] = [files.resource, payments.resource];
  const [file, payment] = [reviewed(files), reviewed(payments)];
  const by = ({ publicJwk }: KeyPair) => ({ method: 'private_key_jwt' as const, jwks: { keys: [publicJwk] } });
  return {
    servers: [
      {
        resource: filesUrl,
        client_id: 'srv_files',
        name: 'Files',
        owner,
        authentication: by(keys.files),
        scopes: ['files:read', 'files:write'],
        tools: [
          file('read_file', { scopes: ['files:read'], tier: 'low', action: 'read' }),
          {
            ...file('watch_file', { scopes: ['files:read'], tier: 'low', action: 'read' }),
            // Watching costs. Whoever wants more than this in one session waits for a person.
            budgets: [{ unit: 'calls', per: 'session', limit: 10, on_breach: 'pause' }],
          },
          file('write_file', { scopes: ['files:write'], tier: 'medium', action: 'write' }),
          file('delete_file', { scopes: ['files:write'], tier: 'high', action: 'delete' }),
          file('share_file', { scopes: ['files:write'], tier: 'medium', action: 'send' }),
        ],
      },
      {
        resource: paymentsUrl,
        client_id: 'srv_payments',
        name: 'Payments',
        owner,
        authentication: by(keys.payments),
        scopes: ['payments:read', 'payments:write'],
        tools: [
          payment('list_invoices', { scopes: ['payments:read'], tier: 'low', action: 'read' }),
          payment('pay_invoice', { scopes: ['payments:write'], tier: 'high', action: 'pay' }),
        ],
      },
    ],
    agents: [
      {
        client_id: 'agt_planner',
        name: 'Planner',
        ...answerable,
        purpose: 'Plans and publishes the weekly report',
        authentication: by(keys.planner),
        redirect_uris: [redirectUri],
        // Not share_file: nobody gave it that.
        allow: [
          {
            resource: filesUrl,
            scopes: ['files:read', 'files:write'],
            tools: ['read_file', 'watch_file', 'write_file', 'delete_file'],
          },
          { resource: paymentsUrl, scopes: ['payments:read', 'payments:write'], tools: '*' },
        ],
        hand_over_to: ['agt_writer'],
      },
      {
        client_id: 'agt_writer',
        name: 'Writer',
        ...answerable,
        purpose: 'Writes what Planner asks it to write',
        authentication: by(keys.writer),
        allow: [{ resource: filesUrl, scopes: ['files:write'], tools: ['write_file'] }],
      },
    ],
    issuers: [
      {
        issuer: companyIssuer,
        name: 'The Company',
        jwks_uri: `${companyIssuer}/jwks`,
        // Planner may also bring the ID token of somebody who signed in at the company itself: to read, no more.
        accepts: [{ token_type: TokenType.idToken, typ: null, scopes: ['files:read'] }],
        agents: ['agt_planner'],
      },
    ],
  };
}

/** A tool of this server as it was read and reviewed. */
const reviewed =
  ({ definitions }: Pick<McpProcess, 'definitions'>) =>
  (name: string, tool: ReviewedTool): Tool => {
    const definition = definitions.find((one) => one.name === name);
    if (definition === undefined) throw new Error(`the server has no tool ${name}`);
    return reviewedTool(name, { ...tool, ...definition });
  };
