import { hash } from 'node:crypto';
import type { Hash } from './hash.js';
import type { RootMaker } from './prove.js';
import { perfectRoot } from './tree.js';

/** Below this a root costs no more than the digest under which it would be found. */
const WORTH = 16;

/**
 * Remembers the roots that it made, at most `limit` of them (some 300 bytes each), the last used ones. They are found by
 * all the hashes below them, so whatever a database says later, what is remembered is never wrong.
 */
export function rememberRoots(limit = 16_384): RootMaker {
  const known = new Map<string, Hash>();
  return (row) => {
    if (row.length < WORTH) return perfectRoot(row);
    const key = hash('sha256', Buffer.concat(row), 'binary');
    const root = known.get(key) ?? perfectRoot(row);
    known.delete(key);
    known.set(key, root);
    const [oldest] = known.size > limit ? known.keys() : [];
    if (oldest !== undefined) known.delete(oldest);
    return root;
  };
}
