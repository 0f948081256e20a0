import type { Seconds } from '../base/index.js';

/** What an administrator can revoke in one write, with all that it reaches. */
export const REVOCABLE = [
  'token',
  'transaction',
  'session',
  'agent',
  'owner',
  'person',
  'issuer',
  'server',
  'tool',
  'agent_key',
] as const;
export type Revocable = (typeof REVOCABLE)[number];

/** `id`: see RevocationsAdmin; of a token its `jti`, or the SHA-256 of it that the log has. */
export type RevocationTarget = Readonly<{ kind: Revocable; id: string }>;

/** A number on the feed. `kind` is the part of the target before its colon. */
export type NumberedRevocation = Readonly<{
  number: number;
  target: string;
  reason: string;
  by: string;
  at: Seconds;
}>;

export type Revoked = Readonly<{ revocation: NumberedRevocation; sessions: number; consents: number; tokens: number }>;

/**
 * Revocation by scope. What stays enabled (an agent, a person, a server, a tool) is cut off: everything from before ends,
 * and what is granted from now on is good. A token, a transaction, a session and a key are ended for good.
 */
export interface RevocationsAdmin {
  /** One write: the number, the sessions and consents that end with it, and the records of all that. `undefined`: nobody knows it. */
  revoke(target: RevocationTarget, order: Readonly<{ by: string; reason: string }>): Promise<Revoked | undefined>;
  /** The newest first; `before` is the number of the last one seen. */
  list(page: Readonly<{ before?: number; limit: number }>): Promise<readonly NumberedRevocation[]>;
  find(target: string): Promise<NumberedRevocation | undefined>;
}
