import type { Seconds } from '../base/index.js';

/** A key of an agent: since when it is known anywhere, and from when on one that was rotated out is refused. */
export type KeyLife = Readonly<{ since: Seconds; retiresAt: Seconds | undefined }>;
export type NamedKey = KeyLife & Readonly<{ client: string; thumbprint: string }>;

/** Keys by RFC 7638 thumbprint. */
export interface KeyLives {
  /** Whether a key was taken from its agent; by its thumbprint (RFC 7638). */
  isRevoked(thumbprint: string): Promise<boolean>;
  /** One that was never seen is known from now on. */
  of(client: string, thumbprint: string): Promise<KeyLife>;
  /** What is known of the keys of these clients. */
  all(clients: readonly string[]): Promise<readonly NamedKey[]>;
}

/** OWASP NHI7: why a key is refused at this instant, or `undefined`. */
export function keyEnd(
  { since, retiresAt }: KeyLife,
  now: Seconds,
  maxAge: Seconds,
): 'key_retired' | 'key_too_old' | undefined {
  if (retiresAt !== undefined && retiresAt <= now) return 'key_retired';
  return now - since > maxAge ? 'key_too_old' : undefined;
}
