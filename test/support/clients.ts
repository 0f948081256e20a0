import { Agent, type AgentInput, makeSnapshot, McpServer, type McpServerInput } from '../../src/registry/index.js';
import type { TrustedIssuer } from '../../src/registry/index.js';
import { type FormRequest, untraced } from '../../src/protocol/index.js';
import { NOW, RS } from './delegations.js';

type Registered = Parameters<typeof makeSnapshot>[1];

/** An agent as the registry has it. Break one thing of it. */
export const registeredAgent = ({
  secretHash,
  ...changes
}: Partial<AgentInput> & { secretHash?: string } = {}): Registered['agents'][number] => ({
  ...Agent.parse({
    client_id: 'agt_a',
    name: 'A',
    owner: 'o',
    purpose: 'p',
    authentication: { method: 'client_secret_basic' },
    expires_at: new Date((NOW + 86_400) * 1000).toISOString(),
    ...changes,
  }),
  secretHash,
});

/** The MCP server of {@link RS}. */
export const registeredServer = ({
  secretHash,
  ...changes
}: Partial<McpServerInput> & { secretHash?: string } = {}): Registered['servers'][number] => ({
  ...McpServer.parse({
    resource: RS,
    client_id: 'srv_files',
    name: 'Files',
    owner: 'o',
    authentication: { method: 'client_secret_basic' },
    scopes: ['files:read'],
    tools: [],
    ...changes,
  }),
  secretHash,
});

export const registryOf = (
  contents: Readonly<{
    agents?: Registered['agents'];
    servers?: Registered['servers'];
    issuers?: readonly TrustedIssuer[];
  }>,
  version = 1,
): ReturnType<typeof makeSnapshot> => makeSnapshot(version, { agents: [], servers: [], issuers: [], ...contents });

/** A form request as http/ hands it on. */
export const formRequest = (
  form: Readonly<Record<string, string | undefined>>,
  headers: Readonly<Record<string, string | readonly string[]>> = {},
): FormRequest => ({
  form: new Map(
    Object.entries(form).flatMap(([name, value]): [string, readonly string[]][] =>
      value === undefined ? [] : [[name, [value]]],
    ),
  ),
  header: (name) => [headers[name] ?? []].flat(),
  network: '192.0.2.1',
  requestId: 'req_1',
  traceId: undefined,
  traceparent: undefined,
  trace: untraced,
  isOver: () => false,
});
