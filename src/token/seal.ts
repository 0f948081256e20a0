import { createCipheriv, createDecipheriv } from 'node:crypto';
import { randomBytes } from '../base/index.js';

/** `key` is 32 bytes; `context` is authenticated with the box, so one sealed thing cannot stand in for another. */
type Box = Readonly<{ key: Uint8Array; context: string }>;

/** AES-256-GCM: 12 bytes nonce, 16 bytes tag, ciphertext. */
export function seal(plain: Uint8Array, { key, context }: Box): Uint8Array {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(context));
  const text = cipher.update(plain);
  // A counter mode has nothing left to write at its end.
  cipher.final();
  return Buffer.concat([nonce, cipher.getAuthTag(), text]);
}

/** The plain bytes, or `undefined` when key, context or box are not the ones it was sealed with. */
export function unseal(box: Uint8Array, { key, context }: Box): Buffer | undefined {
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, box.subarray(0, 12), { authTagLength: 16 });
    decipher.setAAD(Buffer.from(context)).setAuthTag(box.subarray(12, 28));
    return Buffer.concat([decipher.update(box.subarray(28)), decipher.final()]);
  } catch {
    return undefined;
  }
}
