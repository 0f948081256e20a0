import { err, ok, type Result, type Seconds } from '../../base/index.js';
import {
  flattenAct,
  type Jws,
  MAX_CHAIN,
  parseJws,
  TransactionalAccessToken,
  verifySignature,
} from '../../protocol/index.js';
import type { Reason } from './errors.js';
import type { Issuer } from './issuer.js';

/** The shapes of an access token that a server may choose to take (STANDARDS C-02). */
export type Shape = 'txnat+jwt' | 'at+jwt';

export type TokenRules = Readonly<{
  issuer: string;
  resource: string;
  shapes: readonly Shape[];
  maxLifetime: Seconds;
  skew: Seconds;
}>;

/** What a token says, and the key that it is signed with. */
export type VerifiedToken = Readonly<{ claims: TransactionalAccessToken; kid: string | undefined }>;

/**
 * The checks of RFC 9068 section 4 and the Txn-AT draft on the token alone, in the order of STANDARDS 10.6. Says nothing
 * about who presents it, which tool it is for, or whether it was revoked.
 */
export async function verifyToken(
  token: string,
  issuer: Issuer,
  rules: TokenRules,
  now: Seconds,
): Promise<Result<VerifiedToken, Reason>> {
  const jws = readToken(token, rules.shapes);
  if (!jws.ok) return jws;
  const key = await issuer.keyFor(jws.value);
  if (!key.ok) return key;
  if (!verifySignature(jws.value, key.value)) return err('bad_signature');
  const claims = readClaims(jws.value, rules);
  if (!claims.ok) return claims;
  const verified = ok({ claims: claims.value, kid: jws.value.kid });
  return checkTime(claims.value, rules, now) ?? checkActors(claims.value) ?? verified;
}

function readToken(token: string, shapes: readonly Shape[]): Result<Jws, Reason> {
  const jws = parseJws(token);
  if (!jws.ok) return err('malformed_token');
  return shapes.some((shape) => shape === jws.value.typ) ? jws : err('wrong_type');
}

function readClaims({ payload }: Jws, { issuer, resource }: TokenRules): Result<TransactionalAccessToken, Reason> {
  if (payload['iss'] !== issuer) return err('wrong_issuer');
  // One audience as one string: a token for us and somebody else could be replayed by that somebody.
  if (payload['aud'] !== resource) return err('wrong_audience');
  const claims = TransactionalAccessToken.safeParse(payload);
  return claims.success ? ok(claims.data) : err('bad_claims');
}

function checkTime(
  { exp, iat }: TransactionalAccessToken,
  { maxLifetime, skew }: TokenRules,
  now: Seconds,
): Result<never, Reason> | undefined {
  if (exp <= now - skew) return err('expired');
  if (iat > now + skew) return err('issued_in_the_future');
  if (exp <= iat || exp - iat > maxLifetime) return err('lives_too_long');
  return undefined;
}

/** Actor Profile: a bounded chain, whose current actor is the client that asked or an instance of it (`client/instance`). */
function checkActors({ act, client_id, iss }: TransactionalAccessToken): Result<never, Reason> | undefined {
  if (flattenAct(act).length > MAX_CHAIN || act.iss !== iss) return err('bad_actors');
  return act.sub === client_id || act.sub.startsWith(`${client_id}/`) ? undefined : err('bad_actors');
}
