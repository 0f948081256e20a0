import type { Seconds } from '../base/index.js';
import type { Person } from './people.js';

/** A passkey as it came from an authenticator. `id` is the WebAuthn credential id, base64url; the key is COSE. */
export type NewPasskey = Readonly<{
  id: string;
  publicKey: Uint8Array;
  counter: number;
  transports: readonly string[];
  /** Its authenticator lets the key be copied to other devices. */
  mayBeCopied: boolean;
  isBackedUp: boolean;
}>;

/** A person for whom this Writ itself vouches: `issuer` is ours. */
export type LocalAccount = Person;

/** Whom a link invites, with the passkeys that they have already. */
export type Invited = Readonly<{
  account: LocalAccount;
  passkeys: readonly string[];
}>;

/** Accounts that no identity provider vouches for. Every one-time step is one statement, so that of two replicas one wins. */
export interface LocalAccounts {
  /** `undefined` for a link that is unknown, used or over, and for a person who is disabled. */
  invited(tokenHash: string): Promise<Invited | undefined>;
  /** Spends the link and keeps the passkey, both or neither: neither when the link is `over`, or the passkey is `taken`. */
  enrol(tokenHash: string, passkey: NewPasskey): Promise<'done' | 'over' | 'taken'>;
  /** Anybody's, also of those for whom a company vouches. */
  passkey(id: string): Promise<Readonly<{ passkey: NewPasskey; account: Person }> | undefined>;
  /** Counts a use. False for a counter that was seen before: then there are two of this key (WebAuthn section 6.1.1). */
  used(id: string, use: Readonly<{ counter: number; isBackedUp: boolean }>): Promise<boolean>;
}

/**
 * Passkeys by which people confirm what they approve, whoever vouches for them. They sign in nobody but local accounts: at the
 * company's provider somebody may be gone whose passkey still works.
 */
export interface OwnPasskeys {
  has(person: string): Promise<boolean>;
  /** The first one of a person, on the record. Later ones would be as good as it, by a sign-in alone. */
  first(person: string, passkey: NewPasskey): Promise<'done' | 'has_one' | 'taken'>;
}

/** Codes of local accounts, by which somebody whose passkeys are lost makes a new one. They sign in nobody. Kept as hashes only. */
export interface RecoveryCodes {
  left(person: string): Promise<number>;
  /**
   * These instead of all before, on the record. False where the sign-in `uid` has ended meanwhile, or the account is none of
   * ours, is disabled or has no passkey.
   */
  replace(owner: Readonly<{ person: string; uid: string }>, hashes: readonly string[]): Promise<boolean>;
  /**
   * Spends a code, on the record: passkeys, open links, sign-ins and what agents hold go, and this link is good for one new
   * passkey. False for a code that is unknown or spent, and for an account that is disabled. Of two at once one wins.
   */
  spend(codeHash: string, linkHash: string): Promise<boolean>;
}

/**
 * Passwords of local accounts, for when their passkeys are out of reach. One of each account, made by Writ; kept as argon2id
 * hashes only. Whatever takes the passkeys of somebody takes it too.
 */
export interface BreakGlassPasswords {
  of(person: string): Promise<Readonly<{ madeAt: Seconds; lastUsedAt: Seconds | undefined }> | undefined>;
  /** Whose name this is, an id or an e-mail address; `undefined` for two, and for a person who is disabled. */
  find(name: string): Promise<Readonly<{ account: LocalAccount; hash: string }> | undefined>;
  /** Under which name somebody signs in. */
  nameOf(account: LocalAccount): Promise<string>;
  /** This instead of the one before, on the record, which ends as with {@link remove}. False as with {@link RecoveryCodes.replace}. */
  replace(owner: Readonly<{ person: string; uid: string }>, hash: string): Promise<boolean>;
  /** On the record, with every sign-in and all that agents can do for the person. False where there is none. */
  remove(person: string): Promise<boolean>;
  /** Writes that it was used, on the record. False where it was replaced meanwhile. */
  used(person: string, hash: string): Promise<boolean>;
}

/** Challenges that are good once, each for what it was made for. */
export interface Challenges {
  keep(challenge: string, purpose: string, seconds: Seconds): Promise<void>;
  /** Answers what it was made for, to one of two who bring it, and nobody afterwards. */
  take(challenge: string): Promise<string | undefined>;
}
