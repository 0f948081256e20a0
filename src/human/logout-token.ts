import { z } from 'zod';
import { err, ok, type Result, type Seconds } from '../base/index.js';
import {
  candidates,
  Identifier,
  type Jws,
  parseJws,
  type VerificationKey,
  verifySignature,
} from '../protocol/index.js';

/** `sid`: a session at an identity provider, of its own words. */
export const CompanySession = z.string().min(1).max(256);

/** Whose sign-ins an identity provider ends: of one session of its own, or of a person. */
export type CompanyLogout = Readonly<{
  issuer: string;
  jti: string;
  expiresAt: Seconds;
  sid: string | undefined;
  subject: string | undefined;
}>;

export type LogoutFlaw = 'malformed' | 'wrong_type' | 'wrong_signature' | 'wrong_claims' | 'wrong_time';

type Expected = Readonly<{
  issuer: string;
  clientId: string;
  now: Seconds;
  skew: Seconds;
  keys(kid: string | undefined): Promise<readonly VerificationKey[]>;
}>;

/** OpenID Connect Back-Channel Logout 1.0 section 2.6. Whether it was used before is not asked here. */
export async function readLogoutToken(text: string, expected: Expected): Promise<Result<CompanyLogout, LogoutFlaw>> {
  const jws = parseJws(text);
  if (!jws.ok) return err('malformed');
  if (!TYPES.has(jws.value.typ)) return err('wrong_type');
  const keys = await expected.keys(jws.value.kid);
  if (!candidates(jws.value, keys).some((key) => verifySignature(jws.value, key))) return err('wrong_signature');
  return readClaims(jws.value, expected);
}

function readClaims({ payload }: Jws, { issuer, clientId, now, skew }: Expected): Result<CompanyLogout, LogoutFlaw> {
  const claims = Claims.safeParse(payload).data;
  if (claims === undefined || 'nonce' in payload) return err('wrong_claims');
  const { iss, aud, sub, sid, jti, iat, exp } = claims;
  if (iss !== issuer || aud !== clientId || (sub === undefined && sid === undefined)) return err('wrong_claims');
  if (iat > now + skew || exp <= now - skew || exp > now + LONGEST) return err('wrong_time');
  return ok({ issuer, jti, expiresAt: exp + skew, sid, subject: sub });
}

/**
 * Section 2.4 recommends a type of its own. Many libraries write `JWT` by themselves, as into ID tokens: those have no
 * `events`, and those of a sign-in here have a nonce.
 */
const TYPES: ReadonlySet<string | undefined> = new Set([undefined, 'logout+jwt', 'jwt']);

/** What was used is remembered until the token ends, so it has to end some day. */
const LONGEST: Seconds = 86_400;

const time = z.number().int().positive().max(253_402_300_799);

const Claims = z.looseObject({
  iss: Identifier,
  aud: z.union([Identifier, z.tuple([Identifier]).transform(([only]) => only)]),
  iat: time,
  exp: time,
  jti: Identifier,
  events: z.looseObject({ 'http://schemas.openid.net/event/backchannel-logout': z.looseObject({}) }),
  sub: Identifier.optional(),
  sid: CompanySession.optional(),
});
