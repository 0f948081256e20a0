export { type BudgetedCall, type BudgetFlaw, debitsOf, type MoneyRule, type Spender } from './budget.js';
export type { PauseWish, SessionChange, SessionFilter, SessionPage, SessionsAdmin, SessionUse } from './ports.js';
export {
  type NumberedRevocation,
  REVOCABLE,
  type Revocable,
  type RevocationsAdmin,
  type RevocationTarget,
  type Revoked,
} from './revocations.js';
export type {
  AgentSession,
  Breach,
  Debit,
  Hold,
  Reservation,
  SessionBudget,
  SessionPause,
  SessionSeen,
  SessionStanding,
  SessionWish,
} from './types.js';
