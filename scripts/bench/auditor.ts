// Bundles of records as an exchange writes them, judged in one process. Prints one JSON line: entries that an auditor
// verifies in a second of one core, and how large an entry is in a bundle.
import { generateKeyPairSync } from 'node:crypto';
import { makeBundle } from '../../src/audit/index.js';
import { verifyBundle } from '../../src/sdk/auditor/index.js';
import { formatCheckpoint, formatNote, leafHash, signatureLine, Tree, verifierKey } from '../../src/tlog/index.js';
import { median } from './load.js';
import { record } from './record.js';

const { rounds, entries } = JSON.parse(process.argv[2] ?? '') as { rounds: number; entries: number };
const ORIGIN = 'writ.example/audit';
const key = generateKeyPairSync('ed25519').privateKey;
const leaves = Array.from({ length: entries }, (_, i) => record(i));
const tree = new Tree();
for (const leaf of leaves) tree.append(leafHash(leaf));
const tiles = new Map(tree.takeGrown().map(({ level, index, hashes }) => [`${level}/${index}`, hashes]));
const text = formatCheckpoint({ origin: ORIGIN, size: entries, root: tree.root(), extensions: [] });
const note = formatNote(text, [signatureLine(text, ORIGIN, key)]);

const bundle: Buffer[] = [];
const lines = await makeBundle(
  { about: { range: [0, entries] }, sizes: [], now: 0 },
  {
    tree: {
      tiles: (wanted) =>
        Promise.resolve(wanted.map(({ level, index }) => tiles.get(`${level}/${index}`) ?? Buffer.alloc(0))),
      latest: () => Promise.resolve({ size: entries, note, at: 0 }),
      checkpointFrom: () => Promise.resolve(undefined),
      entries: ({ start, end }) =>
        Promise.resolve(
          leaves
            .slice(start, end)
            .map((leaf, i) => ({ index: start + i, leafHash: leafHash(leaf), leaf, isPruned: false })),
        ),
      indexOf: () => Promise.resolve(undefined),
      retentionRecords: () => Promise.resolve([]),
      verifierKeys: () => Promise.resolve([]),
    },
    finder: { indexes: () => Promise.resolve([]), between: () => Promise.resolve(undefined) },
  },
);
for await (const piece of lines ?? []) bundle.push(Buffer.from(piece));

const rates: number[] = [];
// The first rounds are for the compiler.
for (let round = -2; round < rounds; round++) {
  const before = process.cpuUsage();
  const verdict = await verifyBundle(bundle, { keys: [verifierKey(ORIGIN, key)] });
  const { user, system } = process.cpuUsage(before);
  if (!verdict.isProved) throw new Error(JSON.stringify(verdict.problems));
  if (round >= 0) rates.push(entries / ((user + system) / 1_000_000));
}
const bytes = bundle.reduce((sum, { length }) => sum + length, 0);
console.log(JSON.stringify({ verified_per_s: median(rates), bundle_bytes_per_entry: bytes / entries }));
