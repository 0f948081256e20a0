import type { KeyObject } from 'node:crypto';
import { err, ok, type Result } from '../base/index.js';
import {
  formatCheckpoint,
  formatNote,
  openCheckpoint,
  parseNote,
  signatureLine,
  type TreeHead,
  type VerifierKey,
  verifierKey,
  verifyNote,
} from '../tlog/index.js';

/** A checkpoint that one of our keys signed. `by`: the verifier key, the current one where that signed. */
export type OwnCheckpoint = TreeHead & Readonly<{ by: VerifierKey }>;

/** An operator's word that the tree goes on from here, whatever was known before. `at` is in seconds. */
export type Recovery = TreeHead & Readonly<{ at: number }>;

/** The name and the keys of this log: signs what it says, and knows what it said. */
export type LogSigner = Readonly<{
  origin: string;
  /** The current one first. */
  keys: readonly [VerifierKey, ...VerifierKey[]];
  signCheckpoint(head: TreeHead): string;
  /** Also of an earlier origin, when the issuer was another: the key makes it ours. */
  openCheckpoint(note: string): Result<OwnCheckpoint, 'not_ours'>;
  signRecovery(recovery: Recovery): string;
  openRecovery(note: string): Result<Recovery, 'not_ours'>;
}>;

/** C2SP tlog-checkpoint: the origin is a name without scheme, and also that of the key. */
export const originOf = (issuer: string): string => `${issuer.replace(/^https?:\/\//, '')}/audit`;

/** `privateKeys` are Ed25519, the current one first; all of them sign. */
export function logSigner(issuer: string, privateKeys: readonly [KeyObject, ...KeyObject[]]): LogSigner {
  const origin = originOf(issuer);
  const [current, ...previous] = privateKeys;
  const named = (name: string): readonly [VerifierKey, ...VerifierKey[]] => [
    verifierKey(name, current),
    ...previous.map((key) => verifierKey(name, key)),
  ];
  const keys = named(origin);
  const signed = (text: string): string =>
    formatNote(
      text,
      privateKeys.map((key) => signatureLine(text, origin, key)),
    );
  return {
    origin,
    keys,
    signCheckpoint: ({ size, root }) =>
      signed(formatCheckpoint({ origin, size, root: Buffer.from(root), extensions: [] })),
    openCheckpoint: (text) => {
      const name = text.split('\n', 1)[0] ?? '';
      const theirs = name === origin ? keys : namesKeys(name) ? named(name) : keys;
      const opened = openCheckpoint(text, { origin: name, keys: theirs });
      const by = opened.ok ? (theirs.find((key) => opened.value.signedBy.includes(key)) ?? theirs[0]) : undefined;
      return opened.ok && by !== undefined ? ok({ ...headOf(opened.value.checkpoint), by }) : err('not_ours');
    },
    signRecovery: ({ size, root, at }) =>
      signed(`${origin}\nrecovery\n${at}\n${size}\n${Buffer.from(root).toString('base64')}\n`),
    openRecovery: (text) => {
      const note = parseNote(text);
      if (!note.ok || !verifyNote(note.value, keys).ok) return err('not_ours');
      const [, at, size, root] = RECOVERY.exec(note.value.text) ?? [];
      if (root === undefined) return err('not_ours');
      return ok({ at: Number(at), size: Number(size), root: Buffer.from(root, 'base64') });
    },
  };
}

/** No checkpoint: the second line of one is a number. */
const RECOVERY = /^[^\n]+\nrecovery\n(\d{1,12})\n(\d{1,15})\n([A-Za-z0-9+/]{43}=)\n$/;

const headOf = ({ size, root }: TreeHead): TreeHead => ({ size, root });

const namesKeys = (name: string): boolean => /^[^\s+]{1,255}$/.test(name);
