import type { Approvals, Held } from '../approval/index.js';
import type { RecordHead } from '../audit/index.js';
import type { Result, Seconds } from '../base/index.js';
import type { Spend } from '../client/index.js';
import type { Reservation, SessionSeen, SessionWish } from '../session/index.js';
import type { Subject } from '../delegation/index.js';
import type { PreparedToken, Recorded, SignableToken } from '../token/index.js';
import type { CommitRefusal } from './refusal.js';

/** What every exchange brings to its commit, permitted or not. */
type Brought = Readonly<{
  /** Names the spender of one-time things; a commit tried again under the same id spends nothing twice. */
  requestId: string;
  record: RecordHead;
  spends: readonly Spend[];
  registryVersion: number;
  now: Seconds;
  /** How the person was authenticated, by the subject token. */
  acr?: string | undefined;
  /** True once nobody waits for the verdict any more: what has not been begun by then is not committed. */
  isOver: () => boolean;
}>;

/** `salt`: 128 bits, base64url, that open the commitment of the record. */
export type Newcomer = Readonly<{
  issuer: string;
  subject: string;
  attributes: Readonly<Record<string, string>>;
  salt: string;
}>;

export type Permitted = Brought &
  Readonly<{
    decision: 'permit';
    token: PreparedToken;
    personId: string;
    /** Whom we meet for the first time: known from this commit on, under `personId`, if it permits. */
    newcomer: Newcomer | undefined;
    /** What ends the subject token and all that comes of it, and who may act no more in its chain. */
    lineage: readonly string[];
    /** What ends this one token once it is cut off: its server and its tools. */
    marks: readonly string[];
    /** The earliest that the subject token can have been issued. */
    issuedSince: Seconds;
    /** SHA-256 of the `jti` of the exchanged token that this one is made from, when its record is in the log. */
    parent: string | undefined;
    /** What it reserves of budgets; absent where none holds. */
    reservation?: Reservation;
    session:
      | Readonly<{ open: SessionWish }>
      /** `of`: by a transaction handle, as long as it is the session of this run and the transaction is not revoked. */
      | Readonly<{ continue: string; of?: string }>;
  }>;
export type NotPermitted = Brought &
  Readonly<{
    decision: 'refuse' | 'ask';
    reason: string;
    /** The transaction that the subject token belongs to. */
    transaction: string | undefined;
    /** `continue` by session id, `join` by the key of a run that may or may not have a session. */
    session: Readonly<{ continue: string }> | Readonly<{ join: string }> | undefined;
  }>;

/** The registry moved between decision and commit, or a run's session has expired and was closed: decide again. */
export type Stale = Readonly<{ reason: 'stale' }>;

/**
 * The commit is the verdict: in one statement it checks that nothing has changed, spends what is one-time, opens or
 * continues the session and inserts the record. Throws Fault on an outage; then nothing of it has happened, or all.
 */
export interface Committer {
  permit(outcome: Permitted): Promise<Result<Recorded, CommitRefusal | Stale>>;
  /** Records a refusal or an ask. A replayed credential overrides the refusal's own reason. */
  refuse(outcome: NotPermitted): Promise<Result<null, CommitRefusal | Stale>>;
}

/**
 * Told when an agent was shown another definition of a tool than the reviewed one; nobody waits for it. Only an agent is
 * heard that has this very tool in its ceiling, and the token of a person.
 */
export interface Drift {
  seen(sighting: Readonly<{ resource: string; tool: string; sha256: string; by: string }>): void;
}

export type Acquaintance = Readonly<{
  attributes: Readonly<Record<string, string>>;
  session: SessionSeen | undefined;
}>;

/** People as the exchange needs them. `find` may answer from memory: an id never changes, it only ends. */
export interface People {
  /**
   * What is known of a person whom a token of ours names, and of the session of a run, by one question to the database and
   * some seconds old at most; nothing of whoever is gone. A session that is not open yet is not remembered.
   */
  known(id: string | undefined, run: Subject['run'] | undefined): Promise<Acquaintance>;
  /** Forgets what it remembers of the run. */
  forget(run: Subject['run']): void;
  find(issuer: string, subject: string): Promise<string | undefined>;
  /** Forgets what it remembers of the pair first. */
  findAnew(issuer: string, subject: string): Promise<string | undefined>;
}

/** A token that a redemption records, and since when its transaction lasts where it gets a handle. */
export type Redeemed = Readonly<{ token: SignableToken; beganAt: Seconds | undefined }>;

/** Exchanges that wait for people. */
export interface Deferrals extends Pick<Approvals, 'ask' | 'answer' | 'used'> {
  /** Of the session of a run or of this id, if there is one: when it ends, or why nothing comes of it now. */
  standing(
    run: Subject['run'],
  ): Promise<Readonly<{ ends: Seconds; over: 'session_paused' | 'session_ended' | undefined }> | undefined>;
  /**
   * `undefined`: unknown, or another client's. `isVoid`: it was granted, and its server, its tool or whoever granted it counts
   * no more.
   */
  find(code: string, client: string, now: Seconds): Promise<Readonly<{ held: Held; isVoid: boolean }> | undefined>;
  /** Counts a poll. Whether it came within the interval since the one before, which is longer from then on. */
  polled(id: string, now: Seconds): Promise<boolean>;
  /** RFC 7009: ends what this client asked for and has not fetched. It is no poll. */
  withdraw(code: string, client: string, now: Seconds): Promise<void>;
  /** Keeps the token sealed before it is recorded: after a crash it is found again, and no other one is made. */
  prepare(approval: string, requestId: string, redeemed: Redeemed, now: Seconds): Promise<void>;
  /** What its redemption recorded. */
  recorded(approval: string): Promise<Readonly<{ recorded: Recorded; beganAt: Seconds | undefined }> | undefined>;
}
