import { createECDH, hkdfSync } from 'node:crypto';

export type VapidKey = Readonly<{ publicKey: string; privateKey: string }>;

/** RFC 8292: one key of this deployment on P-256, made of its encryption key, so that every replica gives browsers the same. */
export function vapidKeyOf(encryptionKey: Uint8Array): VapidKey {
  for (let tried = 0; ; tried++) {
    const ecdh = createECDH('prime256v1');
    try {
      ecdh.setPrivateKey(Buffer.from(hkdfSync('sha256', encryptionKey, '', `writ vapid ${String(tried)}`, 32)));
    } catch {
      // Not below the order of the curve, which is so once in 2^32: the next one.
      continue;
    }
    const privateKey = ecdh.getPrivateKey().toString('base64url').padStart(43, 'A');
    return { publicKey: ecdh.getPublicKey().toString('base64url'), privateKey };
  }
}
