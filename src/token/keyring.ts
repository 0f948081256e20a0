import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { type Clock, Fault, type Seconds } from '../base/index.js';
import { importKey, PublicJwk, thumbprint, type VerificationKey } from '../protocol/index.js';
import { seal, unseal } from './seal.js';

/** A row of signing_key: the private half only sealed. */
export type StoredKey = Readonly<{
  kid: string;
  alg: string;
  publicJwk: unknown;
  sealed: Uint8Array;
  state: 'active' | 'retired';
  createdAt: Date;
}>;

/** Where sealed keys are kept. `insertFirst` has one winner across replicas and answers all keys, whoever won. */
export interface KeyStore {
  list(): Promise<readonly StoredKey[]>;
  insertFirst(key: StoredKey): Promise<readonly StoredKey[]>;
}

/** A key that signs ES256 (RFC 7518 section 3.4). The private half does not leave this object. */
export interface SigningKey {
  readonly kid: string;
  readonly alg: 'ES256';
  readonly publicJwk: PublicJwk;
  /** The raw 64-byte signature over these bytes. */
  sign(data: Uint8Array): Uint8Array;
}

/** Every key that this process knows: one signs, all are published and verify. */
export interface KeyRing {
  active(): SigningKey;
  readonly published: readonly PublicJwk[];
  readonly verification: readonly VerificationKey[];
}

/** Opens the keys of this deployment, making the first one when there is none. Throws Fault when they cannot be unsealed. */
export async function openKeyRing(
  deps: Readonly<{ store: KeyStore; encryptionKey: Uint8Array; clock: Clock }>,
): Promise<KeyRing> {
  const found = await deps.store.list();
  const rows = found.length > 0 ? found : await deps.store.insertFirst(newKey(deps.encryptionKey, deps.clock.now()));
  const published = rows.map((row) => PublicJwk.parse(row.publicJwk));
  const verification = published.map((jwk) => importKey(jwk)).flatMap((key) => (key.ok ? [key.value] : []));
  const active = rows.find(({ state }) => state === 'active');
  if (active === undefined) throw new Fault('keys_unavailable', 'no signing key is active');
  const signer = openKey(active, deps.encryptionKey);
  return { active: () => signer, published, verification };
}

function newKey(encryptionKey: Uint8Array, now: Seconds): StoredKey {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwk = PublicJwk.parse(publicKey.export({ format: 'jwk' }));
  const kid = thumbprint(jwk).slice(0, 16);
  const sealed = seal(privateKey.export({ format: 'der', type: 'pkcs8' }), { key: encryptionKey, context: kid });
  const publicJwk = { ...jwk, kid, alg: 'ES256', use: 'sig' };
  return { kid, alg: 'ES256', publicJwk, sealed, state: 'active', createdAt: new Date(now * 1000) };
}

function openKey(row: StoredKey, encryptionKey: Uint8Array): SigningKey {
  const der = unseal(row.sealed, { key: encryptionKey, context: row.kid });
  if (der === undefined) {
    throw new Fault(
      'keys_unavailable',
      `signing key ${row.kid} does not open: WRIT_KEY_ENCRYPTION_KEY is not the key it was sealed with`,
    );
  }
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  const publicJwk = PublicJwk.parse(row.publicJwk);
  assertPair(key, publicJwk, row.kid);
  return {
    kid: row.kid,
    alg: 'ES256',
    publicJwk,
    sign: (data) => sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' }),
  };
}

/** A row whose halves do not belong together would publish a key that verifies nothing we sign. */
function assertPair(key: KeyObject, publicJwk: PublicJwk, kid: string): void {
  const derived = PublicJwk.parse(createPublicKey(key).export({ format: 'jwk' }));
  if (thumbprint(derived) !== thumbprint(publicJwk))
    throw new Fault('keys_unavailable', `signing key ${kid} is damaged`);
}
