import type { AgentSession } from './types.js';

export type SessionFilter = Readonly<{ person?: string; agent?: string; status?: AgentSession['status'] }>;

/** `after` is the id of the last session seen. */
export type SessionPage = Readonly<{ after?: string; limit: number }>;

/** The administrator's side of sessions. */
export interface SessionsAdmin {
  list(
    filter: SessionFilter,
    page: SessionPage,
  ): Promise<Readonly<{ sessions: readonly AgentSession[]; next: string | undefined }>>;
  get(id: string): Promise<AgentSession | undefined>;
  /** Ends a session and with it every token of it, at once; recorded and numbered in the same transaction. */
  end(id: string, by: string, reason: string): Promise<'ended' | 'already_ended' | 'unknown'>;
}
