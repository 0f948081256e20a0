import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { type Agent, createAgent, type AgentOptions } from 'writ/agent';

/** What the work is about. Writ puts it into every token and every record; it cannot change on the way. */
export const WORK = { task: 'T-1182', purpose: 'publish the weekly report' };

/** An agent is its id and its key. It knows nothing of OAuth. */
export const createPlanner = (options: Pick<AgentOptions, 'issuer' | 'key' | 'fetch' | 'waiting'>): Agent =>
  createAgent({ ...options, clientId: 'agt_planner' });

/** Gets its work from Planner. */
export const createWriter = (options: Pick<AgentOptions, 'issuer' | 'key' | 'fetch'>): Agent =>
  createAgent({ ...options, clientId: 'agt_writer' });

/** An official MCP client whose every call carries a token for exactly that call. */
export async function connect(agent: Agent, resource: string, subjectToken: string): Promise<Client> {
  const client = new Client({ name: 'agent', version: '1.0.0' });
  const fetch = agent.fetch({ resource, subjectToken, ...WORK });
  await client.connect(new StreamableHTTPClientTransport(new URL(resource), { fetch }));
  return client;
}
