import type { Seconds } from '../base/index.js';
import type { AccountScope, Budget, BudgetState, BudgetUnit } from '../protocol/index.js';

/** A run of an agent for a person, held by Writ and carried as a claim; never the state of an MCP transport. */
export type AgentSession = Readonly<{
  id: string;
  personId: string;
  agentId: string;
  status: 'active' | 'paused' | 'ended';
  /** The session of the agent that handed over to this one's. */
  parentId: string | undefined;
  purpose: string | undefined;
  /** How the person was authenticated in every exchange of it; undefined where that differed or was not said. */
  acr: string | undefined;
  /** RFC 9449: the key that alone continues it. */
  jkt: string | undefined;
  lastSequence: number;
  openedAt: Seconds;
  lastUsedAt: Seconds;
  expiresAt: Seconds;
  /** Unused until then it ends. */
  idleUntil: Seconds | undefined;
  paused: SessionPause | undefined;
  endedAt: Seconds | undefined;
  endedBy: string | undefined;
  endedReason: string | undefined;
}>;

export type SessionPause = Readonly<{
  at: Seconds;
  by: string;
  reason: string;
  /** The session whose pause it is: itself, or one above it. */
  with: string;
  /** When it ends by itself. */
  resumesAt: Seconds | undefined;
}>;

/** What is spent of a budget that a session and those below it have to themselves. Decimals are texts. */
export type SessionBudget = BudgetState &
  Readonly<{
    /** Where it is declared: `agent:<client id>`, `tool:<resource>#<name>`, or `writ` for those of all. */
    declaredBy: string;
    /** What of `used` is held for tokens of which it is not known yet what they used. */
    reserved: string;
    resetsAt: Seconds | undefined;
  }>;

/** Why a session gives nothing, as its agent may know it. */
export type SessionStanding = Readonly<{ session: string; reason: string; resumesAt: Seconds | undefined }>;

/**
 * The session of a run as it was some seconds ago at most, for policies; `opened` is absent where the next exchange opens
 * it. `above`: how the person was authenticated in each session that it is below.
 */
export type SessionSeen = Readonly<{
  opened: Readonly<{ at: Seconds; purpose: string | undefined; acr: string | undefined }> | undefined;
  above: readonly (string | undefined)[];
}>;

/** The session that an exchange continues, or opens when there is none of this run. */
export type SessionWish = Readonly<{
  runKey: string;
  /** Of a person of a trusted issuer: a session that was ended before is no obstacle to another one. */
  signedInSince?: Seconds | undefined;
  newId: string;
  personId: string;
  agentId: string;
  expiresAt: Seconds;
  /** The session of the agent that handed over to this one. */
  above?: string | undefined;
  /** The key that the session is bound to, and that alone continues it. */
  jkt?: string | undefined;
  purpose?: string | undefined;
}>;

/** So many uses of one tool, each of this much; what is not used of it returns. */
export type Hold = Readonly<{ tool: string; perUse: string; uses: number }>;

/** What one token reserves on one account of a budget. Amounts are exact decimals, as texts. */
export type Debit = Readonly<{
  /** Names the account; of a session it is complete once the session's id stands behind it. */
  key: string;
  ofSession: boolean;
  unit: BudgetUnit;
  scope: AccountScope;
  currency: string | undefined;
  limit: string;
  onBreach: Budget['on_breach'];
  /** When the account begins anew. */
  endsAt: Seconds | undefined;
  amount: string;
  /** Different tools or servers: what is there already costs nothing. */
  members: readonly string[];
  holds: readonly Hold[];
}>;

/** Why a commit found a budget used up. */
export type Breach = Readonly<{ budget: BudgetState; onBreach: Budget['on_breach']; resetsAt: Seconds | undefined }>;

/**
 * What a token reserves of budgets. `toldBy` says who knows which of its uses were made: `use`, Writ itself, which every use
 * is asked of; `report`, the MCP server, once it reports outcomes; nobody, so that nothing returns.
 */
export type Reservation = Readonly<{
  debits: readonly Debit[];
  server: string;
  toldBy: 'use' | 'report' | undefined;
}>;
