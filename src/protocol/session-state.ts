import { z } from 'zod';
import { BudgetState } from './budget.js';

/**
 * Why an agent session gives no token now, for the agent's program: beside `error` in the refusal (RFC 6749 section 5.2).
 * `paused` waits for whoever paused it, or for `resets_at` seconds; `needs_reauth` for the person; `ended` for nothing.
 */
export const SessionState = z.object({
  status: z.enum(['paused', 'needs_reauth', 'budget_exhausted', 'ended']),
  /** Absent where none was opened yet. */
  session: z.string().max(128).exactOptional(),
  reason: z.string().max(256),
  /** Seconds since 1970. */
  resets_at: z.number().int().nonnegative().exactOptional(),
  /** What has not enough left. */
  budget: BudgetState.exactOptional(),
});
export type SessionState = z.infer<typeof SessionState>;
