import { Fault } from '../base/index.js';
import {
  edgeTiles,
  HASH_BYTES,
  parseNote,
  parseVerifierKey,
  rootAt,
  Tree,
  type TreeHead,
  verifyNote,
} from '../tlog/index.js';
import type { LogSigner, OwnCheckpoint } from './log-signer.js';
import type { CheckpointMemory, TreeReader, TreeState, TreeWriter, Waiting } from './tree-ports.js';

export type SequencerDeps = Readonly<{
  /** Of this process, and of no other ever. */
  holder: string;
  tree: TreeWriter;
  reader: Pick<TreeReader, 'tiles' | 'verifierKeys'>;
  signer: LogSigner;
  memory: CheckpointMemory;
  /** Milliseconds that only grow. */
  timeMs: () => number;
}>;

/**
 * What one step did. `standby`: another process appends. `lost`: it took over meanwhile. `unfit`: what this process has of its
 * own, its keys or its file, does not let it judge the tree; the others may go on.
 */
export type Step = Readonly<{
  did: 'appended' | 'idle' | 'standby' | 'lost' | 'halted' | 'unfit';
  appended: number;
  size: number;
  /** Seconds that the oldest leaf had waited when the step began. */
  lag: number;
  /** Why nothing is appended any more, by anybody or by this process. */
  halted: string | undefined;
  /** Whether more was waiting than one step takes. */
  isMore: boolean;
}>;

/** How long a process that appends may be silent before another takes over. */
export const LEASE_MS = 2_000;
/** Leaves in one step: hashing them holds everything else in the process up for some milliseconds. */
export const BATCH = 2_048;
/** How often the tree as it is stored is held against what is known of it, although nothing seems to have happened. */
const CHECK_MS = 5_000;

/** What is wrong, and whether that is the tree, for everybody, or only what this process has to judge it by. */
type Flaw = Readonly<{ of: 'tree' | 'process'; reason: string }>;
const ofTree = (reason: string): Flaw => ({ of: 'tree', reason });
const ofProcess = (reason: string): Flaw => ({ of: 'process', reason });

const none: Waiting = { ids: [], hashes: Buffer.alloc(0), broken: [] };

/**
 * Lets the tree grow, step by step, while this process holds it, and watches over it while another does. Of many that run at
 * once only one appends at any size, so they make one log.
 *
 * INVARIANT: nothing is signed that is no extension of everything that this process ever knew, the file that outlives it
 * included. What is no extension halts every process until an operator says otherwise.
 */
export class Sequencer {
  readonly #deps: SequencerDeps;
  /** The right edge of the tree, as long as nobody else can have changed it. */
  #edge: Tree | undefined;
  #known: TreeHead | undefined;
  /** There is a file, and it is no checkpoint of ours: what was known is lost, and that is no reason to start anew. */
  #isSpoilt: boolean;
  #isUnfit = false;
  #recoveredAt: number | undefined;
  /** Entries below it may have been without their leaves when the log was recovered. */
  #recoveredSize = 0;
  #checkedMs = Number.NEGATIVE_INFINITY;

  constructor(deps: SequencerDeps) {
    this.#deps = deps;
    const { checkpoint, recovery } = deps.memory.recall();
    const recovered = recovery === undefined ? undefined : deps.signer.openRecovery(recovery);
    if (recovered?.ok === true) [this.#recoveredAt, this.#recoveredSize] = [recovered.value.at, recovered.value.size];
    const remembered = checkpoint === undefined ? undefined : deps.signer.openCheckpoint(checkpoint);
    this.#isSpoilt = remembered?.ok === false;
    this.#known = remembered?.ok === true ? remembered.value : undefined;
  }

  async step(): Promise<Step> {
    const { tree, holder } = this.#deps;
    // Who may not append leaves the tree to others.
    const state = await tree.look(holder, this.#isUnfit ? 0 : LEASE_MS);
    const stepped = { appended: 0, size: state.size, lag: state.lag ?? 0, halted: state.halted, isMore: false };
    if (state.halted !== undefined) {
      this.#forget();
      return { ...stepped, did: 'halted' };
    }
    const flaw = await this.#flawOf(state);
    this.#isUnfit = flaw?.of === 'process';
    if (flaw?.of === 'process') return this.#stepAside(flaw.reason, stepped);
    if (flaw !== undefined) return this.#halt(flaw.reason, state, stepped);
    if (!state.isHeld) {
      this.#edge = undefined;
      return { ...stepped, did: 'standby' };
    }
    const waiting = state.lag === undefined ? none : await tree.waiting(BATCH);
    const [broken] = waiting.broken;
    if (broken !== undefined)
      return this.#halt(`the leaf ${broken} that waits is not what was written`, state, stepped);
    return { ...stepped, ...(await this.#grow(state, waiting)) };
  }

  /** Lets another process in at once. */
  release(): Promise<void> {
    this.#forget();
    return this.#deps.tree.release(this.#deps.holder);
  }

  async #halt(reason: string, seen: TreeState, stepped: Omit<Step, 'did'>): Promise<Step> {
    this.#forget();
    // What is at odds may be what was read before and after another process appended, or an operator let it go on.
    if (!(await this.#deps.tree.halt(reason, seen))) return { ...stepped, did: 'lost' };
    return { ...stepped, did: 'halted', halted: reason };
  }

  async #stepAside(reason: string, stepped: Omit<Step, 'did'>): Promise<Step> {
    await this.release();
    return { ...stepped, did: 'unfit', halted: reason };
  }

  #forget(): void {
    this.#edge = undefined;
    this.#checkedMs = Number.NEGATIVE_INFINITY;
  }

  async #grow(state: TreeState, waiting: Waiting): Promise<Partial<Step> & Pick<Step, 'did'>> {
    const { tree, holder, signer } = this.#deps;
    const last = state.note === undefined ? undefined : signer.openCheckpoint(state.note);
    const signedBy = last?.ok === true ? last.value.by : undefined;
    const isNewKey = signedBy?.text !== signer.keys[0].text;
    if (waiting.ids.length === 0 && !isNewKey) return { did: 'idle' };
    const edge = (this.#edge ??= await this.#readEdge(state.size));
    this.#edge = undefined;
    if (isNewKey) await tree.announceKey({ vkey: signer.keys[0].text, previous: signedBy?.text, fromSize: state.size });
    for (let at = 0; at < waiting.hashes.length; at += HASH_BYTES)
      edge.append(waiting.hashes.subarray(at, at + HASH_BYTES));
    const head = { size: edge.size, root: edge.root() };
    const note = signer.signCheckpoint(head);
    const outcome = await tree.append({ holder, from: state.size, waiting, tiles: edge.takeGrown(), note });
    if (outcome === 'lost') return { did: 'lost' };
    // Only now: what is not in the database is not known, and a step that failed may have come through or not.
    this.#edge = edge;
    this.#learn(head, note);
    const appended = waiting.ids.length;
    return { did: 'appended', appended, size: head.size, isMore: appended === BATCH };
  }

  #learn(head: TreeHead, note: string): void {
    this.#known = head;
    this.#deps.memory.keep({ checkpoint: note });
  }

  async #readEdge(size: number): Promise<Tree> {
    const tiles = edgeTiles(size);
    const rows = await this.#deps.reader.tiles(tiles);
    return new Tree(
      size,
      rows.map((row, i) => row.subarray(0, (tiles[i]?.width ?? 0) * HASH_BYTES)),
    );
  }

  /** What is wrong with the tree as it is stored, looked for when it changed under us, and now and then anyway. */
  async #flawOf(state: TreeState): Promise<Flaw | undefined> {
    this.#accept(state.recovery);
    const isAsKnown = this.#known?.size === state.size && state.note !== undefined;
    const isDue = this.#deps.timeMs() - this.#checkedMs >= CHECK_MS;
    if (isAsKnown && !isDue) return undefined;
    const flaw = await this.#examine(state, isDue).catch((thrown: unknown) => {
      if (thrown instanceof Fault && thrown.code === 'log_inconsistent') return ofTree(thrown.message);
      throw thrown;
    });
    if (flaw === undefined && isDue) this.#checkedMs = this.#deps.timeMs();
    if (flaw !== undefined || !isAsKnown) this.#edge = undefined;
    return flaw;
  }

  /** An operator's word counts once: an old one, put back into the database, is no new one. */
  #accept(note: string | undefined): void {
    const recovery = note === undefined ? undefined : this.#deps.signer.openRecovery(note);
    if (note === undefined || recovery?.ok !== true) return;
    if (this.#recoveredAt !== undefined && recovery.value.at <= this.#recoveredAt) return;
    [this.#recoveredAt, this.#recoveredSize] = [recovery.value.at, recovery.value.size];
    this.#known = recovery.value;
    this.#isSpoilt = false;
    this.#forget();
    this.#deps.memory.keep({ checkpoint: undefined, recovery: note });
  }

  async #examine(state: TreeState, wholeTail: boolean): Promise<Flaw | undefined> {
    const { size, note } = state;
    const known = this.#known;
    if (this.#isSpoilt)
      return ofProcess('the file checkpoint in WRIT_DATA_DIR is no checkpoint that a key of WRIT_LOG_KEY_FILE signed');
    if (known !== undefined && known.size > size)
      return ofTree(
        `the tree has ${size} leaves, and had ${known.size} under a checkpoint that this process signed or saw`,
      );
    if (note === undefined)
      return size === 0 ? this.#emptyTail() : ofTree(`the tree of ${size} leaves has no checkpoint`);
    const opened = this.#deps.signer.openCheckpoint(note);
    if (!opened.ok) return this.#strange(note, size);
    const flaw = await this.#flawOfTiles(size, opened.value);
    if (flaw !== undefined) return ofTree(flaw);
    if (wholeTail && !(await this.#isTailWhole(state)))
      return ofTree('the last entries are not those of the tree, or not whole');
    this.#learn({ size, root: opened.value.root }, note);
    return undefined;
  }

  /** A key that this log announced is that of other processes: this one has another, as after a change that passed it by. */
  async #strange(text: string, size: number): Promise<Flaw> {
    const announced = (await this.#deps.reader.verifierKeys()).flatMap(({ vkey }) => {
      const key = parseVerifierKey(vkey);
      return key.ok ? [key.value] : [];
    });
    const note = parseNote(text);
    if (!note.ok || !verifyNote(note.value, announced).ok)
      return ofTree(`no key of WRIT_LOG_KEY_FILE signed the checkpoint of ${size} leaves`);
    return ofProcess(
      `no key of WRIT_LOG_KEY_FILE of this process signed the checkpoint of ${size} leaves, but one that the log knows did`,
    );
  }

  async #flawOfTiles(size: number, checkpoint: OwnCheckpoint): Promise<string | undefined> {
    const { tiles } = this.#deps.reader;
    const root = await rootAt(size, tiles);
    if (checkpoint.size !== size || !root.equals(checkpoint.root))
      return `the tiles of ${size} leaves do not lead to the root of their checkpoint`;
    const known = this.#known;
    if (known === undefined || known.size === 0) return undefined;
    const isExtension = (await rootAt(known.size, tiles)).equals(known.root);
    return isExtension ? undefined : `the tree of ${size} leaves is no extension of the one of ${known.size}`;
  }

  async #emptyTail(): Promise<Flaw | undefined> {
    const { entries } = await this.#deps.tree.tail(0, 1);
    return entries === 0 ? undefined : ofTree(`the tree is empty, and there are ${entries} entries`);
  }

  async #isTailWhole({ size, isHeld }: TreeState): Promise<boolean> {
    const width = size % 256 || Math.min(size, 256);
    const { entries, hashes } = await this.#deps.tree.tail(size, width, this.#recoveredSize);
    // While another process appends there may be more of them by now.
    if (hashes === undefined || entries < size || (isHeld && entries > size)) return false;
    if (width === 0) return true;
    const [tile] = await this.#deps.reader.tiles([{ level: 0, index: Math.floor((size - 1) / 256), width }]);
    return tile !== undefined && hashes.equals(tile.subarray(0, width * HASH_BYTES));
  }
}
