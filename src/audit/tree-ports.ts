import type { Seconds } from '../base/index.js';
import type { GrownTile, TileReader } from '../tlog/index.js';

/** An entry of the tree. Its hash stays when retention has removed the leaf; a leaf that is gone otherwise is missing. */
export type TreeEntry = Readonly<{ index: number; leafHash: Buffer; leaf: Buffer | undefined; isPruned: boolean }>;

/** A signed checkpoint (C2SP tlog-checkpoint) as it is served, cosignatures included. */
export type StoredCheckpoint = Readonly<{ size: number; note: string; at: Seconds }>;

/** Reads the tree as every replica has it. */
export interface TreeReader {
  /** Throws a Fault when a tile is missing or shorter than asked. */
  readonly tiles: TileReader;
  /** The hashes of a stored tile, as many as there are; `undefined`: there is no such tile. */
  tile(level: number, index: number): Promise<Buffer | undefined>;
  /** The checkpoint of the whole tree; `undefined` before the first. */
  latest(): Promise<StoredCheckpoint | undefined>;
  /** The newest checkpoint of at least this size that is kept, without its successors. */
  checkpointFrom(size: number): Promise<StoredCheckpoint | undefined>;
  /** At most `limit` entries from `start` up to but without `end`, in order. */
  entries(range: Readonly<{ start: number; end: number; limit: number }>): Promise<readonly TreeEntry[]>;
  /** Where a leaf is, by its hash; `undefined` while it is not in the tree. */
  indexOf(leafHash: Uint8Array): Promise<number | undefined>;
  /** The verifier keys that ever signed, oldest first. */
  verifierKeys(): Promise<readonly KnownVerifierKey[]>;
  /** Where the records are that cover whatever retention has removed until now; ascending. */
  retentionRecords(): Promise<readonly number[]>;
}

/** `fromSize`: the tree's size when it signed first. `leafHash`: the record that announced it; the first has none. */
export type KnownVerifierKey = Readonly<{ vkey: string; fromSize: number; leafHash: Buffer | undefined }>;

/** The tree as one look finds it. */
export type TreeState = Readonly<{
  size: number;
  /** The signed checkpoint of exactly this size. */
  note: string | undefined;
  /** Why nothing may be appended until an operator says so. */
  halted: string | undefined;
  /** The signed note of the last recovery. */
  recovery: string | undefined;
  /** Whether this holder may append now. */
  isHeld: boolean;
  /** Since when the oldest leaf waits, in seconds; `undefined` while none does. */
  lag: number | undefined;
}>;

/** Leaves that wait, in the order in which they are to be appended. */
export type Waiting = Readonly<{
  ids: readonly string[];
  /** One hash after the other. */
  hashes: Buffer;
  /** Ids without a leaf, or with one whose hash is not that of its bytes: nobody of ours writes that. */
  broken: readonly string[];
}>;

/** One step of the tree: everything of it or nothing. */
export type Append = Readonly<{
  holder: string;
  from: number;
  waiting: Pick<Waiting, 'ids' | 'hashes'>;
  tiles: readonly GrownTile[];
  note: string;
}>;

/** The last leaves of the tree, as entries and leaves are stored: `undefined` where they are not what was hashed. */
export type Tail = Readonly<{ entries: number; hashes: Buffer | undefined }>;

/** What the one elected sequencer does to the tree. */
export interface TreeWriter {
  /** Looks, and takes or renews the lease where nobody else has it. */
  look(holder: string, leaseMs: number): Promise<TreeState>;
  waiting(most: number): Promise<Waiting>;
  /** `lost`: somebody else holds the tree, or it is not of that size any more. Nothing has changed then. */
  append(step: Append): Promise<'appended' | 'lost'>;
  /** The last entries, at most `most` of them, in a tree of `size`; those below `recovered` may have lost their leaves. */
  tail(size: number, most: number, recovered?: number): Promise<Tail>;
  /**
   * Stops every replica from appending; the first reason stays. `false`: the tree is not any more as it was seen, since it grew
   * or an operator let it go on.
   */
  halt(reason: string, seen: Pick<TreeState, 'size' | 'recovery'>): Promise<boolean>;
  /** Lets another holder in at once. */
  release(holder: string): Promise<void>;
  /** Writes the record of a new key and remembers its verifier key; the key that was announced last is not announced again. */
  announceKey(key: Readonly<{ vkey: string; previous: string | undefined; fromSize: number }>): Promise<void>;
}

/** The last checkpoint that this process signed or saw, where no writer of the database can change it. */
export interface CheckpointMemory {
  recall(): Remembered;
  keep(remembered: Partial<Remembered>): void;
}

/** Signed notes. `recovery` is the last one that was accepted. */
export type Remembered = Readonly<{ checkpoint: string | undefined; recovery: string | undefined }>;

/** Lets a halted log go on from the entries that are there; so also one that this process alone refuses. */
export interface LogRecovery {
  /** `undefined`: it is not halted. `had`: the size that the tree claimed. */
  recover(by: string, reason: string): Promise<Readonly<{ size: number; had: number; halted: string }> | undefined>;
}
