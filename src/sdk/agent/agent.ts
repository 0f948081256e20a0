import { createExchange, type Exchange } from './exchange.js';
import { type CallOptions, createMcpFetch, type McpFetch } from './fetch.js';
import { createDiscovery } from './issuer.js';
import { createNonces } from './nonces.js';
import { type AgentOptions, readOptions } from './options.js';
import type { ExchangeRequest } from './request.js';
import type { TokenSet } from './response.js';

/** An agent with its key. */
export interface Agent {
  /** Swaps a token for one that is good for the wanted server and tools (RFC 8693). */
  exchange: Exchange;
  /**
   * A `fetch` for an MCP client: `new StreamableHTTPClientTransport(url, { fetch: agent.fetch({ … }) })`. Tokens, proofs
   * and retries happen by themselves; a refusal by the issuer rejects with an `AgentError`.
   */
  fetch(options: CallOptions): McpFetch;
  /** Hands work on to another agent: the token it gets can be exchanged by that agent only. */
  handOver(subjectToken: string, toAgent: string, more?: HandOver): Promise<TokenSet>;
}

/** What the other agent may do: scopes, as many or fewer than this one has. Tools it names itself when it exchanges. */
export type HandOver = Pick<ExchangeRequest, 'subjectTokenType' | 'scope' | 'task' | 'purpose'>;

/**
 * Makes an {@link Agent}. Nothing is fetched before the first exchange.
 *
 * @example
 * const agent = createAgent({ issuer: 'https://writ.example', clientId: 'agt_planner', key });
 * const fetch = agent.fetch({ resource: 'https://mcp.example/files', subjectToken });
 * await client.connect(new StreamableHTTPClientTransport(new URL('https://mcp.example/files'), { fetch }));
 */
export function createAgent(options: AgentOptions): Agent {
  const settings = readOptions(options);
  const nonces = createNonces();
  const discovery = createDiscovery(settings);
  const exchange = createExchange(settings, nonces, discovery);
  return Object.freeze({
    exchange,
    fetch: (call: CallOptions) => createMcpFetch(call, { exchange, nonces, settings, discovery }),
    handOver: (subjectToken: string, toAgent: string, more: HandOver = {}) =>
      exchange({ ...more, subjectToken, audience: toAgent }),
  });
}
