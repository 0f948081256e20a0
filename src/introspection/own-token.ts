import type { Seconds } from '../base/index.js';
import {
  candidates,
  isTransactional,
  parseJws,
  PersonsAccessToken,
  TransactionalAccessToken,
  TransactionToken,
  Typ,
  type VerificationKey,
  verifySignature,
} from '../protocol/index.js';

/** A token that Writ signed and that has not expired: what it is, and whose. Says nothing about revocation. */
export type OwnToken =
  | Readonly<{ shape: 'transactional'; claims: TransactionalAccessToken }>
  | Readonly<{ shape: 'transaction'; claims: TransactionToken }>
  | Readonly<{ shape: 'person'; claims: PersonsAccessToken }>;

/** Reads a token of ours; anything else, whatever is wrong with it, is `undefined` (RFC 7662 section 2.2). */
export function readOwnToken(
  text: string,
  { keys, issuer, now }: Readonly<{ keys: readonly VerificationKey[]; issuer: string; now: Seconds }>,
): OwnToken | undefined {
  const jws = parseJws(text);
  if (!jws.ok || !candidates(jws.value, keys).some((key) => verifySignature(jws.value, key))) return undefined;
  const token = byShape(jws.value.typ, jws.value.payload);
  return token?.claims.iss === issuer && token.claims.exp > now ? token : undefined;
}

function byShape(typ: string | undefined, payload: Readonly<Record<string, unknown>>): OwnToken | undefined {
  if (typ === Typ.transactionToken) {
    const claims = TransactionToken.safeParse(payload).data;
    return claims && { shape: 'transaction', claims };
  }
  if (isTransactional(typ, payload)) {
    const claims = TransactionalAccessToken.safeParse(payload).data;
    return claims && { shape: 'transactional', claims };
  }
  const claims = typ === Typ.accessToken ? PersonsAccessToken.safeParse(payload).data : undefined;
  return claims && { shape: 'person', claims };
}
