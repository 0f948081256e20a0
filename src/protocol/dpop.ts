import { z } from 'zod';
import { err, ok, type Result, type Seconds } from '../base/index.js';
import { sha256 } from './canonical.js';
import { Digest, Identifier } from './claims.js';
import type { JsonObject } from './json.js';
import { importKey, parseJws, PublicJwk, type VerificationKey, verifySignature } from './jws.js';
import { Typ } from './names.js';

/** RFC 9449 section 4.2. */
const Proof = z.looseObject({
  jti: Identifier,
  htm: z.string().max(16),
  htu: z.string().max(2_048),
  iat: z.number().int(),
  ath: Digest.optional(),
});

export type DpopProof = Readonly<{ jkt: string; jti: string; iat: Seconds }>;
export type DpopFlaw =
  'malformed' | 'wrong_typ' | 'bad_key' | 'bad_signature' | 'wrong_method' | 'wrong_uri' | 'stale' | 'wrong_token';

/** How far a proof's `iat` may be from our clock, both ways, in seconds. */
export const DPOP_WINDOW: Seconds = 60;

/**
 * The checks of RFC 9449 section 4.3 on one proof, all but the one-time use of `jti`, which is the caller's to spend.
 * `accessToken` is given where the proof comes with a token, and then `ath` must be its hash.
 */
export function verifyProof(
  proof: string,
  wanted: Readonly<{ method: string; uri: string; now: Seconds; accessToken?: string }>,
): Result<DpopProof, DpopFlaw> {
  const jws = parseJws(proof);
  if (!jws.ok) return err('malformed');
  if (jws.value.typ !== Typ.dpop) return err('wrong_typ');
  const key = keyOf(jws.value.header);
  if (key === undefined) return err('bad_key');
  if (!verifySignature(jws.value, key)) return err('bad_signature');
  const claims = Proof.safeParse(jws.value.payload);
  if (!claims.success) return err('malformed');
  const { jti, htm, htu, iat, ath } = claims.data;
  if (htm !== wanted.method) return err('wrong_method');
  if (!sameUri(htu, wanted.uri)) return err('wrong_uri');
  if (Math.abs(wanted.now - iat) > DPOP_WINDOW) return err('stale');
  if (wanted.accessToken !== undefined && ath !== sha256(wanted.accessToken)) return err('wrong_token');
  return ok({ jkt: key.jkt, jti, iat });
}

type ProofKey = VerificationKey & Readonly<{ jkt: string }>;

/** Making a key ready costs as much as a signature; a header that came before is the same object again. */
const keys = new WeakMap<JsonObject, ProofKey>();

function keyOf(header: JsonObject): ProofKey | undefined {
  const known = keys.get(header);
  if (known !== undefined) return known;
  const jwk = PublicJwk.safeParse(header['jwk']);
  const key = jwk.success ? importKey(jwk.data) : undefined;
  if (!jwk.success || key?.ok !== true) return undefined;
  const made = { ...key.value, jkt: thumbprint(jwk.data) };
  keys.set(header, made);
  return made;
}

/** RFC 7638: SHA-256 over the required members in lexical order, base64url. */
export function thumbprint({ kty, crv, x, y, n, e }: PublicJwk): string {
  const members = kty === 'RSA' ? { e, kty, n } : kty === 'EC' ? { crv, kty, x, y } : { crv, kty, x };
  return sha256(JSON.stringify(members));
}

/** RFC 9449 section 4.3 point 9: without query and fragment, after the normalisation of RFC 3986 section 6.2.2 and 6.2.3. */
function sameUri(htu: string, uri: string): boolean {
  if (htu === uri) return true;
  if (!URL.canParse(htu)) return false;
  const [theirs, ours] = [new URL(htu), new URL(uri)];
  if (theirs.username !== '' || theirs.password !== '') return false;
  return theirs.origin === ours.origin && theirs.pathname === ours.pathname;
}
