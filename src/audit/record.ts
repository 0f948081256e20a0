import { createHash } from 'node:crypto';
import { z } from 'zod';
import { Fault, randomText, type Seconds } from '../base/index.js';
import { type Json, type JsonObject, parseObject } from '../protocol/index.js';

/** What the log records. Every kind has one schema version; a change of meaning is a new version. */
export const RecordKind = z.enum([
  'exchange',
  'grant',
  'authentication',
  'registry',
  'session',
  'revocation',
  'introspection',
  'key',
  'policy',
  'decision',
  'approval',
  'outcome',
  'access',
  'retention',
]);
export type RecordKind = z.infer<typeof RecordKind>;

/** What is kept for as long as the log: auditors need the history of its keys, and who removed what. */
export const KEPT_KINDS: readonly RecordKind[] = ['key', 'retention'];

/**
 * How it came out. In records of an exchange this part is written by the commit itself, in the statement that decides,
 * since only that knows the session's sequence and whether the commit refused.
 */
export const Outcome = z.strictObject({
  decision: z.enum(['permit', 'refuse', 'ask', 'done']),
  reason: z.string(),
  session: z.string().nullable(),
  sequence: z.number().int().nullable(),
  seen: z.number().int(),
});
export type Outcome = z.infer<typeof Outcome>;

/** Nothing but what `parseObject` has read, so nothing inside is read again. */
const Facts = z.custom<JsonObject>((value) => typeof value === 'object' && value !== null && !Array.isArray(value));

/** A record as it is read back. `facts` differ by kind; none is ever a token, a secret or an argument. */
export const LogRecord = z.object({
  v: z.literal(1),
  salt: z.string(),
  kind: RecordKind,
  at: z.number().int(),
  facts: Facts,
  outcome: Outcome,
});
export type LogRecord = z.infer<typeof LogRecord>;

/** Everything of a record but its outcome: JSON text without the closing brace. */
export type RecordHead = string;

/** 128 bits of salt keep a leaf's hash from confirming a guess at its contents. Keys are in the order given. */
export function recordHead(
  kind: RecordKind,
  at: Seconds,
  facts: Readonly<Record<string, Json | undefined>>,
): RecordHead {
  const head = JSON.stringify({ v: 1, salt: randomText(16), kind, at, facts }).slice(0, -1);
  if (head.length > LONGEST / 3 && Buffer.byteLength(head) > LONGEST)
    throw new Fault('internal', `a record of kind ${kind} would be too long for an entry of the log`);
  return head;
}

/** C2SP tlog-tiles: an entry has at most 65,535 bytes. What a commit adds is below a thousand. */
const LONGEST = 64_000;

/** Closes a record whose outcome is known before it is stored: anything but an exchange. */
export function closeRecord(head: RecordHead, outcome: Outcome): Buffer {
  return Buffer.from(`${head},"outcome":${JSON.stringify(outcome)}}`, 'utf8');
}

/** RFC 6962 section 2.1: SHA-256 over 0x00 and the leaf as stored. */
export function leafHash(leaf: Uint8Array): Buffer {
  return createHash('sha256').update(Uint8Array.of(0)).update(leaf).digest();
}

/** Reads a stored leaf, or `undefined` when it is no record of a version that this build knows. */
export function readRecord(leaf: Uint8Array): LogRecord | undefined {
  const parsed = parseObject(Buffer.from(leaf.buffer, leaf.byteOffset, leaf.byteLength).toString('utf8'));
  return parsed.ok ? LogRecord.safeParse(parsed.value).data : undefined;
}
