import { generateKeyPairSync } from 'node:crypto';
import { importKey, type Jwks, type Jws, type VerificationKey } from '../protocol/index.js';
import type { Authentication } from '../registry/index.js';
import type { RemoteKeys } from './remote-keys.js';

/** Finds the public keys that may have signed a token of a client or an issuer. */
export interface KeySource {
  /** Keys of a client; for an unknown one a key that never verifies, so that the work is the same. */
  keysOf(authentication: Authentication | undefined, jws: Jws): Promise<readonly VerificationKey[]>;
  /** Keys of whoever publishes a key set inline or by URL. Throws Fault('issuer_keys_unavailable') on an outage. */
  keysAt(
    source: Readonly<{ jwks?: Jwks | undefined; jwks_uri?: string | undefined }>,
    jws: Jws,
  ): Promise<readonly VerificationKey[]>;
}

/** A key whose private half is gone the moment it is made. */
const nobody: VerificationKey = {
  kid: undefined,
  algs: ['ES256'],
  key: generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey,
};

/** Keys imported once per key set: a registration keeps its object identity until it changes. */
export function keySource(remote: Pick<RemoteKeys, 'keys'>): KeySource {
  const imported = new WeakMap<Jwks, readonly VerificationKey[]>();
  const inline = (jwks: Jwks): readonly VerificationKey[] => {
    const known = imported.get(jwks);
    if (known) return known;
    const keys = jwks.keys.map((jwk) => importKey(jwk)).flatMap((key) => (key.ok ? [key.value] : []));
    imported.set(jwks, keys);
    return keys;
  };
  const keysAt: KeySource['keysAt'] = async ({ jwks, jwks_uri }, jws) => {
    if (jwks !== undefined) return inline(jwks);
    return jwks_uri === undefined ? [] : remote.keys(jwks_uri, jws.kid);
  };
  return {
    keysAt,
    keysOf: async (authentication, jws) => {
      if (authentication?.method !== 'private_key_jwt') return [{ ...nobody, kid: jws.kid }];
      return keysAt(authentication, jws);
    },
  };
}
