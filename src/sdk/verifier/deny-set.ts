import type { Seconds } from '../../base/index.js';

/**
 * What was revoked: feed ids with the number of their revocation and when they may be forgotten. Open addressing over
 * typed arrays, 28 bytes a slot and no object for an entry, so that a million are a matter of tens of megabytes.
 */
export class DenySet {
  readonly #capacity: number;
  #slots = 0;
  /** Four words for each slot: the 16 bytes of an id. */
  #ids = new Uint32Array(0);
  /** INVARIANT: 0 where the slot is free; the numbers of revocations begin at 1. */
  #numbers = new Float64Array(0);
  #ends = new Uint32Array(0);
  #used = 0;
  #fullAt: Seconds = -1;

  /** Holds at most `capacity` entries that still count. */
  constructor(capacity: number) {
    this.#capacity = capacity;
    this.#rebuild(0, 0);
  }

  /** Entries that are held, those included that may be forgotten. */
  get size(): number {
    return this.#used;
  }

  get bytes(): number {
    return this.#ids.byteLength + this.#numbers.byteLength + this.#ends.byteLength;
  }

  /** The number with which this id was revoked, or 0. */
  numberOf(id: string, now: Seconds): number {
    const slot = this.#slotOf(id);
    return (this.#ends[slot] ?? 0) < now ? 0 : (this.#numbers[slot] ?? 0);
  }

  /** Keeps the higher number and the later end of an id. False when the set is full of what still counts. */
  put(id: string, number: number, end: Seconds, now: Seconds): boolean {
    let slot = this.#slotOf(id);
    if (this.#numbers[slot] === 0) {
      if (!this.#makeRoom(now)) return false;
      // What was there may have moved.
      slot = this.#slotOf(id);
      this.#ids.set(words, slot * WORDS);
      this.#used++;
    }
    this.#numbers[slot] = Math.max(number, this.#numbers[slot] ?? 0);
    this.#ends[slot] = Math.max(Math.min(end, LAST), this.#ends[slot] ?? 0);
    return true;
  }

  /** Gives back what is held for entries that may be forgotten, once they are many. */
  forget(now: Seconds): void {
    const live = this.#live(now);
    if (live < this.#used / 2) this.#rebuild(live, now);
  }

  #makeRoom(now: Seconds): boolean {
    if (this.#used < Math.min(this.#capacity, Math.floor(this.#slots * LOAD))) return true;
    // Counting costs as much as there is, so a full set counts once a second and not for every entry.
    if (this.#fullAt === now) return false;
    const live = this.#live(now);
    if (live >= this.#capacity) {
      this.#fullAt = now;
      return false;
    }
    this.#rebuild(live, now);
    return true;
  }

  #live(now: Seconds): number {
    let live = 0;
    for (let slot = 0; slot < this.#slots; slot++)
      if (this.#numbers[slot] !== 0 && (this.#ends[slot] ?? 0) >= now) live++;
    return live;
  }

  /** Room for half as many again, without what may be forgotten. */
  #rebuild(live: number, now: Seconds): void {
    const [ids, numbers, ends, slots] = [this.#ids, this.#numbers, this.#ends, this.#slots];
    const room = Math.min(Math.max(Math.ceil(live * GROWTH), LEAST), this.#capacity);
    this.#slots = Math.ceil(room / LOAD) + 1;
    this.#ids = new Uint32Array(this.#slots * WORDS);
    this.#numbers = new Float64Array(this.#slots);
    this.#ends = new Uint32Array(this.#slots);
    this.#used = 0;
    for (let old = 0; old < slots; old++) {
      const [number = 0, end = 0] = [numbers[old], ends[old]];
      if (number === 0 || end < now) continue;
      const at = old * WORDS;
      words.set(ids.subarray(at, at + WORDS));
      const slot = this.#find();
      this.#ids.set(words, slot * WORDS);
      this.#numbers[slot] = number;
      this.#ends[slot] = end;
      this.#used++;
    }
  }

  #slotOf(id: string): number {
    bytes.write(id, 'base64url');
    return this.#find();
  }

  /** Where the id in `words` is, or the free slot where it belongs. An id is a digest, so any part of it is a hash. */
  #find(): number {
    const [a = 0, b = 0, c = 0, d = 0] = words;
    const [ids, numbers] = [this.#ids, this.#numbers];
    let slot = Math.floor((a / 0x1_0000_0000) * this.#slots);
    for (;;) {
      const at = slot * WORDS;
      if (numbers[slot] === 0) return slot;
      if (ids[at] === a && ids[at + 1] === b && ids[at + 2] === c && ids[at + 3] === d) return slot;
      slot = slot + 1 === this.#slots ? 0 : slot + 1;
    }
  }
}

const WORDS = 4;
/** Fuller than this, linear probing gets slow. */
const LOAD = 0.75;
const GROWTH = 1.5;
const LEAST = 64;
/** The year 2106. */
const LAST = 0xffff_ffff;

/** The id that is being looked for. */
const bytes = Buffer.alloc(16);
const words = new Uint32Array(bytes.buffer, bytes.byteOffset, WORDS);
