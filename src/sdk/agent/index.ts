export { type Agent, createAgent, type HandOver } from './agent.js';
export {
  type Deferral,
  type DeferralStore,
  memoryDeferralStore,
  type Waiting,
  type WaitingOptions,
} from './deferral.js';
export { AgentError, type AgentErrorCode } from './errors.js';
export type { Exchange } from './exchange.js';
export type { CallOptions, McpFetch } from './fetch.js';
export type { Fetch } from './http.js';
export type { AgentOptions } from './options.js';
export type { ExchangeRequest, WantedTool } from './request.js';
export { type Rotated, rotateKey } from './rotate.js';
export type { SignInAgain, StepUp } from './step-up.js';
export type { GrantedTool, TokenSet } from './response.js';
export type { SessionState } from '../../protocol/index.js';
