import type { Seconds } from '../base/index.js';
import type { CompanyLogout } from '../human/index.js';
import type { PublicJwk, SignatureAlgorithm } from '../protocol/index.js';

/** A signing key as the engine sees it: it can ask for signatures, and never holds the private half. */
export type EngineSigningKey = Readonly<{
  kid: string;
  alg: SignatureAlgorithm;
  publicJwk: PublicJwk;
  sign(data: Uint8Array): Uint8Array | Promise<Uint8Array>;
}>;

/**
 * What the engine keeps. `key` and `grant` are SHA-256 in base64url: an id that is a credential (a code, a token, a
 * cookie) reaches the store only as its hash, and `payload` (JSON text) does not repeat it.
 */
export type EngineRecord = Readonly<{
  key: string;
  model: string;
  payload: string;
  grant: string | undefined;
  uid: string | undefined;
  expiresAt: Seconds | undefined;
}>;

export type StoredEngineRecord = EngineRecord & Readonly<{ consumedAt: Seconds | undefined }>;

/** Every one-time step is one statement, so that two replicas never both win it. */
export interface EngineStore {
  /**
   * Inserts or replaces; keeps `consumedAt`. Does nothing for a grant that was revoked, nor for what comes of a sign-in that
   * has ended: whoever had read it before saves it in vain.
   */
  put(record: EngineRecord): Promise<void>;
  /** Also answers expired and consumed records, which the engine judges; never a sign-in that has ended, nor its grants. */
  find(key: string): Promise<StoredEngineRecord | undefined>;
  findByUid(model: string, uid: string): Promise<StoredEngineRecord | undefined>;
  remove(key: string): Promise<void>;
  removeByUid(model: string, uid: string): Promise<void>;
  /** Removes and answers it: for what may be used once and leaves no trace. Of two callers one gets it. */
  take(key: string): Promise<StoredEngineRecord | undefined>;
  /** Marks it used. False when it was used before or is gone. */
  consume(key: string, now: Seconds): Promise<boolean>;
  /**
   * The one table of one-time ids (assertions, proofs), shared with every route. False when it was spent before, or when
   * the key that signed it (RFC 7638) was taken from its agent.
   */
  spend(key: string, expiresAt: Seconds, keyThumbprint?: string): Promise<boolean>;
  /** In one transaction: everything of this grant is gone, and `grant:<grant>` stands among the numbered revocations. */
  revokeFamily(grant: string, by: string, reason: string): Promise<void>;
  /** The number of the last revocation: what began after it is not ended by it. */
  lastRevocation(): Promise<number>;
  /** Removes records, one-time ids and counts of uses that expired before `before`. */
  prune(before: Seconds): Promise<void>;
}

/** The end of sign-ins at the word of the person or their company, with all that was derived from them: numbered and recorded. */
export interface SignOuts {
  /** One sign-in, by the engine's own id of it: its consents with their codes and refresh tokens, and the sessions of agents. */
  here(signIn: string, person: string): Promise<void>;
  /** All of the person's, and everything that agents hold in their name. They may sign in again. */
  everywhere(person: string): Promise<void>;
  /**
   * At the word of an identity provider, once for each word: the sign-ins of one session of theirs (and of that person, those
   * of no session that we know), or all of a person's. Nothing to end is no error.
   */
  byCompany(logout: CompanyLogout, provider: string): Promise<'ended' | 'said_before'>;
}

/** What the engine tells the log. */
export interface EngineLog {
  /**
   * In one statement: what the token is made from is consumed, what comes after that is kept, and the token is recorded.
   * Only then is it signed. False, and nothing of all that, when it was consumed before or its grant is revoked.
   */
  issued(
    token: Readonly<{ client: string; person: string; scope: string; grant: string; jkt: string | undefined }>,
    redeemed: Readonly<{ key: string; next: EngineRecord | undefined }>,
  ): Promise<boolean>;
  /** A refusal: `client` once it has authenticated, `claimed` a registered one that did not. Never throws. */
  refused(
    refusal: Readonly<{ client: string | undefined; claimed: string | undefined; route: string; cause: string }>,
  ): void;
}
