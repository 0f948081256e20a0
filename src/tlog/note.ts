import { sign, verify, type KeyObject } from 'node:crypto';
import { err, ok, type Result } from '../base/index.js';
import { fromBase64 } from './base64.js';
import { isKeyName, SignatureType, verifierKey, type VerifierKey } from './vkey.js';

/** C2SP signed-note: a text and who signed it. Nothing of it may be believed before {@link verifyNote}. */
export type Note = Readonly<{ text: string; signatures: readonly NoteSignature[] }>;

/** One signature line. `id` is the hex of the four bytes that find the key. */
export type NoteSignature = Readonly<{ name: string; id: string; signature: Buffer; line: string }>;

/** A signature of a key that was asked for. `at`: when a witness says that it cosigned, in seconds. */
export type Signed = Readonly<{ by: VerifierKey; at: number | undefined }>;

/** `wrong_signature`: a known key's line does not verify, so the whole note is refused. `unsigned`: no known key. */
export type NoteFlaw = 'not_a_note' | 'wrong_signature' | 'unsigned';

const MAX_NOTE = 256 * 1024;
const MAX_SIGNATURES = 64;

/** Reads a note as strictly as it is written. */
export function parseNote(input: Uint8Array | string): Result<Note, 'not_a_note'> {
  const whole = textOf(input);
  const split = whole?.lastIndexOf('\n\n') ?? -1;
  if (whole === undefined || split < 0 || !whole.endsWith('\n')) return err('not_a_note');
  const lines = whole.slice(split + 2, -1).split('\n');
  if (lines.length > MAX_SIGNATURES) return err('not_a_note');
  const signatures = lines.map(parseLine);
  const read = signatures.filter((signature) => signature !== undefined);
  return read.length === lines.length ? ok({ text: whole.slice(0, split + 1), signatures: read }) : err('not_a_note');
}

/** Well-formed, bounded, and without any control character but the newline. */
function textOf(input: Uint8Array | string): string | undefined {
  if (input.length > MAX_NOTE) return undefined;
  const text = typeof input === 'string' ? input : decode(input);
  return text === undefined || !text.isWellFormed() || /[\x00-\x09\x0b-\x1f]/.test(text) ? undefined : text;
}

function decode(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** `— name base64(id || signature)`, without its newline. */
export function parseLine(line: string): NoteSignature | undefined {
  const [dash, name = '', encoded = '', ...more] = line.split(' ');
  const bytes = fromBase64(encoded);
  if (dash !== '—' || more.length > 0 || !isKeyName(name) || bytes === undefined || bytes.length < 5) return undefined;
  return { name, id: bytes.toString('hex', 0, 4), signature: bytes.subarray(4), line };
}

/**
 * Who of these keys signed the note. Lines of other keys are passed over, as C2SP signed-note wants; a line of a known
 * key that does not verify has the whole note refused.
 */
export function verifyNote(note: Note, keys: readonly VerifierKey[]): Result<readonly Signed[], NoteFlaw> {
  const signed = new Map<string, Signed>();
  for (const line of note.signatures) {
    const by = keys.find(({ name, id }) => name === line.name && id === line.id);
    if (!by) continue;
    const checked = check(note.text, line.signature, by);
    if (!checked.ok) return checked;
    if (!signed.has(by.text)) signed.set(by.text, { by, at: checked.value });
  }
  return signed.size > 0 ? ok([...signed.values()]) : err('unsigned');
}

function check(text: string, signature: Buffer, by: VerifierKey): Result<number | undefined, 'wrong_signature'> {
  if (by.type === SignatureType.ed25519) {
    return isBy(by.key, text, signature) ? ok(undefined) : err('wrong_signature');
  }
  if (signature.length !== 8 + 64) return err('wrong_signature');
  const at = Number(signature.readBigUInt64BE());
  if (!Number.isSafeInteger(at) || at === 0) return err('wrong_signature');
  return isBy(by.key, cosigned(text, at), signature.subarray(8)) ? ok(at) : err('wrong_signature');
}

const isBy = (key: KeyObject, text: string, signature: Buffer): boolean =>
  signature.length === 64 && verify(null, Buffer.from(text, 'utf8'), key, signature);

/** C2SP tlog-cosignature, Ed25519 signed message. */
const cosigned = (text: string, at: number): string => `cosignature/v1\ntime ${at}\n${text}`;

/** The text signed by an Ed25519 key under this name: one signature line, without its newline. */
export function signatureLine(text: string, name: string, key: KeyObject): string {
  return lineOf(verifierKey(name, key), sign(null, Buffer.from(text, 'utf8'), key));
}

/** C2SP tlog-cosignature: a witness's line that it saw this checkpoint at that time, in seconds. */
export function cosignatureLine(text: string, name: string, key: KeyObject, at: number): string {
  const stamp = Buffer.alloc(8);
  stamp.writeBigUInt64BE(BigInt(at));
  const signature = sign(null, Buffer.from(cosigned(text, at), 'utf8'), key);
  return lineOf(verifierKey(name, key, SignatureType.cosignature), Buffer.concat([stamp, signature]));
}

const lineOf = ({ name, id }: VerifierKey, signature: Buffer): string =>
  `— ${name} ${Buffer.concat([Buffer.from(id, 'hex'), signature]).toString('base64')}`;

/** The note of a text, which ends in a newline, and its signature lines. */
export const formatNote = (text: string, lines: readonly string[]): string =>
  `${text}\n${lines.map((line) => `${line}\n`).join('')}`;
