import { leafHash } from '../../src/tlog/index.js';

/** The hash of the entry that is the eight bytes of its index. */
export function syntheticHash(index: number): Buffer {
  const entry = Buffer.alloc(8);
  entry.writeBigInt64BE(BigInt(index));
  return leafHash(entry);
}
