import { err, Fault, ok, type Result, type Seconds } from '../base/index.js';
import { type EncryptionKeys, makeKey } from './private-key.js';
import type { LiveKeyRing } from './keyring.js';
import type { KeyOrder, KeyStore, StoredKey } from './stored-key.js';
import { type KeyTiming, leadOf } from './timing.js';

/** A key as administrators see it: nothing of its private half, sealed or not. */
export type KeyInfo = Readonly<Omit<StoredKey, 'sealed' | 'publicJwk'>>;

export type Withdrawal = Readonly<{ result: 'withdrawn' | 'already_withdrawn'; key: KeyInfo; active: KeyInfo }>;

/** Looks at keys and moves them. */
export interface KeysAdmin {
  list(): Promise<readonly KeyInfo[]>;
  /**
   * Publishes a new key. It signs by itself once every cache knows it, or after `activateAfter` seconds: verifiers that
   * cached the keys before refuse what it signs for as long as that is too short.
   */
  rotate(order: KeyOrder & Readonly<{ activateAfter?: Seconds }>): Promise<Result<KeyInfo, 'one_is_next' | 'too_many'>>;
  /** Takes a key away at once, and everything that it signed. When it was the one that signs, another signs at once. */
  withdraw(kid: string, order: KeyOrder): Promise<Result<Withdrawal, 'unknown'>>;
}

/** Verifiers take 32 keys of an issuer and no more. */
const MAX_PUBLISHED = 20;

export function keysAdmin(
  deps: Readonly<{ store: KeyStore; ring: LiveKeyRing; encryptionKeys: EncryptionKeys; timing: KeyTiming }>,
): KeysAdmin {
  const { store, ring, encryptionKeys, timing } = deps;
  const list = async (): Promise<readonly KeyInfo[]> => {
    await ring.refresh();
    return ring.stored().map(infoOf);
  };
  return {
    list,
    rotate: async ({ activateAfter = leadOf(timing), ...order }) => {
      const key = makeKey(encryptionKeys);
      const result = await store.insertNext(key, { ...order, activateAfter, max: MAX_PUBLISHED });
      const found = (await list()).find(({ kid }) => kid === key.kid);
      return result === 'published' ? ok(mustBe(found)) : err(result);
    },
    withdraw: async (kid, order) => {
      const result = await store.withdraw(kid, makeKey(encryptionKeys), order);
      if (result === 'unknown') return err(result);
      const keys = await list();
      const key = mustBe(keys.find((one) => one.kid === kid));
      return ok({ result, key, active: mustBe(keys.find(({ state }) => state === 'active')) });
    },
  };
}

function infoOf({
  kid,
  alg,
  state,
  createdAt,
  activatesAt,
  retiredAt,
  publishedUntil,
  withdrawnAt,
}: StoredKey): KeyInfo {
  return { kid, alg, state, createdAt, activatesAt, retiredAt, publishedUntil, withdrawnAt };
}

function mustBe(key: KeyInfo | undefined): KeyInfo {
  if (key === undefined) throw new Fault('keys_unavailable', 'a signing key is gone that was there a moment ago');
  return key;
}
