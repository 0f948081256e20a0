import { createPublicKey, type KeyObject, randomUUID, sign } from 'node:crypto';

/** A part of a token: an object, or text that no serializer would make, as it is. */
export const encoded = (part: unknown): string =>
  Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url');

/** An ES256 signature over these two parts, whatever they say. */
export function jws(key: KeyObject, header: unknown, payload: unknown): string {
  const input = `${encoded(header)}.${encoded(payload)}`;
  return `${input}.${signature(key, input).toString('base64url')}`;
}

export const signature = (key: KeyObject, input: string): Buffer =>
  sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' });

export const seconds = (): number => Math.floor(Date.now() / 1000);

/** What is changed of a sound proof; `undefined` takes a member away. */
export type ProofChanges = Readonly<{ claims?: Record<string, unknown>; header?: Record<string, unknown> }>;

/** The public half of a key as it stands in a proof. */
export function proofKey(key: KeyObject): Record<string, unknown> {
  const { kty, crv, x, y } = createPublicKey(key).export({ format: 'jwk' });
  return { kty, crv, x, y };
}

/** A DPoP proof as text (RFC 9449 section 4.2), with changes. */
export const dpopProof = (key: KeyObject, uri: string, { claims, header }: ProofChanges = {}): string =>
  jws(
    key,
    { alg: 'ES256', typ: 'dpop+jwt', jwk: proofKey(key), ...header },
    { jti: randomUUID(), htm: 'POST', htu: uri, iat: seconds(), ...claims },
  );
