import { err, ok, type Result, type Seconds } from '../../base/index.js';
import { DPOP_WINDOW, type TransactionalAccessToken, verifyProof } from '../../protocol/index.js';
import type { Reason } from './errors.js';
import { type OnceStore, takeOnce } from './once.js';

/** What the checks read of an HTTP request. Every header that was sent counts, so each name gives a list. */
export interface Inbound {
  readonly method: string;
  readonly url: string;
  header(name: string): readonly string[];
}

export type Credential = Readonly<{ scheme: 'Bearer' | 'DPoP'; token: string }>;

/** Exactly one token, in the Authorization header (RFC 6750 section 2, RFC 9449 section 7.1). */
export function readCredential(request: Inbound): Result<Credential, Reason> {
  if (/[?&]access_token=/i.test(request.url)) return err('token_in_query');
  const [header, ...more] = request.header('authorization');
  if (header === undefined) return err('missing_token');
  const [, scheme = '', token = ''] = /^(bearer|dpop) ([\w~+/.-]+=*)$/i.exec(header) ?? [];
  if (more.length > 0 || token === '') return err('malformed_authorization');
  return ok({ scheme: scheme.toLowerCase() === 'dpop' ? 'DPoP' : 'Bearer', token });
}

export type BindingRules = Readonly<{ endpoint: string; dpopRequired: boolean; once: OnceStore }>;

/** RFC 9449 section 7: a bound token needs its key, an unbound one must not pretend. */
export async function checkBinding(
  credential: Credential,
  { cnf }: TransactionalAccessToken,
  request: Inbound,
  rules: BindingRules & { now: Seconds },
): Promise<Result<undefined, Reason>> {
  if (cnf === undefined && rules.dpopRequired) return err('binding_required');
  // RFC 9449 section 7.2: a bound token sent as a bearer token is a stolen one.
  if ((cnf === undefined) !== (credential.scheme === 'Bearer')) return err('binding_mismatch');
  if (cnf === undefined) return ok(undefined);
  const [proof, ...more] = request.header('dpop');
  if (proof === undefined || more.length > 0) return err('bad_proof');
  const { endpoint: uri, now } = rules;
  const proven = verifyProof(proof, { method: request.method, uri, now, accessToken: credential.token });
  if (!proven.ok) return err('bad_proof');
  const { jkt, jti, iat } = proven.value;
  if (jkt !== cnf.jkt) return err('binding_mismatch');
  return (await takeOnce(rules.once, `dpop ${jkt} ${jti}`, 1, iat + DPOP_WINDOW))
    ? ok(undefined)
    : err('proof_replayed');
}
