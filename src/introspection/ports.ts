import type { RecordHead } from '../audit/index.js';
import type { Result, Seconds } from '../base/index.js';
import type { Spend } from '../client/index.js';
import type { TransactionalAccessToken } from '../protocol/index.js';
import type { RegistrySnapshot } from '../registry/index.js';

/** What the database knows of one token that Writ signed. */
export type TokenState = Readonly<{
  /** It is in the log, neither it nor anything that it descends from is revoked, and its session lives. */
  live: boolean;
  /** The version of the registry at that moment: a newer one than the caller was authenticated with is stale. */
  registryVersion: number;
  /** A one-time key of the request was already spent, or the key that signed it was taken from its agent. */
  replayed: boolean;
  /** Whether a use was taken, when one was asked for. */
  consumed: boolean;
  /** Until when a call may run on, when that was asked. */
  runUntil: Seconds | undefined;
}>;

export type StateQuestion = Readonly<{
  requestId: string;
  registryVersion: number;
  spends: readonly Spend[];
  /** RFC 7638, of the key that the caller proved itself with. */
  keyThumbprint?: string | undefined;
  /** SHA-256 of the token's `jti`; without it only the spends are spent. */
  tokenHash: string | undefined;
  consume: Consumption | undefined;
  renew?: Renewal | undefined;
}>;

/** A call of a tool that would run on until then at most, and the record of it; `refused` is why the rules are against it. */
export type Renewal = Readonly<{
  tool: string;
  until: Seconds;
  refused: string | undefined;
  record: RecordHead;
  session: string;
  txn: string;
}>;

/** What the rules of now make of a call that runs: until when it may at most, or in one word why it may not. */
export interface RunningRules {
  judge(
    call: Readonly<{ claims: TransactionalAccessToken; tool: string }>,
    at: Readonly<{ registry: RegistrySnapshot; now: Seconds; requestId: string }>,
  ): Promise<Result<Seconds, string>>;
}

/** One use of a token for a tool, and the record of it, taken or not. */
export type Consumption = Readonly<{
  tool: string;
  maxUses: number;
  expiresAt: Seconds;
  record: RecordHead;
  session: string;
  txn: string;
}>;

/**
 * One statement: spends what the request brought and reads the token's state. If it is live a use of it is taken, or its
 * session used by the call that runs on, and either is recorded, granted or not.
 */
export interface TokenStates {
  ask(question: StateQuestion): Promise<TokenState>;
}

/** RFC 7009: ends one token, or a transaction with all its tokens, for good, numbered and recorded. */
export interface TokenRevoker {
  revokeToken(token: Readonly<{ tokenHash: string; txn: string | undefined }>, by: string): Promise<void>;
  revokeTransaction(txn: string, by: string): Promise<void>;
}

/** The transaction that a handle is of, to the client that it was given to (Txn-AT draft). */
export type HandleReader = (handle: string, clientId: string, now: Seconds) => string | undefined;
