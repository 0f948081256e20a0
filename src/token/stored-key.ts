import type { Seconds } from '../base/index.js';

/**
 * `next` is published and does not sign yet, so that caches know it first; `active` signs; `retired` is published until
 * everything that it signed has expired; `withdrawn` is not published and verifies nothing, for good.
 */
export type KeyState = 'next' | 'active' | 'retired' | 'withdrawn';

/** A key pair before it is stored: the private half only sealed. */
export type NewKey = Readonly<{ kid: string; alg: string; publicJwk: unknown; sealed: Uint8Array }>;

/** A row of signing_key. `sealed` is empty once the key has signed its last. Times are the database's. */
export type StoredKey = NewKey &
  Readonly<{
    state: KeyState;
    createdAt: Seconds;
    activatesAt: Seconds;
    retiredAt: Seconds | undefined;
    publishedUntil: Seconds | undefined;
    withdrawnAt: Seconds | undefined;
  }>;

/**
 * All of them, the newest first. `former` are the public halves of retired ones that are published no more, for as long as
 * a call may run. `dueIn`: in how many seconds time alone changes one of them; 0 or less is now.
 */
export type StoredKeys = Readonly<{
  keys: readonly StoredKey[];
  former: readonly unknown[];
  dueIn: Seconds | undefined;
}>;

/** Who wants a change, for the log. */
export type KeyOrder = Readonly<{ by: string; reason: string }>;

/**
 * Where sealed keys are kept. Every change is one transaction under one lock, with its record in the log: of two
 * replicas that want the same change one makes it.
 */
export interface KeyStore {
  read(): Promise<StoredKeys>;
  /** Stored as active when no key is. */
  insertFirst(key: NewKey): Promise<void>;
  /** Stored as next, unless one is next already or `max` are published. */
  insertNext(
    key: NewKey,
    order: KeyOrder & Readonly<{ activateAfter: Seconds; max: number }>,
  ): Promise<'published' | 'one_is_next' | 'too_many'>;
  /** Does what is due: next becomes active, the one before it retires for `overlap` seconds, the long retired go. */
  settle(overlap: Seconds): Promise<void>;
  /** Takes a key away. When it signed, the next one signs at once, or `spare` when none is next. */
  withdraw(kid: string, spare: NewKey, order: KeyOrder): Promise<'withdrawn' | 'already_withdrawn' | 'unknown'>;
  /** Stores what `reseal` answers for each sealed key; `undefined` leaves it. What it throws undoes all of it. */
  reseal(reseal: (key: Pick<NewKey, 'kid' | 'sealed'>) => Uint8Array | undefined): Promise<void>;
}
