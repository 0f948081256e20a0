import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { PrivateJwk, PublicJwk } from 'writ/protocol';

/** A key pair: the private half stays with the agent or server, the public half goes into the registry. */
export type KeyPair = Readonly<{ privateJwk: PrivateJwk; publicJwk: PublicJwk }>;

export function makeKeyPair(): KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const named = { kid: randomUUID(), alg: 'ES256' };
  return {
    privateJwk: PrivateJwk.parse({ ...privateKey.export({ format: 'jwk' }), ...named }),
    publicJwk: PublicJwk.parse({ ...publicKey.export({ format: 'jwk' }), ...named }),
  };
}
