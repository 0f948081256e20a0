import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { err, ok, type Result } from '../base/index.js';
import { fromBase64 } from './base64.js';

/** C2SP signed-note: what the byte before a public key says of its signatures. */
export const SignatureType = { ed25519: 1, cosignature: 4 } as const;
export type SignatureType = (typeof SignatureType)[keyof typeof SignatureType];

/** A name and an Ed25519 key, as C2SP signed-note writes it: what a signature line is recognised by, and checked with. */
export type VerifierKey = Readonly<{
  text: string;
  name: string;
  /** The first four bytes of a hash, in hex: finds the key, proves nothing. */
  id: string;
  type: SignatureType;
  key: KeyObject;
}>;

/** C2SP signed-note: not empty, no space of Unicode, no plus. Here also short, and without control characters. */
export const isKeyName = (name: string): boolean => /^[^\p{White_Space}+\x00-\x1f\x7f]{1,255}$/u.test(name);

const KEY_BYTES = 32;
const MAX_VKEY = 512;
const VKEY = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/;

/** Reads a verifier key. Its type must be one of Ed25519, and its id that of its name and key. */
export function parseVerifierKey(text: string): Result<VerifierKey, 'not_a_verifier_key'> {
  const [, name, id, encoded] = (text.length <= MAX_VKEY ? VKEY.exec(text) : undefined) ?? [];
  const bytes = encoded === undefined ? undefined : fromBase64(encoded);
  const type = Object.values(SignatureType).find((known) => known === bytes?.[0]);
  if (name === undefined || !isKeyName(name) || type === undefined) return err('not_a_verifier_key');
  if (bytes?.length !== 1 + KEY_BYTES || id !== keyId(name, bytes)) return err('not_a_verifier_key');
  return ok({ text, name, id, type, key: ed25519(bytes.subarray(1)) });
}

/** The verifier key of a name and an Ed25519 key, public or private. */
export function verifierKey(name: string, key: KeyObject, type: SignatureType = SignatureType.ed25519): VerifierKey {
  const exported = (key.type === 'private' ? createPublicKey(key) : key).export({ format: 'jwk' });
  const bytes = Buffer.concat([Uint8Array.of(type), Buffer.from(exported.x ?? '', 'base64url')]);
  if (exported.crv !== 'Ed25519' || !isKeyName(name)) throw new TypeError('not a name and an Ed25519 key');
  const id = keyId(name, bytes);
  return { text: `${name}+${id}+${bytes.toString('base64')}`, name, id, type, key: ed25519(bytes.subarray(1)) };
}

const keyId = (name: string, typeAndKey: Uint8Array): string =>
  createHash('sha256').update(`${name}\n`).update(typeAndKey).digest('hex').slice(0, 8);

const ed25519 = (bytes: Buffer): KeyObject =>
  createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: bytes.toString('base64url') }, format: 'jwk' });
