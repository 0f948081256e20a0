export { type Agent, createAgent, type HandOver } from './agent.js';
export { AgentError, type AgentErrorCode } from './errors.js';
export type { Exchange } from './exchange.js';
export type { CallOptions, McpFetch } from './fetch.js';
export type { Fetch } from './http.js';
export type { AgentOptions } from './options.js';
export type { ExchangeRequest, WantedTool } from './request.js';
export type { GrantedTool, TokenSet } from './response.js';
export type { SessionState } from '../../protocol/index.js';
