import { type Hash, type TreeHead, verifyConsistency } from '../../tlog/index.js';
import type { Opening, Read } from './header.js';
import type { KeyHistory } from './keys.js';
import type { AuditorOptions } from './options.js';
import type { Problems, Verdict } from './verdict.js';
import { cosignedBy, larger } from './witnessed.js';
import { readCheckpoint } from './header.js';

/** What leads from an older size of the log to its checkpoint. */
type Bridge = Readonly<{ size: number; consistency: readonly Hash[] }>;

/** What came out about the checkpoints: who signed the one that counts, and the largest tree seen from outside. */
export type Heads = Readonly<{ signedBy: readonly string[]; witnessed: Verdict['witnessed'] }>;

/**
 * Judges the checkpoints of one log. `compare` tells whether an older tree is the beginning of the main one; it answers
 * `undefined` when nothing is there to tell it by.
 */
export function judgeHeads(
  { main, earlier }: Pick<Opening, 'main' | 'earlier'>,
  options: AuditorOptions,
  keys: KeyHistory,
  { problems, compare }: Readonly<{ problems: Problems; compare: (head: TreeHead) => boolean | undefined }>,
): Heads {
  const origin = options.origin ?? options.keys[0]?.name;
  const older = earlier.flatMap(({ read }) => (read ? [read] : []));
  for (const read of older) {
    if (read.checkpoint.origin !== main.checkpoint.origin || compare(read.checkpoint) !== true) {
      problems.add('inconsistent', `the checkpoint of ${read.checkpoint.size} is not of this history`);
    }
  }
  const copied = (options.copies ?? []).flatMap((copy) => readCheckpoint(copy) ?? []);
  const ofThisHistory = [...older, ...copied].filter(({ checkpoint }) => compare(checkpoint) === true);
  const claims = [main, ...ofThisHistory].map(({ note, checkpoint }) => ({ note, size: checkpoint.size }));
  keys.settle(claims);
  if (main.checkpoint.origin !== origin) problems.add('other_log', `it is of ${main.checkpoint.origin}`);
  const signedBy = keys.signers({ note: main.note, size: main.checkpoint.size }).map(({ text }) => text);
  if (signedBy.length === 0) problems.add('checkpoint_untrusted', 'no key that is trusted signed the checkpoint');
  const copies = (options.copies ?? []).map((copy) => judgeCopy(copy, main, keys, { problems, compare }));
  const cosigned = witnessedOf([main, ...older], options);
  if (options.witnesses && !cosigned) problems.add('not_witnessed', 'fewer witnesses than wanted cosigned');
  return { signedBy, witnessed: copies.reduce(larger, cosigned) };
}

function witnessedOf(reads: readonly Read[], { witnesses }: AuditorOptions): Verdict['witnessed'] {
  if (!witnesses) return undefined;
  return reads
    .map(({ note, checkpoint }): Verdict['witnessed'] => {
      const cosigned = cosignedBy(note, witnesses);
      return cosigned && { size: checkpoint.size, ...cosigned };
    })
    .reduce(larger, undefined);
}

function judgeCopy(
  copy: Uint8Array | string,
  main: Read,
  keys: KeyHistory,
  { problems, compare }: Readonly<{ problems: Problems; compare: (head: TreeHead) => boolean | undefined }>,
): Verdict['witnessed'] {
  const read = readCheckpoint(copy);
  const signers = read ? keys.signers({ note: read.note, size: read.checkpoint.size }) : [];
  if (!read || signers.length === 0 || read.checkpoint.origin !== main.checkpoint.origin) {
    problems.add('copy_unusable', 'a copy is no checkpoint of this log that a trusted key signed');
    return undefined;
  }
  const { size } = read.checkpoint;
  const isBeginning = size > main.checkpoint.size ? false : compare(read.checkpoint);
  if (isBeginning === true) return { size, at: undefined, by: [] };
  if (size > main.checkpoint.size) problems.add('rolled_back', `a copy is of ${size} entries`);
  else if (isBeginning === false) problems.add('inconsistent', `the copy of ${size} entries is of another history`);
  else problems.add('copy_not_compared', `nothing here leads from the copy of ${size} entries to the checkpoint`);
  return undefined;
}

/** Compares by the proofs that came along. */
export const compareBy =
  (main: TreeHead, bridges: readonly Bridge[]) =>
  (head: TreeHead): boolean | undefined => {
    if (head.size === main.size || head.size === 0) return verifyConsistency(head, main, []).ok;
    const there = bridges.filter(({ size }) => size === head.size);
    return there.length === 0
      ? undefined
      : there.some(({ consistency }) => verifyConsistency(head, main, consistency).ok);
  };
