import { err, ok, type Result } from '../base/index.js';
import { fromBase64 } from './base64.js';
import { type Hash, HASH_BYTES } from './hash.js';
import { type Note, type NoteFlaw, parseNote, type Signed, verifyNote } from './note.js';
import { SignatureType, type VerifierKey } from './vkey.js';

/** C2SP tlog-checkpoint: what a log says of itself. Nobody has said it before the note around it is verified. */
export type Checkpoint = Readonly<{ origin: string; size: number; root: Hash; extensions: readonly string[] }>;

const SIZE = /^(0|[1-9]\d{0,15})$/;
const LINE = /^[^\x00-\x1f]+$/;

/** Reads a note's text as a checkpoint. Sizes above 2^53 - 1 are refused. */
export function parseCheckpoint(text: string): Result<Checkpoint, 'not_a_checkpoint'> {
  const [origin = '', digits = '', encoded = '', ...rest] = text.split('\n');
  const extensions = rest.slice(0, -1);
  const root = fromBase64(encoded);
  const size = Number(digits);
  if (rest.at(-1) !== '' || ![origin, ...extensions].every((line) => LINE.test(line))) return err('not_a_checkpoint');
  if (!SIZE.test(digits) || !Number.isSafeInteger(size) || root?.length !== HASH_BYTES) return err('not_a_checkpoint');
  return ok({ origin, size, root, extensions });
}

/** The note text of a checkpoint. */
export const formatCheckpoint = ({ origin, size, root, extensions }: Checkpoint): string =>
  [origin, String(size), root.toString('base64'), ...extensions, ''].join('\n');

/** A checkpoint that a log's key has signed, and the witnesses that cosigned it. */
export type Opened = Readonly<{
  checkpoint: Checkpoint;
  note: Note;
  signedBy: readonly VerifierKey[];
  cosigned: readonly Signed[];
}>;

export type CheckpointFlaw = NoteFlaw | 'not_a_checkpoint' | 'other_log';

/** Whose signatures count. `origin`: the log that the checkpoint must be of. */
export type Trusted = Readonly<{ origin: string; keys: readonly VerifierKey[]; witnesses?: readonly VerifierKey[] }>;

/** Reads a checkpoint that at least one of the log's keys must have signed; cosignatures alone do not count. */
export function openCheckpoint(
  input: Uint8Array | string,
  { origin, keys, witnesses = [] }: Trusted,
): Result<Opened, CheckpointFlaw> {
  const note = parseNote(input);
  if (!note.ok) return note;
  const signed = verifyNote(note.value, [...keys, ...witnesses]);
  if (!signed.ok) return signed;
  const signedBy = signed.value.map(({ by }) => by).filter((by) => keys.includes(by));
  if (signedBy.length === 0) return err('unsigned');
  const checkpoint = parseCheckpoint(note.value.text);
  if (!checkpoint.ok) return checkpoint;
  if (checkpoint.value.origin !== origin) return err('other_log');
  const cosigned = signed.value.filter(({ by }) => by.type === SignatureType.cosignature && witnesses.includes(by));
  return ok({ checkpoint: checkpoint.value, note: note.value, signedBy, cosigned });
}
