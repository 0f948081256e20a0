export type { PauseWish, SessionChange, SessionFilter, SessionPage, SessionsAdmin } from './ports.js';
export type { AgentSession, SessionPause, SessionStanding, SessionWish } from './types.js';
export {
  type NumberedRevocation,
  REVOCABLE,
  type Revocable,
  type RevocationsAdmin,
  type RevocationTarget,
  type Revoked,
} from './revocations.js';
