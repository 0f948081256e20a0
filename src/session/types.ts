import type { Seconds } from '../base/index.js';

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

/** Why a session gives nothing, as its agent may know it. */
export type SessionStanding = Readonly<{ session: string; reason: string; resumesAt: Seconds | undefined }>;

/** The session that an exchange continues, or opens when there is none of this run. */
export type SessionWish = Readonly<{
  runKey: string;
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
