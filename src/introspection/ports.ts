import type { RecordHead } from '../audit/index.js';
import type { Seconds } from '../base/index.js';
import type { Spend } from '../client/index.js';

/** What the database knows of one token that Writ signed. */
export type TokenState = Readonly<{
  /** It is in the log, neither it nor anything that it descends from is revoked, and its session lives. */
  live: boolean;
  /** The version of the registry at that moment: a newer one than the caller was authenticated with is stale. */
  registryVersion: number;
  /** A one-time key of the request that was already spent. */
  replayed: boolean;
  /** Whether a use was taken, when one was asked for. */
  consumed: boolean;
}>;

export type StateQuestion = Readonly<{
  requestId: string;
  registryVersion: number;
  spends: readonly Spend[];
  /** SHA-256 of the token's `jti`; without it only the spends are spent. */
  tokenHash: string | undefined;
  consume: Consumption | undefined;
}>;

/** One use of a token for a tool, and the record of it, taken or not. */
export type Consumption = Readonly<{
  tool: string;
  maxUses: number;
  expiresAt: Seconds;
  record: RecordHead;
  session: string;
  txn: string;
}>;

/** One statement: spends what the request brought, reads the token's state, takes a use of it, if it is live, and records that. */
export interface TokenStates {
  ask(question: StateQuestion): Promise<TokenState>;
}

/** RFC 7009: ends one token for good, numbered and recorded. */
export interface TokenRevoker {
  revokeToken(token: Readonly<{ tokenHash: string; txn: string | undefined }>, by: string): Promise<void>;
}
