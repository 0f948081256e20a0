import { z } from 'zod';
import { err, ok, type Result } from '../../base/index.js';
import { parseObject } from '../../protocol/index.js';
import {
  type Checkpoint,
  fromBase64url,
  type Hash,
  HASH_BYTES,
  type Note,
  parseCheckpoint,
  parseNote,
} from '../../tlog/index.js';
import { textOf } from './lines.js';

const Index = z.number().int().min(0);
const NoteText = z.string().max(256 * 1024);
const HashText = z.string().transform((text, ctx): Hash => {
  const bytes = fromBase64url(text);
  if (bytes?.length === HASH_BYTES) return bytes;
  ctx.addIssue('must be a base64url SHA-256');
  return z.NEVER;
});
/** No proof has more hashes than two for each level of the largest tree. */
const Hashes = z.array(HashText).max(128);

const About = z.union([
  z.strictObject({ session: z.string() }),
  z.strictObject({ txn: z.string() }),
  z.strictObject({ from: z.number(), until: z.number(), range: z.tuple([Index, Index]) }),
  z.strictObject({ range: z.tuple([Index, Index]) }),
]);
export type About = z.infer<typeof About>;

/** An earlier state of the log, with the proof that leads to the bundle's checkpoint: its checkpoint, or its size alone. */
const Earlier = z.union([
  z.strictObject({ checkpoint: NoteText, consistency: Hashes }),
  z.strictObject({ size: Index, consistency: Hashes }),
]);

const Header = z.strictObject({
  bundle: z.literal(1),
  origin: z.string(),
  about: About,
  checkpoint: NoteText,
  earlier: z.array(Earlier).max(64).default([]),
  keys: z.array(z.string()).max(64).default([]),
  made_at: z.number().optional(),
});

/** Closes a run of entries from the first up to but without the second. */
export const RunEnd = z.strictObject({ run: z.tuple([Index, Index]), proof: Hashes });
export const EntryLine = z.union([
  z.strictObject({ index: Index, hash: HashText, leaf: z.string() }),
  z.strictObject({ index: Index, hash: HashText, leaf: z.null(), pruned: z.boolean() }),
]);
export const End = z.strictObject({ end: z.literal(true), entries: Index });

/** A checkpoint that is read and not yet believed. */
export type Read = Readonly<{ note: Note; checkpoint: Checkpoint }>;

export type Opening = Readonly<{
  about: About;
  origin: string;
  main: Read;
  earlier: readonly Readonly<{ size: number; read: Read | undefined; consistency: readonly Hash[] }>[];
}>;

/** Reads the first line of a bundle, or says what is wrong with it. Nothing in it is believed by that. */
export function readHeader(line: Uint8Array): Result<Opening, string> {
  const text = textOf(line);
  const parsed = text === undefined ? undefined : parseObject(text);
  const header = parsed?.ok === true ? Header.safeParse(parsed.value) : undefined;
  if (header?.success !== true) return err('is not the first line of a bundle of version 1');
  const { about, origin, checkpoint, earlier } = header.data;
  const main = readCheckpoint(checkpoint);
  if (!main) return err('has no checkpoint that could be read');
  const before = earlier.map((one) => {
    const read = 'checkpoint' in one ? readCheckpoint(one.checkpoint) : undefined;
    return { size: 'size' in one ? one.size : (read?.checkpoint.size ?? -1), read, consistency: one.consistency };
  });
  if (before.some(({ size }) => size < 0)) return err('has an earlier checkpoint that cannot be read');
  return ok({ about, origin, main, earlier: before });
}

/** A signed note whose text is a checkpoint. */
export function readCheckpoint(input: Uint8Array | string): Read | undefined {
  const note = parseNote(input);
  const checkpoint = note.ok ? parseCheckpoint(note.value.text) : undefined;
  return note.ok && checkpoint?.ok === true ? { note: note.value, checkpoint: checkpoint.value } : undefined;
}
