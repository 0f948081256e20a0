import type { Seconds } from '../base/index.js';
import type { AgentSession, SessionBudget } from './types.js';

export type SessionFilter = Readonly<{
  person?: string;
  agent?: string;
  status?: AgentSession['status'];
  parent?: string;
  /** Those only that have not ended. */
  live?: true;
}>;

/** `after` is the id of the last session seen. */
export type SessionPage = Readonly<{ after?: string; limit: number }>;

export type SessionChange = Readonly<{ by: string; reason: string }>;

/** `seconds`: the pause ends by itself after so long. */
export type PauseWish = SessionChange & Readonly<{ seconds: Seconds | undefined }>;

/** The administrator's side of sessions. */
export interface SessionsAdmin {
  list(
    filter: SessionFilter,
    page: SessionPage,
  ): Promise<Readonly<{ sessions: readonly AgentSession[]; next: string | undefined }>>;
  get(id: string): Promise<AgentSession | undefined>;
  /** What the session, with all of its tree, has drawn on budgets of its own. */
  budgets(id: string): Promise<readonly SessionBudget[]>;
  /**
   * Pauses a session and those below it, and cuts off every token of them; recorded and numbered in the same transaction. A pause by
   * the person of the session becomes that of whoever else pauses it, never the other way round.
   */
  pause(id: string, wish: PauseWish): Promise<'paused' | 'already_paused' | 'already_ended' | 'unknown'>;
  /** Ends the pause of a session, and of those below it that were paused with it. The person of the session ends their own only. */
  resume(
    id: string,
    change: SessionChange,
  ): Promise<'resumed' | 'not_paused' | 'paused_above' | 'paused_by_another' | 'already_ended' | 'unknown'>;
  /** Ends a session, those below it and every token of them, at once; recorded and numbered in the same transaction. */
  end(id: string, change: SessionChange): Promise<'ended' | 'already_ended' | 'unknown'>;
}

/** How long an agent is known, and when it was last used. */
export interface SessionUse {
  of(
    agents: readonly string[],
  ): Promise<ReadonlyMap<string, Readonly<{ since: Seconds; lastUsed: Seconds | undefined }>>>;
}
