import { err, ok, type Result } from '../base/index.js';
import { emptyRoot, type Hash, HASH_BYTES, nodeHash } from './hash.js';
import { leftHalf, powerWithin, type Span } from './spans.js';

/** Why a proof proves nothing. `wrong_length`: too many or too few hashes for the sizes; `wrong_root`: all else. */
export type ProofFlaw = 'out_of_range' | 'wrong_length' | 'wrong_root';

/** What is claimed of a tree: its number of leaves and its root. */
export type TreeHead = Readonly<{ size: number; root: Uint8Array }>;

/** RFC 9162 section 2.1.3.2. */
export function verifyInclusion(
  leaf: Uint8Array,
  index: number,
  tree: TreeHead,
  proof: readonly Uint8Array[],
): Result<undefined, ProofFlaw> {
  if (!isSize(tree.size) || !isSize(index) || index >= tree.size) return err('out_of_range');
  if (!areHashes([leaf, ...proof])) return err('wrong_length');
  let [fn, sn, root] = [index, tree.size - 1, leaf];
  for (const hash of proof) {
    if (sn === 0) return err('wrong_length');
    if (isOdd(fn) || fn === sn) {
      root = nodeHash(hash, root);
      [fn, sn] = climb(fn, sn);
    } else {
      root = nodeHash(root, hash);
    }
    [fn, sn] = [half(fn), half(sn)];
  }
  if (sn !== 0) return err('wrong_length');
  return same(root, tree.root);
}

/** RFC 9162 section 2.1.4.2. Nothing needs proof from the empty tree, nor between trees of one size. */
export function verifyConsistency(
  from: TreeHead,
  to: TreeHead,
  proof: readonly Uint8Array[],
): Result<undefined, ProofFlaw> {
  if (!isSize(from.size) || !isSize(to.size) || from.size > to.size) return err('out_of_range');
  if (!areHashes(proof)) return err('wrong_length');
  if (from.size === to.size || from.size === 0) {
    if (proof.length > 0) return err('wrong_length');
    const old = same(from.root, from.size === 0 ? emptyRoot() : to.root);
    return old.ok && from.size === to.size ? same(to.root, from.root) : old;
  }
  const [first, ...rest] = isPowerOfTwo(from.size) ? [from.root, ...proof] : proof;
  return first === undefined ? err('wrong_length') : climbBoth(from, to, first, rest);
}

function climbBoth(
  from: TreeHead,
  to: TreeHead,
  first: Uint8Array,
  proof: readonly Uint8Array[],
): Result<undefined, ProofFlaw> {
  let [fn, sn] = [from.size - 1, to.size - 1];
  while (isOdd(fn)) [fn, sn] = [half(fn), half(sn)];
  let [older, newer] = [first, first];
  for (const hash of proof) {
    if (sn === 0) return err('wrong_length');
    if (isOdd(fn) || fn === sn) {
      older = nodeHash(hash, older);
      newer = nodeHash(hash, newer);
      [fn, sn] = climb(fn, sn);
    } else {
      newer = nodeHash(newer, hash);
    }
    [fn, sn] = [half(fn), half(sn)];
  }
  if (sn !== 0) return err('wrong_length');
  const old = same(older, from.root);
  return old.ok ? same(newer, to.root) : old;
}

/** Climbs while the node is the left one of no pair: it is hashed with nothing there. */
function climb(fn: number, sn: number): [number, number] {
  let [f, s] = [fn, sn];
  while (!isOdd(f) && f !== 0) [f, s] = [half(f), half(s)];
  return [f, s];
}

/** The root that a run of leaf hashes and the hashes of the subtrees outside it ({@link rangeProof}) lead to. */
export function rangeRoot(
  start: number,
  leaves: readonly Uint8Array[],
  size: number,
  proof: readonly Uint8Array[],
): Result<Uint8Array, ProofFlaw> {
  const run: Span = [start, start + leaves.length];
  if (!isSize(size) || !isSize(start) || leaves.length === 0 || run[1] > size) return err('out_of_range');
  if (!areHashes(leaves) || !areHashes(proof)) return err('wrong_length');
  let used = 0;
  const rootOf = (from: number, to: number): Uint8Array | undefined => {
    if (to <= run[0] || from >= run[1]) return proof[used++];
    if (to - from === 1) return leaves[from - run[0]];
    const middle = from + leftHalf(to - from);
    const left = rootOf(from, middle);
    const right = left && rootOf(middle, to);
    return left && right && nodeHash(left, right);
  };
  const root = rootOf(0, size);
  return root === undefined || used !== proof.length ? err('wrong_length') : ok(root);
}

/** {@link rangeRoot}, which must be the tree's. */
export function verifyRange(
  start: number,
  leaves: readonly Uint8Array[],
  tree: TreeHead,
  proof: readonly Uint8Array[],
): Result<undefined, ProofFlaw> {
  const root = rangeRoot(start, leaves, tree.size, proof);
  return root.ok ? same(root.value, tree.root) : root;
}

const isSize = (size: number): boolean => Number.isSafeInteger(size) && size >= 0;
const areHashes = (hashes: readonly Uint8Array[]): boolean => hashes.every((hash) => hash.length === HASH_BYTES);
const isOdd = (n: number): boolean => n % 2 === 1;
const half = (n: number): number => Math.floor(n / 2);
const isPowerOfTwo = (n: number): boolean => powerWithin(n) === n;
const same = (a: Uint8Array, b: Hash | Uint8Array): Result<undefined, ProofFlaw> =>
  Buffer.compare(a, b) === 0 ? ok(undefined) : err('wrong_root');
