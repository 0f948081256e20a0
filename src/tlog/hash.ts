import { createHash, hash } from 'node:crypto';

/** A SHA-256 of a leaf or of a node of the tree: 32 bytes. */
export type Hash = Buffer;

export const HASH_BYTES = 32;

/** RFC 6962 section 2.1: the root of the empty tree. */
export const emptyRoot = (): Hash => sha256(Buffer.alloc(0));

// The prefixes of RFC 6962 section 2.1 keep a leaf from being taken for a node. One scratch area for each: neither
// function can be interrupted.
const LEAF_SCRATCH = Buffer.alloc(1 + 0xffff, 0);
const NODE_SCRATCH = Buffer.alloc(1 + 2 * HASH_BYTES, 1);

/** RFC 6962 section 2.1: SHA-256 over 0x00 and the leaf as stored. */
export function leafHash(leaf: Uint8Array): Hash {
  if (leaf.length >= LEAF_SCRATCH.length) return createHash('sha256').update(Uint8Array.of(0)).update(leaf).digest();
  LEAF_SCRATCH.set(leaf, 1);
  return sha256(LEAF_SCRATCH.subarray(0, 1 + leaf.length));
}

/** RFC 6962 section 2.1: SHA-256 over 0x01 and both halves. */
export function nodeHash(left: Uint8Array, right: Uint8Array): Hash {
  NODE_SCRATCH.set(left, 1);
  NODE_SCRATCH.set(right, 1 + HASH_BYTES);
  return sha256(NODE_SCRATCH);
}

// Measured on Node 20: 0.96 µs for a node by way of `binary`, 1.46 as `buffer`, 1.8 to 2.1 by createHash.
const sha256 = (bytes: Uint8Array): Hash => Buffer.from(hash('sha256', bytes, 'binary'), 'latin1');
