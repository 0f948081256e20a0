export type { SessionFilter, SessionPage, SessionsAdmin } from './ports.js';
export type { AgentSession, SessionWish } from './types.js';
