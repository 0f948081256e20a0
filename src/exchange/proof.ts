import { err, ok, type Result, type Seconds } from '../base/index.js';
import { replayKey, type Spend } from '../client/index.js';
import { DPOP_WINDOW, type DpopFlaw, type FormRequest, verifyProof } from '../protocol/index.js';

export type ProofRefusal = Readonly<{ reason: 'dpop_invalid'; cause: DpopFlaw | 'several_proofs' }>;

/** RFC 9449 section 5: the DPoP proof of this request, if there is one; its `jti` is left to the commit to spend. */
export function verifyRequestProof(
  http: FormRequest,
  { uri, now, clientId }: Readonly<{ uri: string; now: Seconds; clientId: string }>,
): Result<Readonly<{ jkt: string | undefined; spends: readonly Spend[] }>, ProofRefusal> {
  const proofs = http.header('dpop');
  const [proof] = proofs;
  if (proof === undefined) return ok({ jkt: undefined, spends: [] });
  // RFC 9449 section 4.3 point 1; a comma-joined value is no JWT and fails below.
  if (proofs.length > 1) return err({ reason: 'dpop_invalid', cause: 'several_proofs' });
  const verified = verifyProof(proof, { method: 'POST', uri, now });
  if (!verified.ok) return err({ reason: 'dpop_invalid', cause: verified.error });
  const { jkt, jti, iat } = verified.value;
  return ok({ jkt, spends: [{ what: 'dpop', key: replayKey(clientId, jti), expiresAt: iat + 2 * DPOP_WINDOW }] });
}
