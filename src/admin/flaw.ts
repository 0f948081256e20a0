import { isLoopback } from '../protocol/index.js';
import type { ObjectKind } from './contents.js';

/** A rule that one object would break; `path` is the field inside it. */
export type Flaw = Readonly<{ kind: ObjectKind; id: string; path: string; message: string }>;

/** Makes flaws of one object. */
export const at =
  (kind: ObjectKind, id: string) =>
  (path: string, message: string): Flaw => ({ kind, id, path, message });

export const SAFE = 'must be https (http on loopback only) without user information or fragment';

/** https, or http on loopback; no user information, no fragment. */
export function isSafeUrl(text: string): boolean {
  if (!URL.canParse(text) || text.includes('#')) return false;
  const { protocol, hostname, username, password } = new URL(text);
  if (username !== '' || password !== '') return false;
  return protocol === 'https:' || (protocol === 'http:' && isLoopback(hostname));
}
