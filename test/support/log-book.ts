import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { type BundleAbout, type BundleSource, closeRecord, makeBundle, recordHead } from '../../src/audit/index.js';
import type { Json } from '../../src/protocol/index.js';
import { type AuditorOptions, verifyBundle, type Verdict } from '../../src/sdk/auditor/index.js';
import {
  cosignatureLine,
  entryBundle,
  formatCheckpoint,
  formatNote,
  leafHash,
  parseTilePath,
  signatureLine,
  SignatureType,
  tileHashes,
  verifierKey,
} from '../../src/tlog/index.js';
import { Tiles } from './tlog.js';

export const ORIGIN = 'writ.example/audit';
export const AT = 1_795_305_600;
export const newKey = (): KeyObject => generateKeyPairSync('ed25519').privateKey;
export const commitmentOf = (salt: string, issuer: string, subject: string): string =>
  createHash('sha256')
    .update(Buffer.from(salt, 'base64url'))
    .update(JSON.stringify({ issuer, subject }))
    .digest('base64url');

type Entry = Readonly<{ leaf: Buffer | undefined; isPruned: boolean; session: string | undefined; txn: string }>;
type Told = Readonly<{
  kind?: Parameters<typeof recordHead>[0];
  facts?: Readonly<Record<string, Json>>;
  decision?: 'permit' | 'refuse' | 'ask' | 'done';
  session?: string;
  /** `null`: the record is of its session without a place in it, as uses and outcomes are. */
  sequence?: number | null;
}>;

/** A log that a test writes: what it has stored can be changed, as whoever has the database can. */
export class LogBook {
  readonly tiles = new Tiles();
  readonly entries: Entry[] = [];
  readonly notes = new Map<number, string>();
  readonly vkeys: { vkey: string; fromSize: number; leafHash: Buffer | undefined }[] = [];
  readonly #sequences = new Map<string, number>();
  readonly #records = new Map<string, number>();
  readonly #retained: number[] = [];
  /** What an auditor has who trusts the first key. */
  readonly options: AuditorOptions;
  keys: KeyObject[];

  constructor(key = newKey()) {
    this.keys = [key];
    this.options = { keys: [verifierKey(ORIGIN, key)] };
    this.vkeys.push({ vkey: verifierKey(ORIGIN, key).text, fromSize: 0, leafHash: undefined });
  }

  get size(): number {
    return this.entries.length;
  }

  /** Writes one record; it has the next place in its session unless told otherwise. */
  write({
    kind = 'exchange',
    facts = { txn: this.#txn() },
    decision = 'permit',
    session,
    sequence,
  }: Told = {}): number {
    const next = session === undefined ? null : (this.#sequences.get(session) ?? 0) + 1;
    const place = sequence === undefined ? next : sequence;
    if (session !== undefined && place !== null) this.#sequences.set(session, place);
    if (session !== undefined) this.#records.set(session, (this.#records.get(session) ?? 0) + 1);
    const outcome = { decision, reason: 'r', session: session ?? null, sequence: place, seen: 0 };
    return this.add(closeRecord(recordHead(kind, AT, facts), outcome), session);
  }

  add(leaf: Buffer, session?: string): number {
    this.tiles.append([leafHash(leaf)]);
    return this.entries.push({ leaf, isPruned: false, session, txn: this.#txn() }) - 1;
  }

  #txn(): string {
    return `txn${this.size % 7}`;
  }

  fill(count: number): this {
    for (let n = 0; n < count; n++) this.write({ session: `ses_${n % 3}` });
    return this;
  }

  /** The summary that closes a session, counting all that it has unless `facts` say otherwise. */
  close(session: string, facts: Readonly<Record<string, Json>> = {}): number {
    const entries = this.#records.get(session) ?? 0;
    const counted = { what: 'closed', session, entries, ...facts };
    return this.write({ kind: 'session', decision: 'done', session, facts: counted });
  }

  /** The record of another key, by which it signs from now on, `with` the one before or alone. */
  rotate(key: KeyObject): number {
    const { text } = verifierKey(ORIGIN, key);
    const previous = this.vkeys.at(-1)?.vkey ?? '';
    const index = this.write({ kind: 'key', decision: 'done', facts: { what: 'log_key', vkey: text, previous } });
    this.vkeys.push({ vkey: text, fromSize: index, leafHash: leafHash(this.entries[index]?.leaf ?? Buffer.alloc(0)) });
    return index;
  }

  /** The record of what retention removes, and the removal: all below but keys and such records. */
  prune(below: number, facts: Readonly<Record<string, Json>> = {}): number {
    const told = { what: 'pruned', from: 0, below, older_than: AT, days: 30, by: 'writ', ...facts };
    const index = this.write({ kind: 'retention', decision: 'done', facts: told });
    this.#retained.push(index);
    for (let n = 0; n < below; n++) {
      const isKept = /"kind":"(key|retention)"/.test(this.entries[n]?.leaf?.toString('utf8') ?? '');
      if (!isKept) this.forget(n);
    }
    return index;
  }

  /** An entry without its content. */
  forget(index: number, isPruned = true): void {
    this.alter(index, { leaf: undefined, isPruned, session: undefined });
  }

  /** Signs the tree as it is. */
  sign(): string {
    const root = this.tiles.tree.root();
    const text = formatCheckpoint({ origin: ORIGIN, size: this.size, root, extensions: [] });
    const note = formatNote(
      text,
      this.keys.map((key) => signatureLine(text, ORIGIN, key)),
    );
    this.notes.set(this.size, note);
    return note;
  }

  cosign(size: number, name: string, key: KeyObject, at = AT): void {
    const note = this.notes.get(size) ?? '';
    const text = note.slice(0, note.lastIndexOf('\n\n') + 1);
    this.notes.set(size, `${note}${cosignatureLine(text, name, key, at)}\n`);
  }

  alter(index: number, change: Partial<Entry>): void {
    const entry = this.entries[index];
    if (entry) this.entries[index] = { ...entry, ...change };
  }

  readonly source: BundleSource = {
    tree: {
      tiles: this.tiles.read,
      latest: () => Promise.resolve(this.#checkpoints().at(-1)),
      checkpointFrom: (size) => Promise.resolve(this.#checkpoints().find((one) => one.size >= size)),
      entries: ({ start, end }) =>
        Promise.resolve(
          this.entries.slice(start, end).map(({ leaf, isPruned }, i) => {
            const [hash = Buffer.alloc(32)] = leaf ? [leafHash(leaf)] : [];
            return { index: start + i, leafHash: hash, leaf, isPruned };
          }),
        ),
      indexOf: (hash) => {
        const row = tileHashes(
          Buffer.concat(this.entries.map(({ leaf }) => (leaf ? leafHash(leaf) : Buffer.alloc(32)))),
        );
        const index = row.findIndex((one) => one.equals(hash));
        return Promise.resolve(index < 0 ? undefined : index);
      },
      verifierKeys: () => Promise.resolve(this.vkeys),
      retentionRecords: () => Promise.resolve(this.#retained),
    },
    finder: {
      indexes: (of, { after, limit }) =>
        Promise.resolve(
          this.entries
            .flatMap((entry, i) => (('session' in of ? entry.session === of.session : entry.txn === of.txn) ? [i] : []))
            .filter((index) => index > after)
            .slice(0, limit),
        ),
      between: () => Promise.resolve([0, this.size]),
    },
  };

  /** What the log serves at a path of C2SP tlog-tiles. */
  served(path: string): Buffer | undefined {
    if (path === 'checkpoint') return Buffer.from(this.#checkpoints().at(-1)?.note ?? '');
    const parsed = parseTilePath(path);
    if (!parsed.ok) return undefined;
    const { of, level, index, width } = parsed.value;
    if (of === 'hashes') return this.tiles.stored.get(`${level}/${index}`)?.subarray(0, width * 32);
    const leaves = this.entries.slice(index * 256, index * 256 + width).map(({ leaf }) => leaf);
    const bundle = entryBundle(leaves.flatMap((leaf) => leaf ?? []));
    return bundle.ok && leaves.length === width ? bundle.value : undefined;
  }

  #checkpoints(): { size: number; note: string; at: number }[] {
    return [...this.notes].sort(([a], [b]) => a - b).map(([size, note]) => ({ size, note, at: AT }));
  }

  async bundle(about: BundleAbout, sizes: readonly number[] = []): Promise<string> {
    const lines = await makeBundle({ about, sizes, now: AT }, this.source);
    let text = '';
    for await (const piece of lines ?? []) text += piece;
    return text;
  }
}

export const judge = (bundle: string | Buffer, options: AuditorOptions): Promise<Verdict> =>
  verifyBundle([Buffer.from(bundle)], options);

export const witness = (name: string, key: KeyObject) => verifierKey(name, key, SignatureType.cosignature);
