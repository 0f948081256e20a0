import { sha256 } from './canonical.js';

/** Who a person is: who vouches for them, and under which name. */
export type PersonName = Readonly<{ issuer: string; subject: string }>;

/**
 * What the log says of who a person is: SHA-256 over 128 bits of salt and the RFC 8785 form of issuer and subject. Without
 * the salt, which is erased with the person, it confirms no guess.
 */
export const personCommitment = (salt: string, { issuer, subject }: PersonName): string =>
  sha256(Buffer.concat([Buffer.from(salt, 'base64url'), Buffer.from(JSON.stringify({ issuer, subject }), 'utf8')]));
