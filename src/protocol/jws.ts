import { isUtf8 } from 'node:buffer';
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { z } from 'zod';
import { err, ok, type Result } from '../base/index.js';
import { type JsonObject, parseObject } from './json.js';
import { SIGNATURE_ALGORITHMS, type SignatureAlgorithm } from './names.js';
import { Text } from './words.js';

/** RFC 7515 section 4.1, as strict as RFC 8725 asks: what a token says of its own key (jwk, jku, x5u, x5c) is never read. */
const Header = z.looseObject({
  alg: z.enum(SIGNATURE_ALGORITHMS),
  kid: z.string().min(1).max(256).optional(),
  typ: z.string().min(1).max(64).optional(),
});

export type Jws = Readonly<{
  alg: SignatureAlgorithm;
  kid: string | undefined;
  /** Lower case and without `application/` (RFC 7515 section 4.1.9), `undefined` when absent. */
  typ: string | undefined;
  header: JsonObject;
  payload: JsonObject;
  signingInput: string;
  signature: Buffer;
}>;

export type JwsFlaw = 'too_long' | 'not_compact' | 'bad_base64url' | 'bad_json' | 'bad_header' | 'unknown_crit';

/** 16 KB is more than any token of ours with a full chain needs, and small enough to refuse before it costs anything. */
export const MAX_TOKEN_LENGTH = 16_384;

/** Takes a compact JWS apart without trusting it. Says nothing about its signature: see {@link verifySignature}. */
export function parseJws(token: string, maxLength = MAX_TOKEN_LENGTH): Result<Jws, JwsFlaw> {
  if (token.length > maxLength) return err('too_long');
  const [head, body, tail, ...rest] = token.split('.');
  if (head === undefined || body === undefined || tail === undefined || rest.length > 0) return err('not_compact');
  const header = readHeader(head);
  if (!header.ok) return header;
  const payload = part(body);
  if (!payload.ok) return payload;
  const signature = base64url(tail);
  if (signature === undefined) return err('bad_base64url');
  return ok({ ...header.value, payload: payload.value, signingInput: `${head}.${body}`, signature });
}

type ReadHeader = Result<Pick<Jws, 'alg' | 'kid' | 'typ' | 'header'>, JwsFlaw>;

/** A signer's headers are alike, so a header is read once: one text always reads the same. */
const headers = new Map<string, ReadHeader>();
const HEADERS = 1_000;
const HEADER_LENGTH = 1_024;

function readHeader(segment: string): ReadHeader {
  const known = headers.get(segment);
  if (known !== undefined) return known;
  const read = parseHeader(segment);
  if (!read.ok || segment.length > HEADER_LENGTH) return read;
  const oldest = headers.size >= HEADERS ? headers.keys().next() : undefined;
  if (oldest?.done === false) headers.delete(oldest.value);
  headers.set(segment, read);
  return read;
}

function parseHeader(segment: string): ReadHeader {
  const header = part(segment);
  if (!header.ok) return header;
  // RFC 7515 section 4.1.11: we understand no extension, so any `crit`, even an empty one, is refused.
  if ('crit' in header.value || 'b64' in header.value) return err('unknown_crit');
  const known = Header.safeParse(header.value);
  if (!known.success) return err('bad_header');
  const { alg, kid, typ } = known.data;
  return ok({ alg, kid, typ: typ?.toLowerCase().replace(/^application\//, ''), header: header.value });
}

/** A public key that may verify exactly the algorithms in `algs`: the key decides, never the token. */
export type VerificationKey = Readonly<{
  kid: string | undefined;
  algs: readonly SignatureAlgorithm[];
  key: KeyObject;
}>;

/** True when this key made this signature with an algorithm that belongs to the key. Checks no claim. */
export function verifySignature(jws: Jws, { key, algs }: VerificationKey): boolean {
  if (!algs.includes(jws.alg)) return false;
  const data = Buffer.from(jws.signingInput, 'ascii');
  switch (jws.alg) {
    case 'ES256':
      return jws.signature.length === 64 && verify('sha256', data, { key, dsaEncoding: 'ieee-p1363' }, jws.signature);
    case 'EdDSA':
      return verify(null, data, key, jws.signature);
    case 'RS256':
      return verify('sha256', data, key, jws.signature);
    case 'PS256':
      return verify('sha256', data, { key, padding: 6 /* RSA_PKCS1_PSS_PADDING */, saltLength: 32 }, jws.signature);
  }
}

/** The keys of a set that could have made this signature: by `kid` when the token names one, else all that fit. */
export function candidates(jws: Jws, keys: readonly VerificationKey[]): readonly VerificationKey[] {
  return keys.filter((key) => (jws.kid === undefined || key.kid === jws.kid) && key.algs.includes(jws.alg));
}

/** Public members only; a key that carries private ones was leaked and must not be registered. */
export const PublicJwk = z
  .looseObject({})
  .refine((jwk) => !['d', 'p', 'q', 'dp', 'dq', 'qi', 'k', 'oth'].some((member) => member in jwk), {
    error: 'carries private key material; register the public key only',
  })
  .pipe(
    z.object({
      kty: z.enum(['EC', 'OKP', 'RSA']),
      kid: Text.min(1).max(256).exactOptional(),
      alg: z.enum(SIGNATURE_ALGORITHMS).exactOptional(),
      use: z.literal('sig').exactOptional(),
      crv: Text.max(16).exactOptional(),
      x: Text.max(128).exactOptional(),
      y: Text.max(128).exactOptional(),
      n: Text.max(1_400).exactOptional(),
      e: Text.max(16).exactOptional(),
    }),
  );
export type PublicJwk = z.infer<typeof PublicJwk>;

/** RFC 7517 section 5. */
export const Jwks = z.object({ keys: z.array(PublicJwk).max(32) });
export type Jwks = z.infer<typeof Jwks>;

export type KeyFlaw = 'unsupported_key' | 'weak_key' | 'malformed_key' | 'misspelled_key';

/** Makes a key ready to verify with. RSA keys below 2048 bits are refused (RFC 7518 section 3.3). */
export function importKey(jwk: PublicJwk): Result<VerificationKey, KeyFlaw> {
  const algs = algorithmsOf(jwk);
  if (algs.length === 0) return err('unsupported_key');
  if (!isCanonical(jwk)) return err('misspelled_key');
  try {
    const key = createPublicKey({ key: { ...jwk }, format: 'jwk' });
    if (jwk.kty === 'RSA' && (key.asymmetricKeyDetails?.modulusLength ?? 0) < 2048) return err('weak_key');
    return ok({ kid: jwk.kid, algs, key });
  } catch {
    return err('malformed_key');
  }
}

/**
 * DANGER: RFC 7638 hashes the members as they are spelled. A key of two spellings would have two thumbprints: it would pass for
 * another one where keys are not to be shared, and for one that nobody revoked.
 */
const isCanonical = ({ kty, x = '', y = '', n = '', e = '' }: PublicJwk): boolean =>
  kty === 'RSA' ? [n, e].every(isInteger) : (kty === 'EC' ? [x, y] : [x]).every(isCoordinate);

/** RFC 7518 section 6.2.1.2, RFC 8037 section 2: always the 32 bytes of the curve. */
const isCoordinate = (text: string): boolean => text.length === 43 && CANONICAL.test(text);

/** RFC 7518 section 2, Base64urlUInt: in as few bytes as will do, the first of which is therefore not zero. */
const isInteger = (text: string): boolean => CANONICAL.test(text) && !/^(?:A[A-P]|$)/.test(text);

function algorithmsOf({ kty, crv, alg }: PublicJwk): readonly SignatureAlgorithm[] {
  const fits: Readonly<Record<string, readonly SignatureAlgorithm[]>> = {
    'EC P-256': ['ES256'],
    'OKP Ed25519': ['EdDSA'],
    'RSA ': ['RS256', 'PS256'],
  };
  const algs = fits[`${kty} ${kty === 'RSA' ? '' : (crv ?? '')}`] ?? [];
  return alg === undefined ? algs : algs.filter((name) => name === alg);
}

function part(segment: string): Result<JsonObject, JwsFlaw> {
  const bytes = base64url(segment);
  if (bytes === undefined) return err('bad_base64url');
  if (!isUtf8(bytes)) return err('bad_json');
  const parsed = parseObject(bytes.toString('utf8'));
  return parsed.ok ? parsed : err('bad_json');
}

/** Strict: the one spelling that encoding the bytes again gives, so that no token has two texts (RFC 4648 section 3.5). */
const base64url = (segment: string): Buffer | undefined =>
  segment.length > 0 && CANONICAL.test(segment) ? Buffer.from(segment, 'base64url') : undefined;

/** The bits that the last character does not need are zero. */
const CANONICAL = /^(?:[\w-]{4})*(?:[\w-][AQgw]|[\w-]{2}[AEIMQUYcgkosw048])?$/;
