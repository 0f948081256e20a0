import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { Fault } from '../base/index.js';
import { PublicJwk, thumbprint } from '../protocol/index.js';
import { seal, unseal } from './seal.js';
import type { NewKey } from './stored-key.js';

/** The key that seals, then those that sealed earlier and still open. */
export type EncryptionKeys = readonly [Uint8Array, ...Uint8Array[]];

/** The raw 64-byte ES256 signature over these bytes (RFC 7518 section 3.4). */
export type Sign = (data: Uint8Array) => Uint8Array;

/** A fresh key pair, sealed. */
export function makeKey([encryptionKey]: EncryptionKeys): NewKey {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwk = PublicJwk.parse(publicKey.export({ format: 'jwk' }));
  const kid = thumbprint(jwk).slice(0, 16);
  const sealed = seal(privateKey.export({ format: 'der', type: 'pkcs8' }), { key: encryptionKey, context: kid });
  return { kid, alg: 'ES256', publicJwk: { ...jwk, kid, alg: 'ES256', use: 'sig' }, sealed };
}

/** Opens a sealed key to sign with: the private half does not leave the function. Throws Fault when it does not open. */
export function openKey({ kid, sealed, publicJwk }: NewKey, keys: EncryptionKeys): Sign {
  const der = openWithAny({ kid, sealed }, keys);
  if (der === undefined) throw closed(kid);
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  assertPair(key, PublicJwk.parse(publicJwk), kid);
  return (data) => sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' });
}

/** The same key sealed with the current encryption key, or `undefined` when it is already. Throws when it does not open. */
export function resealed(key: Pick<NewKey, 'kid' | 'sealed'>, keys: EncryptionKeys): Uint8Array | undefined {
  const [current, ...previous] = keys;
  if (isCurrent(key, keys)) return undefined;
  const der = openWithAny(key, previous);
  if (der === undefined) throw closed(key.kid);
  return seal(der, { key: current, context: key.kid });
}

/** Whether the current encryption key sealed it. */
export const isCurrent = ({ kid, sealed }: Pick<NewKey, 'kid' | 'sealed'>, [current]: EncryptionKeys): boolean =>
  unseal(sealed, { key: current, context: kid }) !== undefined;

function openWithAny({ kid, sealed }: Pick<NewKey, 'kid' | 'sealed'>, keys: readonly Uint8Array[]): Buffer | undefined {
  for (const key of keys) {
    const der = unseal(sealed, { key, context: kid });
    if (der !== undefined) return der;
  }
  return undefined;
}

const closed = (kid: string): Fault =>
  new Fault(
    'keys_unavailable',
    `signing key ${kid} does not open: it was sealed neither with WRIT_KEY_ENCRYPTION_KEY nor with one of WRIT_KEY_ENCRYPTION_KEY_PREVIOUS`,
  );

/** A row whose halves do not belong together would publish a key that verifies nothing we sign. */
function assertPair(key: KeyObject, publicJwk: PublicJwk, kid: string): void {
  const derived = PublicJwk.parse(createPublicKey(key).export({ format: 'jwk' }));
  if (thumbprint(derived) !== thumbprint(publicJwk))
    throw new Fault('keys_unavailable', `signing key ${kid} is damaged`);
}
