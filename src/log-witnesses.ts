import { renameSync, writeFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import {
  askWitness,
  follow,
  type PostText,
  type StoredCheckpoint,
  type TreeReader,
  type Witness,
} from './audit/index.js';
import type { Config } from './config/index.js';
import { type Cosignatures, type Database, openCosignatures, openTreeReader } from './storage/index.js';
import { parseVerifierKey } from './tlog/index.js';

type Showing = Readonly<{
  config: Pick<Config, 'logWitnesses' | 'logCopies'>;
  database: Database;
  report: (thrown: unknown) => void;
  operations: Readonly<{ logFollower(name: string): () => void }>;
}>;

const EVERY_MS = 5_000;

/**
 * Shows each newest checkpoint to the witnesses, and keeps copies of it elsewhere, for as long as this process runs. None
 * of them is waited for by anybody: whoever is away is tried again. Answers how to stop.
 */
export function showLog({ config, database, report, operations }: Showing): () => Promise<void> {
  const targets = [
    ...config.logWitnesses.map((text, n) => {
      const witness = witnessOf(text);
      const target = toWitness(witness, openCosignatures(database), openTreeReader(database));
      return { name: `witness ${n + 1}`, target };
    }),
    ...config.logCopies.map((where, n) => ({ name: `copy ${n + 1}`, target: toCopy(where) })),
  ];
  const tree = openTreeReader(database);
  // Each by itself: one that is away for weeks hides no other that fails.
  const stops = targets.map(({ name, target }) =>
    follow(() => show(tree, target), { everyMs: EVERY_MS, report, onThrough: operations.logFollower(name) }),
  );
  return async () => {
    await Promise.all(stops.map((stop) => stop()));
  };
}

async function show(tree: Pick<TreeReader, 'latest'>, target: Target): Promise<'done'> {
  const checkpoint = await tree.latest();
  if (checkpoint !== undefined && checkpoint.size > 0) await target(checkpoint);
  return 'done';
}

type Target = (checkpoint: StoredCheckpoint) => Promise<void>;

function witnessOf(text: string): Witness {
  const [url = '', vkey = ''] = text.split(' ');
  const key = parseVerifierKey(vkey);
  if (!key.ok) throw new TypeError('the configuration has a witness without a verifier key');
  return { url, keys: [key.value] };
}

const toWitness =
  (witness: Witness, kept: Cosignatures, { tiles }: Pick<TreeReader, 'tiles'>): Target =>
  async ({ size, note }) => {
    const from = await kept.lastSize(witness.keys[0]?.name ?? '');
    if (from === size) return;
    const asked = await askWitness(witness, { note, size, from: Math.min(from, size) }, { post: postText, tiles });
    if (!asked.ok) throw new Error(`the witness at ${witness.url} did not cosign ${size} entries: ${asked.error}`);
    await kept.keep(size, asked.value);
  };

function toCopy(where: string): Target {
  let last = '';
  return async ({ note }) => {
    if (note === last) return;
    if (/^https?:\/\//.test(where)) await postCopy(where, note);
    else writeCopy(where, note);
    last = note;
  };
}

async function postCopy(url: string, note: string): Promise<void> {
  const { status } = await postText(url, note);
  if (status < 200 || status > 299) throw new Error(`a copy of the log was not taken at ${url}: ${status}`);
}

/** Never half of one: whoever looks finds the old copy or the new one. */
function writeCopy(file: string, note: string): void {
  writeFileSync(`${file}.new`, note);
  renameSync(`${file}.new`, file);
}

const TIMEOUT_MS = 5_000;
const MAX_ANSWER = 64 * 1_024;

const postText: PostText = async (url, body) => {
  const headers = { 'Content-Type': 'text/plain; charset=utf-8' };
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const response = await fetch(url, { method: 'POST', redirect: 'error', signal, headers, body });
  const chunks: Uint8Array[] = [];
  let size = 0;
  const answer: AsyncIterable<Uint8Array> = response.body ?? Readable.from([]);
  for await (const chunk of answer) {
    size += chunk.length;
    if (size > MAX_ANSWER) throw new Error(`the answer of ${url} is too long`);
    chunks.push(chunk);
  }
  return { status: response.status, body: Buffer.concat(chunks).toString('utf8') };
};
