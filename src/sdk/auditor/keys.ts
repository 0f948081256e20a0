import { type Note, parseVerifierKey, type VerifierKey, verifyNote } from '../../tlog/index.js';
import type { Seen } from './record.js';

/** A checkpoint as it was read: nobody has said it yet. */
export type Claim = Readonly<{ note: Note; size: number }>;

const MOST_ANNOUNCED = 1_000;

/**
 * The keys that are believed: those that the auditor brought, and those that the log announced in an entry that a
 * believed key's checkpoint covers. All checkpoints must be known to be of one history before this is asked.
 */
export class KeyHistory {
  readonly #believed: VerifierKey[];
  readonly #trusted: number;
  readonly #announced: Readonly<{ key: VerifierKey; entry: number }>[] = [];

  constructor(trusted: readonly VerifierKey[]) {
    this.#believed = [...trusted];
    this.#trusted = trusted.length;
  }

  /** Notes what a record announces. The entry is proved to be in the tree, not yet to be the log's. */
  take(entry: number, { kind, facts }: Seen): void {
    const vkey = kind === 'key' && facts?.['what'] === 'log_key' ? facts['vkey'] : undefined;
    const key = typeof vkey === 'string' ? parseVerifierKey(vkey) : undefined;
    if (key?.ok === true && this.#announced.length < MOST_ANNOUNCED) this.#announced.push({ key: key.value, entry });
  }

  /** Which keys are believed in the end, given checkpoints of one history. */
  settle(claims: readonly Claim[]): readonly VerifierKey[] {
    for (let added = true; added;) {
      const covered = Math.max(0, ...claims.filter((claim) => this.signers(claim).length > 0).map(({ size }) => size));
      const fresh = this.#announced.filter(({ key, entry }) => entry < covered && !this.#knows(key));
      for (const { key } of fresh) if (!this.#knows(key)) this.#believed.push(key);
      added = fresh.length > 0;
    }
    return this.#believed;
  }

  /** The believed keys that signed it. A wrong signature in the name of a believed key makes the whole note nothing. */
  signers({ note }: Claim): readonly VerifierKey[] {
    const signed = verifyNote(note, this.#believed);
    return signed.ok ? signed.value.map(({ by }) => by) : [];
  }

  /** The verifier keys that are believed because of the log, as text. */
  announced(): readonly string[] {
    return this.#believed.slice(this.#trusted).map(({ text }) => text);
  }

  #knows(key: VerifierKey): boolean {
    return this.#believed.some(({ text }) => text === key.text);
  }
}
