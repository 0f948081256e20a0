import type { KeyObject } from 'node:crypto';
import { z } from 'zod';
import { err, ok, type Result, type Seconds } from '../base/index.js';
import {
  candidates,
  Identifier,
  type Jws,
  PublicJwk,
  sha256,
  thumbprint,
  Typ,
  type VerificationKey,
  verifySignature,
} from '../protocol/index.js';
import type { ClientRefusal } from './caller.js';

/** RFC 7523 section 3, with RFC 10070: the issuer identifier is the only audience. */
const Assertion = z.looseObject({
  iss: Identifier,
  sub: Identifier,
  aud: z.union([z.string(), z.tuple([z.string()])]),
  jti: z.string().min(1).max(256),
  iat: z.number().int(),
  exp: z.number().int(),
  nbf: z.number().int().optional(),
});

/** An assertion may live this long from now on; it bounds what the replay table must remember. */
export const MAX_ASSERTION_LIFE: Seconds = 300;

/** RFC 10070 section 3: absent is accepted, and every other token type of ours (or of anybody) is not an assertion. */
export const isAssertionType = (typ: string | undefined): boolean =>
  typ === undefined || typ === 'jwt' || typ === Typ.clientAuthentication;

export type AssertionFacts = Readonly<{
  clientId: string;
  issuer: string;
  /** Of something else that a client signs, and is authenticated by: its type, and its only audience. */
  instead?: SignedKind | undefined;
  now: Seconds;
  skew: Seconds;
  keys: readonly VerificationKey[];
}>;

export type SignedKind = Readonly<{ typ: Typ; audience: string }>;

/** Checks one assertion against its client. Does not spend `jti`: the key to spend is in the answer. */
export function verifyAssertion(
  jws: Jws,
  { clientId, issuer, instead, now, skew, keys }: AssertionFacts,
): Result<Judged, ClientRefusal['reason']> {
  if (instead === undefined ? !isAssertionType(jws.typ) : jws.typ !== instead.typ) return err('assertion_wrong_type');
  const key = candidates(jws, keys).find((candidate) => verifySignature(jws, candidate));
  if (key === undefined) return err('assertion_wrong_signature');
  const claims = Assertion.safeParse(jws.payload);
  if (!claims.success) return err('assertion_malformed');
  const { iss, sub, aud, jti, iat, exp, nbf } = claims.data;
  // RFC 7523 section 3 points 1 and 2.B.
  if (iss !== clientId || sub !== clientId) return err('assertion_wrong_subject');
  // RFC 10070: the exact issuer identifier and nothing beside it.
  if ((typeof aud === 'string' ? aud : aud[0]) !== (instead?.audience ?? issuer))
    return err('assertion_wrong_audience');
  if (exp <= now - skew || (nbf ?? now) > now + skew || iat > now + skew) return err('assertion_expired');
  // With iat bounded above, this bounds exp too.
  if (exp - iat > MAX_ASSERTION_LIFE) return err('assertion_too_long_lived');
  const keyThumbprint = thumbprintOf(key);
  return ok({ replayKey: replayKey(clientId, jti), expiresAt: exp + skew, keyId: key.kid, keyThumbprint });
}

type Judged = Readonly<{ replayKey: string; expiresAt: Seconds; keyId: string | undefined; keyThumbprint: string }>;

const thumbprints = new WeakMap<KeyObject, string>();

/** Keys are imported once, so each has its thumbprint worked out once. */
export function thumbprintOf({ key }: VerificationKey): string {
  const known = thumbprints.get(key);
  if (known !== undefined) return known;
  const made = thumbprint(PublicJwk.parse(key.export({ format: 'jwk' })));
  thumbprints.set(key, made);
  return made;
}

/** One key space for every route and for the engine. No client id has a line break, so no two pairs share a key. */
export const replayKey = (clientId: string, jti: string): string => sha256(`${clientId}\n${jti}`);
