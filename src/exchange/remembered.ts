import { type Jws, sha256, type VerificationKey, verifySignature } from '../protocol/index.js';

/**
 * Signatures that verified, by the exact bytes signed, the exact signature and the key. Nothing but the signature's
 * verdict is remembered: permission, audience, proof of possession, revocation and policy run every time.
 */
export interface Remembered {
  verify(jws: Jws, key: VerificationKey): boolean;
}

/** Bounded; the oldest go first. A key that was replaced is another object, so nothing outlives its issuer record. */
export function rememberSignatures(limit = 10_000): Remembered {
  const verdicts = new Map<string, VerificationKey['key']>();
  return {
    verify: (jws, key) => {
      const bytes = sha256(`${jws.signingInput}.${jws.signature.toString('base64url')}`);
      if (verdicts.get(bytes) === key.key && key.algs.includes(jws.alg)) return true;
      if (!verifySignature(jws, key)) return false;
      const oldest = verdicts.size >= limit ? verdicts.keys().next() : undefined;
      if (oldest?.done === false) verdicts.delete(oldest.value);
      verdicts.set(bytes, key.key);
      return true;
    },
  };
}
