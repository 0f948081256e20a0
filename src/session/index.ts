export type { PauseWish, SessionChange, SessionFilter, SessionPage, SessionsAdmin } from './ports.js';
export type { AgentSession, SessionPause, SessionStanding, SessionWish } from './types.js';
