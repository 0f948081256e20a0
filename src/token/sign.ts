import type { Seconds } from '../base/index.js';
import type { TokenType, Writable } from '../protocol/index.js';
import type { KeyRing } from './keyring.js';
import type { Recorded } from './recorded.js';

/** A signed token with what the answer says of it. */
export type Issued = Readonly<{
  token: string;
  issuedTokenType: TokenType;
  tokenType: 'Bearer' | 'DPoP' | 'N_A';
  expiresIn: Seconds;
  scope: string;
  details: Writable;
}>;

/** The only line that a transaction's private key touches: takes nothing but a Recorded. RFC 7515 section 5.1. */
export function sign(recorded: Recorded, keys: KeyRing): Issued {
  const { token, commitment } = recorded;
  const key = keys.signer(token.kid); // the one that the record names, whichever is active by now
  const header = { alg: key.alg, kid: key.kid, typ: token.typ };
  const claims = { ...token.claims, writ: { ...token.receipt, ...commitment } };
  const input = `${encode(header)}.${encode(claims)}`;
  const signature = Buffer.from(key.sign(Buffer.from(input, 'ascii'))).toString('base64url');
  return {
    token: `${input}.${signature}`,
    issuedTokenType: token.issuedTokenType,
    tokenType: token.tokenType,
    expiresIn: token.expiresAt - token.issuedAt,
    scope: token.scope,
    details: token.claims['authorization_details'],
  };
}

const encode = (value: Readonly<Record<string, Writable>>): string =>
  Buffer.from(JSON.stringify(value)).toString('base64url');
