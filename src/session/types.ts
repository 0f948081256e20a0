import type { Seconds } from '../base/index.js';

/** A run of an agent for a person, held by Writ and carried as a claim; never the state of an MCP transport. */
export type AgentSession = Readonly<{
  id: string;
  personId: string;
  agentId: string;
  status: 'active' | 'ended';
  lastSequence: number;
  openedAt: Seconds;
  lastUsedAt: Seconds;
  expiresAt: Seconds;
  endedAt: Seconds | undefined;
  endedBy: string | undefined;
}>;

/** The session that an exchange continues, or opens when there is none of this run. */
export type SessionWish = Readonly<{
  runKey: string;
  newId: string;
  personId: string;
  agentId: string;
  expiresAt: Seconds;
}>;
