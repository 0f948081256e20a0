import { randomBytes } from '../base/index.js';
import { sha256 } from '../protocol/index.js';

/** Ten codes of 140 random bits each, as people read and type them: seven groups of four characters. */
export const newRecoveryCodes = (): readonly string[] => Array.from({ length: AT_ONCE }, newRecoveryCode);

export const newRecoveryCode = (): string =>
  grouped([...randomBytes(LENGTH)].map((byte) => ALPHABET[byte & 31]).join(''));

/**
 * What is kept of a code. It is found by its hash, so how long that takes says nothing of it; of so many random bits nobody
 * tries enough, so the hash needs neither salt nor slowness.
 */
export const hashOfCode = (code: string): string => sha256(plain(code));

/** The hash of what somebody typed, `undefined` where it can be none: in any case, with or without what stands between. */
export function hashOfTyped(typed: string): string | undefined {
  const code = typedCode(typed);
  return code === undefined ? undefined : sha256(code);
}

/** What somebody meant who typed this. */
export function typedCode(typed: string): string | undefined {
  if (typed.length > 256) return undefined;
  const code = plain(typed).replace(/O/g, '0').replace(/[IL]/g, '1');
  return IS_CODE.test(code) ? code : undefined;
}

const AT_ONCE = 10;
const LENGTH = 28;

/** Without I, L, O and U, which are read as others. */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const IS_CODE = new RegExp(`^[${ALPHABET}]{${String(LENGTH)}}$`);

const plain = (code: string): string => code.replace(/[\s-]/g, '').toUpperCase();
const grouped = (code: string): string => code.match(/.{4}/g)?.join('-') ?? code;
