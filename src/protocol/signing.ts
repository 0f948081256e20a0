import { createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import { z } from 'zod';
import { err, ok, randomText, type Result, type Seconds } from '../base/index.js';
import { sha256 } from './canonical.js';
import { thumbprint } from './dpop.js';
import { importKey, type KeyFlaw, PublicJwk } from './jws.js';
import { KEY_ROTATION_PATH, SIGNATURE_ALGORITHMS, type SignatureAlgorithm, Typ } from './names.js';

/** RFC 7517 with its private members. Only clients have one: what a client signs proves who it is. */
export const PrivateJwk = z.looseObject({ kty: z.enum(['EC', 'OKP', 'RSA']), d: z.string().min(1).max(2_048) });
export type PrivateJwk = z.infer<typeof PrivateJwk>;

/** A client's key, ready to sign with, and the public half that a proof shows. */
export type ClientKey = Readonly<{
  key: KeyObject;
  alg: SignatureAlgorithm;
  kid: string | undefined;
  publicJwk: PublicJwk;
}>;

/** Makes a client's key ready. The algorithm is its own `alg`, or the first that fits the kind of key. */
export function importClientKey(jwk: PrivateJwk): Result<ClientKey, KeyFlaw> {
  const named = Named.safeParse(jwk);
  const key = named.success ? privateKey(jwk) : undefined;
  if (!named.success || key === undefined) return err('malformed_key');
  const publicJwk = PublicJwk.safeParse(createPublicKey(key).export({ format: 'jwk' }));
  if (!publicJwk.success) return err('unsupported_key');
  const usable = importKey({ ...publicJwk.data, ...named.data });
  if (!usable.ok) return usable;
  const [alg] = usable.value.algs;
  return alg === undefined ? err('unsupported_key') : ok({ key, alg, kid: named.data.kid, publicJwk: publicJwk.data });
}

const Named = z.object({
  kid: z.string().min(1).max(256).exactOptional(),
  alg: z.enum(SIGNATURE_ALGORITHMS).exactOptional(),
});

function privateKey(jwk: PrivateJwk): KeyObject | undefined {
  try {
    return createPrivateKey({ key: { ...jwk }, format: 'jwk' });
  } catch {
    return undefined;
  }
}

/** RFC 10070: the issuer is the only audience, and the type says what it is. Good once, for a minute. */
export function clientAssertion(
  key: ClientKey,
  { clientId, issuer, now }: Readonly<{ clientId: string; issuer: string; now: Seconds }>,
): string {
  const claims = { iss: clientId, sub: clientId, aud: issuer, jti: randomText(16), iat: now, exp: now + 60 };
  return signCompact(
    { typ: Typ.clientAuthentication, ...(key.kid === undefined ? {} : { kid: key.kid }) },
    claims,
    key,
  );
}

/** In the manner of RFC 8555 section 7.3.5: the old key signs what the new key signed about both. Good once, for a minute. */
export function keyRotation(
  old: ClientKey,
  fresh: ClientKey,
  { clientId, issuer, now }: Readonly<{ clientId: string; issuer: string; now: Seconds }>,
): string {
  const common = { iss: clientId, aud: `${issuer}${KEY_ROTATION_PATH}`, iat: now, exp: now + 60 };
  const named = { ...fresh.publicJwk, alg: fresh.alg, ...(fresh.kid === undefined ? {} : { kid: fresh.kid }) };
  const inner = signCompact({ typ: Typ.newKey, jwk: named }, { ...common, old_key: thumbprint(old.publicJwk) }, fresh);
  const header = { typ: Typ.keyRotation, ...(old.kid === undefined ? {} : { kid: old.kid }) };
  return signCompact(header, { ...common, sub: clientId, jti: randomText(16), new_key: inner }, old);
}

/** One request that a proof is for, with the token that it accompanies and the nonce that was asked for. */
export type ProofOf = Readonly<{
  method: string;
  url: string;
  now: Seconds;
  nonce?: string | undefined;
  accessToken?: string;
}>;

/** RFC 9449 section 4.2, with `ath` where it accompanies a token. */
export function dpopProof(key: ClientKey, { method, url, now, nonce, accessToken }: ProofOf): string {
  const { origin, pathname } = new URL(url);
  const ath = accessToken === undefined ? {} : { ath: sha256(accessToken) };
  const claims = { jti: randomText(16), htm: method, htu: `${origin}${pathname}`, iat: now, ...ath };
  return signCompact({ typ: Typ.dpop, jwk: key.publicJwk }, nonce === undefined ? claims : { ...claims, nonce }, key);
}

/** RFC 7515 section 3.1. */
function signCompact(header: object, payload: object, { key, alg }: ClientKey): string {
  const input = [{ alg, ...header }, payload]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  return `${input}.${signBytes(Buffer.from(input, 'ascii'), key, alg).toString('base64url')}`;
}

function signBytes(data: Buffer, key: KeyObject, alg: SignatureAlgorithm): Buffer {
  switch (alg) {
    case 'ES256':
      return sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' });
    case 'EdDSA':
      return sign(null, data, key);
    case 'RS256':
      return sign('sha256', data, key);
    case 'PS256':
      return sign('sha256', data, { key, padding: 6 /* RSA_PKCS1_PSS_PADDING */, saltLength: 32 });
  }
}
