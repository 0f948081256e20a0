// Bundles of records as an exchange writes them, judged in one process. Prints one JSON line: entries that an auditor
// verifies in a second of one core, and how large an entry is in a bundle.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { closeRecord, makeBundle, recordHead } from '../../src/audit/index.js';
import { verifyBundle } from '../../src/sdk/auditor/index.js';
import { formatCheckpoint, formatNote, leafHash, signatureLine, Tree, verifierKey } from '../../src/tlog/index.js';
import { median } from './load.js';

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

/** About the size of a permitted exchange of a real agent. */
function record(i: number): Buffer {
  const head = recordHead('exchange', 1_795_305_600, {
    request: `req_${randomBytes(16).toString('base64url')}`,
    trace: null,
    client: { id: 'agt_writer', kind: 'agent', method: 'private_key_jwt', key: randomBytes(32).toString('base64url') },
    person: 'prs_7Hq4bYpZ2mWcVt9x',
    actors: [
      { sub: 'agt_writer', iss: 'https://writ.example' },
      { sub: 'agt_planner', iss: 'https://writ.example' },
    ],
    target: { kind: 'server', resource: 'https://mcp.example/files' },
    tools: [{ name: 'write_file', arguments_sha256: randomBytes(32).toString('base64url'), max_uses: 1 }],
    ...{ scope: 'files:write', task: 'T-1182', purpose: 'publish-report', authn: 'urn:phr' },
    decision: `dec_${randomBytes(16).toString('base64url')}`,
    policy: `sha256:${randomBytes(32).toString('base64url')}`,
    policies: ['reads-and-changes-within-scope'],
    registry: 12,
    txn: randomBytes(16).toString('base64url'),
    token: {
      hash: randomBytes(32).toString('base64url'),
      typ: 'txnat+jwt',
      key: 'k1',
      exp: 1_795_305_780,
      bound: null,
    },
  });
  const sequence = 1 + Math.floor(i / 1_000);
  return closeRecord(head, { decision: 'permit', reason: 'permitted', session: `ses_${i % 1_000}`, sequence, seen: 0 });
}
