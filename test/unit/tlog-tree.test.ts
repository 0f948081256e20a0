import { createHash } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import {
  consistencyProof,
  edgeTiles,
  emptyRoot,
  entriesPath,
  entryBundle,
  type Hash,
  inclusionProof,
  leafHash,
  nodeHash,
  parseEntryBundle,
  parseTilePath,
  rangeProof,
  rememberRoots,
  rangeRoot,
  rootAt,
  type TileReader,
  tileHashes,
  tileOf,
  tilePath,
  Tree,
  verifyConsistency,
  verifyInclusion,
  verifyRange,
} from '../../src/tlog/index.js';
import { mth, numbered, Tiles } from '../support/tlog.js';
import { vector } from '../support/vectors.js';

const Hex = z.string().transform((text) => Buffer.from(text, 'hex'));
const Proof = z.array(Hex);
const merkle = vector(
  'tlog/merkle',
  z.object({
    leaves: z.array(Hex),
    nodes: z.array(z.array(Hex)),
    roots: z.array(Hex),
    inclusion: z.array(z.object({ index: z.number(), size: z.number(), proof: Proof })),
    consistency: z.array(z.object({ from: z.number(), to: z.number(), proof: Proof })),
  }),
);
const spec = vector(
  'tlog/notes',
  z.object({
    tiles: z.object({
      index: z.number(),
      path: z.string(),
      size: z.number(),
      edge: z.array(z.object({ level: z.number(), index: z.number(), width: z.number() })),
    }),
  }),
).tiles;

const okay = { ok: true, value: undefined };
const value = <T>(result: { ok: true; value: T } | { ok: false; error: string }): T => {
  if (!result.ok) throw new Error(result.error);
  return result.value;
};
const published = new Tiles();
const hashes = merkle.leaves.map((leaf) => leafHash(leaf));
published.append(hashes);
const root = (size: number): Buffer => merkle.roots[size] ?? Buffer.alloc(0);
const leaf = (index: number): Buffer => hashes[index] ?? Buffer.alloc(0);

describe('the published trees of RFC 6962', () => {
  it('§2.1 hashes leaves and nodes as published', () => {
    expect(hashes).toEqual(merkle.nodes[0]);
    const [, ...above] = merkle.nodes;
    above.forEach((row, level) => {
      expect(row).toEqual(
        row.map((_, i) =>
          nodeHash(merkle.nodes[level]?.[2 * i] ?? leaf(0), merkle.nodes[level]?.[2 * i + 1] ?? leaf(0)),
        ),
      );
    });
  });

  it('§2.1 has the published root at every size', async () => {
    const tree = new Tree();
    const roots = [tree.root(), ...hashes.map((hash) => (tree.append(hash), tree.root()))];
    expect(roots).toEqual(merkle.roots);
    expect(await Promise.all(merkle.roots.map((_, size) => rootAt(size, published.read)))).toEqual(merkle.roots);
    expect(emptyRoot()).toEqual(merkle.roots[0]);
  });

  it.each(merkle.inclusion)('§2.1.1 proves leaf $index of $size as published', async ({ index, size, proof }) => {
    expect(value(await inclusionProof(index, size, published.read))).toEqual(proof);
    expect(verifyInclusion(leaf(index), index, { size, root: root(size) }, proof)).toEqual(okay);
  });

  it.each(merkle.consistency)('§2.1.2 proves $to after $from as published', async ({ from, to, proof }) => {
    expect(value(await consistencyProof(from, to, published.read))).toEqual(proof);
    const heads = [from, to].map((size) => ({ size, root: root(size) })) as [Head, Head];
    expect(verifyConsistency(...heads, proof)).toEqual(okay);
  });
});

type Head = { size: number; root: Buffer };
const MAX = 700;
const all = numbered(0, MAX);
const log = new Tiles();
log.append(all);
const head = (size: number): Head => ({ size, root: mth(all.slice(0, size)) });
const size = fc.integer({ min: 1, max: MAX });

describe('a tree that grows', () => {
  it('has one root and one set of tiles, in whatever batches it grew and however often it was taken up again', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 6 }), async (batches) => {
        const grown = new Tiles();
        let resumed = grown.tree;
        for (const batch of batches) {
          const leaves = numbered(grown.tree.size, grown.tree.size + batch);
          resumed = await grown.resumed();
          leaves.forEach((hash) => {
            resumed.append(hash);
          });
          grown.append(leaves);
          expect(resumed.root()).toEqual(grown.tree.root());
        }
        const once = new Tiles();
        once.append(numbered(0, grown.tree.size));
        expect(once.stored).toEqual(grown.stored);
        expect(grown.tree.root()).toEqual(mth(numbered(0, grown.tree.size)));
        expect(await rootAt(grown.tree.size, grown.read)).toEqual(grown.tree.root());
      }),
      { numRuns: 30 },
    );
  });

  it('gives each tile that has changed once, whole, and none that has not', () => {
    const tree = new Tree();
    numbered(0, 300).forEach((hash) => {
      tree.append(hash);
    });
    const shape = () => tree.takeGrown().map(({ level, index, width, hashes }) => [level, index, width, hashes.length]);
    expect(shape()).toEqual([
      [0, 0, 256, 8192],
      [0, 1, 44, 1408],
      [1, 0, 1, 32],
    ]);
    expect(shape()).toEqual([]);
    tree.append(leaf(0));
    expect(shape()).toEqual([[0, 1, 45, 1440]]);
  });

  it('throws on an edge that has not the length of its size', () => {
    expect(() => new Tree(300, [Buffer.alloc(43 * 32), Buffer.alloc(32)])).toThrow('the edge of the tree');
    expect(() => new Tree(300, [Buffer.alloc(44 * 32)])).toThrow('the edge of the tree');
  });

  it('keeps an edge of three levels', async () => {
    const big = new Tiles();
    big.append(numbered(0, 65_536 + 256 + 3));
    expect(edgeTiles(big.tree.size).map(({ level, width }) => [level, width])).toEqual([
      [0, 3],
      [1, 1],
      [2, 1],
    ]);
    expect((await big.resumed()).root()).toEqual(mth(numbered(0, big.tree.size)));
    const proof = value(await inclusionProof(256, big.tree.size, big.read));
    expect(proof.length).toBe(17);
    const [hash] = numbered(256, 257) as [Hash];
    expect(verifyInclusion(hash, 256, { size: big.tree.size, root: big.tree.root() }, proof)).toEqual(okay);
  });
});

describe('remembered roots', () => {
  it('make the same proofs as roots that are made anew, the first time and the second', async () => {
    const big = new Tiles();
    big.append(numbered(0, 65_536 + 256 + 3));
    const rootOf = rememberRoots();
    for (const index of [0, 300, 40_000, 65_536, 65_794, 300]) {
      const anew = value(await inclusionProof(index, big.tree.size, big.read));
      expect(value(await inclusionProof(index, big.tree.size, big.read, rootOf))).toEqual(anew);
      const consistency = value(await consistencyProof(index + 1, big.tree.size, big.read));
      expect(value(await consistencyProof(index + 1, big.tree.size, big.read, rootOf))).toEqual(consistency);
    }
  });

  it('are never taken for those of other hashes, nor lost count of when many come', () => {
    const rootOf = rememberRoots(2);
    const rows = Array.from({ length: 5 }, (_, i) => numbered(i * 128, (i + 1) * 128));
    for (const row of [...rows, ...rows.toReversed()]) {
      expect(rootOf(row)).toEqual(mth(row));
      const [first = leaf(0), ...rest] = row;
      const other = [flip(first, 1), ...rest];
      expect(rootOf(other)).toEqual(mth(other));
    }
  });
});

describe('proofs', () => {
  it('§2.1.1 of inclusion verify, and fail with any other leaf, index, size, hash or number of hashes', async () => {
    const broken = fc.integer({ min: 0, max: 8191 });
    await fc.assert(
      fc.asyncProperty(size, size, broken, async (a, b, bit) => {
        const [index, tree] = [Math.min(a, b) - 1, head(Math.max(a, b))];
        const proof = value(await inclusionProof(index, tree.size, log.read));
        const hash = all[index] ?? leaf(0);
        expect(verifyInclusion(hash, index, tree, proof)).toEqual(okay);
        for (const [wrong, at, of, hashes] of [
          [flip(hash, bit), index, tree, proof],
          [hash, index + 1, tree, proof],
          [hash, index - 1, tree, proof],
          [hash, index, { ...tree, root: flip(tree.root, bit) }, proof],
          [hash, index, { ...tree, size: 2 * tree.size }, proof],
          [hash, index, tree, [...proof, hash]],
          [hash, index, tree, [hash, ...proof]],
          [hash, index, tree, flipOne(proof, bit, hash)],
          [hash, index, tree, proof.length === 0 ? [hash] : proof.slice(1)],
          [hash, index, tree, proof.length === 0 ? [hash] : proof.slice(0, -1)],
          [hash.subarray(1), index, tree, proof],
          [hash, index + 0.5, tree, proof],
          [hash, index, { ...tree, size: Number.NaN }, proof],
        ] as const) {
          expect(verifyInclusion(wrong, at, of, hashes)).toMatchObject({ ok: false });
        }
      }),
      { numRuns: 150 },
    );
  });

  it('§2.1.2 of consistency verify, and fail with any other root, size, hash or number of hashes', async () => {
    await fc.assert(
      fc.asyncProperty(size, size, fc.integer({ min: 0, max: 8191 }), async (a, b, bit) => {
        const [from, to] = [head(Math.min(a, b)), head(Math.max(a, b))];
        const proof = value(await consistencyProof(from.size, to.size, log.read));
        expect(verifyConsistency(from, to, proof)).toEqual(okay);
        const [extra] = all as [Hash];
        for (const [older, newer, hashes] of [
          [{ ...from, root: flip(from.root, bit) }, to, proof],
          [from, { ...to, root: flip(to.root, bit) }, proof],
          [{ ...from, size: to.size + 1 }, to, proof],
          [from, to, [...proof, extra]],
          [from, to, [extra, ...proof]],
          [from, to, flipOne(proof, bit, extra)],
          [from, to, proof.length === 0 ? [extra] : proof.slice(1)],
          [from, to, proof.length === 0 ? [extra] : proof.slice(0, -1)],
          [from, to, proof.length === 0 ? [extra] : proof.map((hash) => hash.subarray(1))],
        ] as const) {
          expect(verifyConsistency(older, newer, hashes)).toMatchObject({ ok: false });
        }
      }),
      { numRuns: 150 },
    );
  });

  it('§2.1.2 of another log’s tree fail', () => {
    const other = (size: number): Head => ({ size, root: mth(numbered(1, size + 1)) });
    expect(verifyConsistency(other(5), head(5), [])).toEqual({ ok: false, error: 'wrong_root' });
    expect(verifyConsistency({ size: 0, root: leaf(0) }, head(5), [])).toEqual({ ok: false, error: 'wrong_root' });
    expect(verifyConsistency({ size: 0, root: emptyRoot() }, head(5), [])).toEqual(okay);
    const empty = { size: 0, root: emptyRoot() };
    expect(verifyConsistency(empty, { size: 0, root: leaf(0) }, [])).toEqual({ ok: false, error: 'wrong_root' });
    expect(verifyConsistency(empty, empty, [])).toEqual(okay);
  });

  it('of a run verify, are those of inclusion for a run of one, and fail with any other place or hash', async () => {
    await fc.assert(
      fc.asyncProperty(size, size, size, fc.integer({ min: 0, max: 8191 }), async (a, b, c, bit) => {
        const [start = 0, end = 0, of = 0] = [a, b, c].toSorted((x, y) => x - y).map((n, i) => (i === 0 ? n - 1 : n));
        const tree = head(of);
        const run = all.slice(start, end);
        const proof = value(await rangeProof([start, end], of, log.read));
        expect(verifyRange(start, run, tree, proof)).toEqual(okay);
        const [extra] = all as [Hash];
        const swapped = run.length > 1 ? [...run.slice(1), ...run.slice(0, 1)] : [flip(extra, bit)];
        for (const [at, leaves, hashes] of [
          [start, flipOne(run, bit, extra), proof],
          [start, swapped, proof],
          [start, run.slice(1), proof],
          [start, [...run, extra], proof],
          [start + 1, run, proof],
          [start - 1, run, proof],
          [start, run, [...proof, extra]],
          [start, run, flipOne(proof, bit, extra)],
          [start, run, proof.length === 0 ? [extra] : proof.slice(0, -1)],
        ] as const) {
          expect(verifyRange(at, leaves, tree, hashes)).toMatchObject({ ok: false });
        }
        const inclusion = value(await inclusionProof(start, of, log.read));
        const single = value(await rangeProof([start, start + 1], of, log.read));
        expect(new Set(single.map(hex))).toEqual(new Set(inclusion.map(hex)));
        expect(single.length).toBe(inclusion.length);
      }),
      { numRuns: 150 },
    );
  });

  it('of nothing are refused, and of what the tree has not', async () => {
    const out = { ok: false, error: 'out_of_range' };
    expect(await inclusionProof(5, 5, log.read)).toEqual(out);
    expect(await inclusionProof(-1, 5, log.read)).toEqual(out);
    expect(await consistencyProof(6, 5, log.read)).toEqual(out);
    expect(await rangeProof([3, 3], 5, log.read)).toEqual(out);
    expect(await rangeProof([3, 6], 5, log.read)).toEqual(out);
    expect(rangeRoot(0, [], 5, [])).toEqual(out);
    expect(await consistencyProof(0, 5, log.read)).toEqual({ ok: true, value: [] });
  });

  it('are exact beyond 2^32 leaves', () => {
    const proof = numbered(0, 53);
    const [hash] = numbered(60, 61) as [Hash];
    const tree = { size: Number.MAX_SAFE_INTEGER, root: leaf(0) };
    expect(verifyInclusion(hash, 2 ** 52 - 1, tree, proof)).toEqual({ ok: false, error: 'wrong_root' });
    expect(verifyInclusion(hash, 2 ** 52 - 1, tree, proof.slice(1))).toEqual({ ok: false, error: 'wrong_length' });
    expect(rangeRoot(2 ** 52 - 1, [hash], tree.size, proof)).toMatchObject({ ok: true });
    expect(rangeRoot(2 ** 52 - 1, [hash], tree.size, proof.slice(1))).toEqual({ ok: false, error: 'wrong_length' });
  });

  it('are an outage when a tile is missing or too short', async () => {
    const short: TileReader = async (tiles) => (await log.read(tiles)).map((bytes) => bytes.subarray(0, -32));
    await expect(inclusionProof(3, 5, () => Promise.resolve([]))).rejects.toThrow('missing or too short');
    await expect(rootAt(MAX, short)).rejects.toThrow('missing or too short');
  });
});

const hex = (hash: Uint8Array): string => Buffer.from(hash).toString('hex');
function flip(hash: Uint8Array, bit: number): Buffer {
  const turned = Buffer.from(hash);
  const at = Math.floor(bit / 8) % turned.length;
  turned[at] = (turned[at] ?? 0) ^ (1 << (bit % 8));
  return turned;
}
const flipOne = (row: readonly Buffer[], bit: number, extra: Buffer): Buffer[] =>
  row.length === 0 ? [extra] : row.map((hash, i) => (i === bit % row.length ? flip(hash, bit) : hash));

describe('C2SP tlog-tiles', () => {
  it('names a tile and a bundle of entries as the specification does', () => {
    expect(tilePath({ level: 0, index: spec.index, width: 256 })).toBe(`tile/0/${spec.path}`);
    expect(tilePath({ level: 12, index: spec.index, width: 7 })).toBe(`tile/12/${spec.path}.p/7`);
    expect(entriesPath(999, 256)).toBe('tile/entries/999');
    expect(entriesPath(1000, 255)).toBe('tile/entries/x001/000.p/255');
  });

  it('has the edge of the specification’s tree of 70,000', () => {
    expect(edgeTiles(spec.size)).toEqual(spec.edge);
    expect(edgeTiles(256)).toEqual([{ level: 1, index: 0, width: 1 }]);
    expect(edgeTiles(0)).toEqual([]);
    expect(tileOf(0, 272, spec.size)).toEqual({ level: 0, index: 272, width: 256 });
    expect(tileOf(0, 274, spec.size)).toBeUndefined();
  });

  it('reads the paths that it writes, and no other spelling', () => {
    const tile = fc.record({
      of: fc.constantFrom('hashes' as const, 'entries' as const),
      level: fc.integer({ min: 0, max: 63 }),
      index: fc.maxSafeNat(),
      width: fc.integer({ min: 1, max: 256 }),
    });
    fc.assert(
      fc.property(tile, ({ of, ...place }) => {
        const asked = of === 'entries' ? { of, ...place, level: 0 } : { of, ...place };
        const path = of === 'entries' ? entriesPath(place.index, place.width) : tilePath(place);
        expect(parseTilePath(path)).toEqual({ ok: true, value: asked });
      }),
    );
    for (const path of [
      'tile/64/000',
      'tile/00/000',
      'tile/0/0',
      'tile/0/0000',
      'tile/0/x000/000',
      'tile/0/x000/001',
      'tile/0/001/002',
      'tile/0/000.p/0',
      'tile/0/000.p/256',
      'tile/0/000.p/07',
      'tile/entries/000/',
      '/tile/0/000',
      'tile/0/000\n',
      'tile/-1/000',
      'tile/data/000',
      `tile/0/${'x999/'.repeat(6)}999`,
    ]) {
      expect([path, parseTilePath(path)]).toEqual([path, { ok: false, error: 'not_a_tile' }]);
    }
  });

  it('reads the bundles of entries that it writes, and nothing that is cut or longer than a tile', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 }), (entries) => {
        const bytes = value(entryBundle(entries));
        expect(value(parseEntryBundle(bytes)).map(hex)).toEqual(entries.map(hex));
        if (bytes.length > 0) expect(parseEntryBundle(bytes.subarray(0, -1))).toMatchObject({ ok: false });
        expect(parseEntryBundle(Buffer.concat([bytes, Uint8Array.of(0)]))).toMatchObject({ ok: false });
      }),
    );
    const empty = Array.from({ length: 257 }, () => Buffer.alloc(0));
    expect(parseEntryBundle(value(entryBundle(empty)))).toEqual({ ok: false, error: 'not_an_entry_bundle' });
    expect(value(parseEntryBundle(value(entryBundle([Buffer.alloc(0xffff)]))))[0]?.length).toBe(0xffff);
    expect(entryBundle([Buffer.alloc(0x10000)])).toEqual({ ok: false, error: 'entry_too_long' });
  });

  it('hashes a leaf of any length', () => {
    for (const length of [0, 1, 0xfffe, 0xffff, 0x10000, 100_000]) {
      const bytes = Buffer.alloc(length, 7);
      const expected = createHash('sha256')
        .update(Buffer.concat([Uint8Array.of(0), bytes]))
        .digest('hex');
      expect(hex(leafHash(bytes))).toBe(expected);
    }
    expect(tileHashes(Buffer.alloc(64)).length).toBe(2);
  });
});
