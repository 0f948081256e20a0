import { type Note, verifyNote, type VerifierKey } from '../../tlog/index.js';
import type { Verdict } from './verdict.js';

/** Who has to have seen a checkpoint, and how many of them. */
export type Witnesses = Readonly<{ keys: readonly VerifierKey[]; quorum: number }>;

/**
 * When and by whom enough witnesses had cosigned the note: the time at which the last one that was needed had; `undefined`
 * when too few did. A wrong line in the name of a trusted witness makes the whole note nothing.
 */
export function cosignedBy(
  note: Note,
  { keys, quorum }: Witnesses,
): Readonly<{ at: number; by: readonly string[] }> | undefined {
  const signed = verifyNote(note, keys);
  if (!signed.ok || quorum < 1) return undefined;
  const times = signed.value.flatMap(({ at, by }) => (at === undefined ? [] : [{ at, by: by.name }]));
  const enough = times.toSorted((a, b) => a.at - b.at)[quorum - 1];
  return enough && { at: enough.at, by: times.map(({ by }) => by) };
}

/** The larger of two trees that were seen from outside. */
export const larger = (a: Verdict['witnessed'], b: Verdict['witnessed']): Verdict['witnessed'] =>
  a === undefined || (b !== undefined && b.size > a.size) ? b : a;
