import type { Seconds } from '../../base/index.js';

/**
 * What was revoked: feed ids with the number of their revocation and when they may be forgotten. Kept in many small parts,
 * each open addressing over one typed array, 28 bytes a slot: a million are a matter of tens of megabytes, and since each
 * part grows for itself, nobody ever waits for more than one of them.
 */
export class DenySet {
  readonly #capacity: number;
  /** Each is made when something is put into it. */
  readonly #parts: Part[] = [];
  readonly #living = new Living();
  #swept = 0;

  /** Holds at most `capacity` entries that still count. */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Entries that are held, those included that may be forgotten. */
  get size(): number {
    return this.#parts.reduce((sum, { used }) => sum + used, 0);
  }

  get bytes(): number {
    return this.#parts.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** The number with which this id was revoked, or 0. */
  numberOf(id: string, now: Seconds): number {
    const part = this.#partOf(id);
    const at = part.find();
    return part.endAt(at) < now ? 0 : part.numberAt(at);
  }

  /** Keeps the higher number and the later end of an id. False when the set is full of what still counts. */
  put(id: string, number: number, end: Seconds, now: Seconds): boolean {
    const part = this.#partOf(id);
    const known = part.endAt(part.find());
    if (known < now && this.#living.count(now) >= this.#capacity) return false;
    const last = Math.max(Math.min(end, LAST), known);
    part.put(number, last, now);
    this.#living.move(known, last);
    return true;
  }

  /** Gives back what is held for entries that may be forgotten, in some of the parts; each call goes on with the next. */
  forget(now: Seconds): void {
    for (let n = 0; n < SWEEP; n++) {
      this.#parts[this.#swept]?.forget(now);
      this.#swept = (this.#swept + 1) % PARTS;
    }
  }

  #partOf(id: string): Part {
    bytes.write(id, 'base64url');
    return (this.#parts[(words[3] ?? 0) % PARTS] ??= new Part());
  }
}

/** A part of the set, which looks for the id in `words`. */
class Part {
  /** A slot is the four words of an id, the number of its revocation in two, and its end. */
  #slots = new Uint32Array(SLOT);
  used = 0;

  get bytes(): number {
    return this.#slots.byteLength;
  }

  /** Where the id is, or the free slot where it belongs. An id is a digest, so any part of it is a hash. */
  find(): number {
    const slots = this.#slots;
    const [a = 0, b = 0, c = 0, d = 0] = words;
    let at = Math.floor((a / WORD) * (slots.length / SLOT)) * SLOT;
    for (;;) {
      // INVARIANT: an end of 0 is a free slot, and there always is one.
      if (slots[at + END] === 0) return at;
      if (slots[at] === a && slots[at + 1] === b && slots[at + 2] === c && slots[at + 3] === d) return at;
      at = at + SLOT === slots.length ? 0 : at + SLOT;
    }
  }

  /** When what is there may be forgotten; 0 where nothing is. */
  endAt(at: number): Seconds {
    return this.#slots[at + END] ?? 0;
  }

  numberAt(at: number): number {
    return (this.#slots[at + HIGH] ?? 0) * WORD + (this.#slots[at + LOW] ?? 0);
  }

  put(number: number, end: Seconds, now: Seconds): void {
    let at = this.find();
    if (this.endAt(at) === 0) {
      if (this.used + 1 > (this.#slots.length / SLOT) * LOAD) this.#grow(now);
      at = this.#take();
    }
    const highest = Math.max(number, this.numberAt(at));
    this.#slots[at + HIGH] = Math.floor(highest / WORD);
    this.#slots[at + LOW] = highest % WORD;
    this.#slots[at + END] = end;
  }

  forget(now: Seconds): void {
    if (this.#live(now) < this.used / 2) this.#grow(now);
  }

  /** A free slot for the id in `words`, which is not there. */
  #take(): number {
    const at = this.find();
    this.#slots.set(words, at);
    this.used++;
    return at;
  }

  #live(now: Seconds): number {
    let live = 0;
    for (let at = END; at < this.#slots.length; at += SLOT) if ((this.#slots[at] ?? 0) >= Math.max(now, 1)) live++;
    return live;
  }

  /** Makes room for half as many again, without what may be forgotten. Leaves `words` as it was. */
  #grow(now: Seconds): void {
    const [old, wanted] = [this.#slots, Uint32Array.from(words)];
    const room = Math.max(Math.ceil(this.#live(now) * GROWTH), LEAST);
    this.#slots = new Uint32Array((Math.ceil(room / LOAD) + 1) * SLOT);
    this.used = 0;
    for (let from = 0; from < old.length; from += SLOT) {
      const end = old[from + END] ?? 0;
      if (end === 0 || end < now) continue;
      for (let word = 0; word < WORDS; word++) words[word] = old[from + word] ?? 0;
      const at = this.#take();
      for (let word = HIGH; word < SLOT; word++) this.#slots[at + word] = old[from + word] ?? 0;
    }
    words.set(wanted);
  }
}

/** How many entries still count, by when they end. */
class Living {
  readonly #byEnd = new Map<Seconds, number>();
  #count = 0;
  #until: Seconds = 0;

  count(now: Seconds): number {
    if (now <= this.#until) return this.#count;
    this.#until = now;
    for (const [end, count] of this.#byEnd) {
      if (end >= now) continue;
      this.#byEnd.delete(end);
      this.#count -= count;
    }
    return this.#count;
  }

  move(from: Seconds, to: Seconds): void {
    this.#add(from, -1);
    this.#add(to, 1);
  }

  #add(end: Seconds, count: number): void {
    if (end < this.#until || end === 0) return;
    this.#count += count;
    this.#byEnd.set(end, (this.#byEnd.get(end) ?? 0) + count);
  }
}

const PARTS = 1_024;
/** In one call of `forget`: all of them in 64 calls. */
const SWEEP = 16;
const WORDS = 4;
/** Where the words of a slot begin after the id, and how many there are. */
const [HIGH, LOW, END, SLOT] = [4, 5, 6, 7];
const WORD = 0x1_0000_0000;
/** Fuller than this, linear probing gets slow. */
const LOAD = 0.75;
const GROWTH = 1.5;
const LEAST = 4;
/** The year 2106. */
const LAST = 0xffff_ffff;

/** The id that is being looked for. */
const bytes = Buffer.alloc(16);
const words = new Uint32Array(bytes.buffer, bytes.byteOffset, WORDS);
