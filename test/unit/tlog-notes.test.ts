import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import {
  cosignatureLine,
  formatCheckpoint,
  formatNote,
  fromBase64,
  fromBase64url,
  openCheckpoint,
  parseCheckpoint,
  parseNote,
  parseVerifierKey,
  SignatureType,
  signatureLine,
  type VerifierKey,
  verifierKey,
  verifyNote,
} from '../../src/tlog/index.js';
import { vector } from '../support/vectors.js';

const published = vector(
  'tlog/notes',
  z.object({
    note: z.object({ vkey: z.string(), note: z.string() }),
    severalLines: z.string(),
    checkpoint: z.object({ note: z.string(), origin: z.string(), size: z.number(), root: z.string() }),
  }),
);
const value = <T>(result: { ok: true; value: T } | { ok: false; error: string }): T => {
  if (!result.ok) throw new Error(result.error);
  return result.value;
};

const ORIGIN = 'writ.example/audit';
const WITNESS = 'witness.example/w1';
const log = generateKeyPairSync('ed25519').privateKey;
const witness = generateKeyPairSync('ed25519').privateKey;
const stranger = generateKeyPairSync('ed25519').privateKey;
const logKey = verifierKey(ORIGIN, log);
const witnessKey = verifierKey(WITNESS, witness, SignatureType.cosignature);
const root = Buffer.alloc(32, 7);
const text = formatCheckpoint({ origin: ORIGIN, size: 4711, root, extensions: [] });
const AT = 1_795_305_600;
const signed = signatureLine(text, ORIGIN, log);
const cosigned = cosignatureLine(text, WITNESS, witness, AT);
const note = formatNote(text, [signed, cosigned]);
const trusted = { origin: ORIGIN, keys: [logKey], witnesses: [witnessKey] };

describe('C2SP signed-note', () => {
  it('verifies the example of the specification', () => {
    const key = value(parseVerifierKey(published.note.vkey));
    const example = value(parseNote(published.note.note));
    expect(example.text).toBe('This is an example message.\n');
    expect(verifyNote(example, [key])).toEqual({ ok: true, value: [{ by: key, at: undefined }] });
    expect(verifyNote(example, [logKey])).toEqual({ ok: false, error: 'unsigned' });
    const other = { ...example, text: 'This is an example message!\n' };
    expect(verifyNote(other, [key])).toEqual({ ok: false, error: 'wrong_signature' });
  });

  it('reads a text of several lines, as bytes too', () => {
    const read = value(parseNote(Buffer.from(published.severalLines, 'utf8')));
    expect(read.text).toBe('Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\ned è subito sera.\n');
    expect(read.signatures.map(({ name, id }) => [name, id])).toEqual([['quasimodo.example/salvatore', '367ba04b']]);
    expect(
      formatNote(
        read.text,
        read.signatures.map(({ line }) => line),
      ),
    ).toBe(published.severalLines);
  });

  const [body = '', sign = ''] = published.note.note.split('\n\n');
  it.each([
    ['no signature', `${body}\n\n`],
    ['no text', `\n${sign}`],
    ['no blank line', `${body}\n${sign}`],
    ['no newline at the end', published.note.note.slice(0, -1)],
    ['something after the signatures', `${published.note.note}more\n`],
    ['a control character', `\u0001${published.note.note}`],
    ['a carriage return', published.note.note.replaceAll('\n', '\r\n')],
    ['half a surrogate pair', `\ud800${published.note.note}`],
    ['a hyphen for the dash', published.note.note.replace('—', '-')],
    ['two spaces', published.note.note.replace('— ', '—  ')],
    ['a space of Unicode in the name', published.note.note.replace('com/foo', 'com/\u00a0foo')],
    ['a plus in the name', published.note.note.replace('com/foo', 'com+foo')],
    ['base64 in another spelling', published.note.note.replace('aQM=', 'aQM')],
    ['base64 with bits over', published.note.note.replace('aQM=', 'aQN=')],
    ['a signature without a byte', `${body}\n\n— example.com/foo Uw2QOg==\n`],
    ['65 signatures', `${body}\n\n${sign.repeat(65)}`],
    ['too much text', `${'x'.repeat(256 * 1024)}\n\n${sign}`],
  ])('is none with %s', (_, input) => {
    expect(parseNote(input)).toEqual({ ok: false, error: 'not_a_note' });
  });

  it('is none in bytes that are not UTF-8', () => {
    const bytes = Buffer.concat([Uint8Array.of(0xff), Buffer.from(published.note.note)]);
    expect(parseNote(bytes)).toEqual({ ok: false, error: 'not_a_note' });
  });

  it('is refused whole when a known key’s line is wrong, and passes over lines of keys that only look like it', () => {
    const forged = signatureLine('other\n', ORIGIN, log);
    const lookalike = signed.replace(ORIGIN, 'writ.example/other');
    const of = (lines: string[]) => verifyNote(value(parseNote(formatNote(text, lines))), [logKey, witnessKey]);
    expect(of([signed, forged])).toEqual({ ok: false, error: 'wrong_signature' });
    expect(of([cosigned, forged])).toEqual({ ok: false, error: 'wrong_signature' });
    expect(of([lookalike])).toEqual({ ok: false, error: 'unsigned' });
    expect(of([lookalike, signed, signed, cosigned])).toEqual({
      ok: true,
      value: [
        { by: logKey, at: undefined },
        { by: witnessKey, at: AT },
      ],
    });
  });

  it('is refused with any byte of its text or signature changed', () => {
    const bytes = Buffer.from(note, 'utf8');
    fc.assert(
      fc.property(fc.integer({ min: 0, max: bytes.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, turn) => {
        const changed = Buffer.from(bytes);
        changed[at] = (changed[at] ?? 0) ^ turn;
        const opened = openCheckpoint(changed, trusted);
        const complete = opened.ok && opened.value.signedBy.length === 1 && opened.value.cosigned.length === 1;
        expect(complete).toBe(false);
      }),
      { numRuns: 500 },
    );
  });

  it('never throws on any bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => !openCheckpoint(bytes, trusted).ok));
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (tail) => {
        const input = `${text}\n— ${ORIGIN} ${tail}\n`;
        return !openCheckpoint(input, trusted).ok && !parseVerifierKey(`${ORIGIN}+${tail}`).ok;
      }),
    );
  });
});

describe('a verifier key', () => {
  it('is read and written as one text', () => {
    expect(value(parseVerifierKey(logKey.text))).toEqual(logKey);
    expect(value(parseVerifierKey(witnessKey.text))).toEqual(witnessKey);
    expect(value(parseVerifierKey(published.note.vkey))).toMatchObject({
      name: 'example.com/foo',
      id: '530d903a',
      type: 1,
    });
    expect(verifierKey(ORIGIN, log, SignatureType.cosignature).id).not.toBe(logKey.id);
  });

  it('is none with any character changed or left out', () => {
    const { vkey } = published.note;
    for (let i = 0; i < vkey.length; i++) {
      const next = String.fromCharCode(vkey.charCodeAt(i) + 1);
      for (const changed of [vkey.slice(0, i) + next + vkey.slice(i + 1), vkey.slice(0, i) + vkey.slice(i + 1)]) {
        expect([changed, parseVerifierKey(changed)]).toEqual([changed, { ok: false, error: 'not_a_verifier_key' }]);
      }
    }
    expect(parseVerifierKey('x'.repeat(1000))).toEqual({ ok: false, error: 'not_a_verifier_key' });
  });

  it('is made of nothing but an Ed25519 key and a name', () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    expect(() => verifierKey(ORIGIN, privateKey)).toThrow('not a name and an Ed25519 key');
    expect(() => verifierKey('two words', log)).toThrow('not a name and an Ed25519 key');
  });
});

describe('C2SP tlog-checkpoint', () => {
  it('reads the example of the specification', () => {
    const { text, signatures } = value(parseNote(published.checkpoint.note));
    const { origin, size } = published.checkpoint;
    const expected = { origin, size, root: fromBase64(published.checkpoint.root), extensions: [] };
    expect(value(parseCheckpoint(text))).toEqual(expected);
    expect(formatCheckpoint(value(parseCheckpoint(text)))).toBe(text);
    expect(signatures.length).toBe(1);
  });

  it('keeps extension lines, which may not be empty', () => {
    const extended = formatCheckpoint({ origin: ORIGIN, size: 0, root, extensions: ['one', 'two words'] });
    expect(value(parseCheckpoint(extended))).toEqual({
      origin: ORIGIN,
      size: 0,
      root,
      extensions: ['one', 'two words'],
    });
    expect(parseCheckpoint(extended.replace('one', ''))).toEqual({ ok: false, error: 'not_a_checkpoint' });
  });

  const base = root.toString('base64');
  it.each([
    ['no origin', `\n1\n${base}\n`],
    ['a size with a leading zero', `o\n01\n${base}\n`],
    ['a negative size', `o\n-1\n${base}\n`],
    ['a size in hex', `o\n0x1\n${base}\n`],
    ['a size in exponents', `o\n1e3\n${base}\n`],
    ['a size that is none', `o\n\n${base}\n`],
    ['a size above 2^53 - 1', `o\n9007199254740992\n${base}\n`],
    ['a root of 31 bytes', `o\n1\n${root.subarray(1).toString('base64')}\n`],
    ['a root in base64url', `o\n1\n${Buffer.alloc(32, 0xff).toString('base64url')}\n`],
    ['no root', 'o\n1\n'],
    ['no newline at the end', `o\n1\n${base}`],
    ['an empty line at the end', `o\n1\n${base}\n\n`],
  ])('is none with %s', (_, input) => {
    expect(parseCheckpoint(input)).toEqual({ ok: false, error: 'not_a_checkpoint' });
  });

  it('is opened by the log’s key, and says who cosigned it and when', () => {
    const opened = value(openCheckpoint(note, trusted));
    expect(opened.checkpoint).toEqual({ origin: ORIGIN, size: 4711, root, extensions: [] });
    expect(opened.signedBy).toEqual([logKey]);
    expect(opened.cosigned).toEqual([{ by: witnessKey, at: AT }]);
  });

  const refused = (input: string, keys: Partial<typeof trusted> = {}) => openCheckpoint(input, { ...trusted, ...keys });
  it('is refused without the log’s own signature, whoever cosigned it', () => {
    expect(refused(formatNote(text, [cosigned]))).toEqual({ ok: false, error: 'unsigned' });
    expect(refused(formatNote(text, [signatureLine(text, ORIGIN, stranger)]))).toEqual({
      ok: false,
      error: 'unsigned',
    });
    expect(refused('nothing')).toEqual({ ok: false, error: 'not_a_note' });
  });

  it('is refused of another log, even by the same key', () => {
    const other = formatCheckpoint({ origin: 'other.example/audit', size: 4711, root, extensions: [] });
    const signedToo = formatNote(other, [signatureLine(other, ORIGIN, log)]);
    expect(refused(signedToo)).toEqual({ ok: false, error: 'other_log' });
  });

  it('is refused when a text that is no checkpoint is signed', () => {
    expect(refused(formatNote('hello\n', [signatureLine('hello\n', ORIGIN, log)]))).toEqual({
      ok: false,
      error: 'not_a_checkpoint',
    });
  });
});

describe('C2SP tlog-cosignature', () => {
  const line = (key: VerifierKey, signature: Buffer): string =>
    `— ${key.name} ${Buffer.concat([Buffer.from(key.id, 'hex'), signature]).toString('base64')}`;
  const raw = Buffer.from(cosigned.split(' ')[2] ?? '', 'base64').subarray(4);

  it('binds the time that the witness says', () => {
    const later = Buffer.from(raw);
    later.writeBigUInt64BE(BigInt(AT + 1));
    const changed = formatNote(text, [signed, line(witnessKey, later)]);
    expect(openCheckpoint(changed, trusted)).toEqual({ ok: false, error: 'wrong_signature' });
  });

  it.each([
    ['no time', cosignatureLine(text, WITNESS, witness, 0)],
    ['a time beyond 2^53', line(witnessKey, Buffer.concat([Buffer.alloc(8, 0xff), raw.subarray(8)]))],
    ['no signature', line(witnessKey, raw.subarray(0, 8))],
    ['a signature that is too long', line(witnessKey, Buffer.concat([raw, Buffer.alloc(1)]))],
  ])('is refused with %s', (_, wrong) => {
    expect(openCheckpoint(formatNote(text, [signed, wrong]), trusted)).toEqual({ ok: false, error: 'wrong_signature' });
  });

  it('by a key that signs notes is none', () => {
    const plain = verifierKey(WITNESS, witness);
    const asNote = formatNote(text, [signed, signatureLine(text, WITNESS, witness)]);
    expect(value(openCheckpoint(asNote, { ...trusted, witnesses: [plain] })).cosigned).toEqual([]);
  });
});

describe('base64', () => {
  it('has one spelling of any bytes', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 70 }),
        fc.nat(100),
        fc.integer({ min: 0, max: 255 }),
        (bytes, at, code) => {
          for (const [encoding, read] of [
            ['base64', fromBase64],
            ['base64url', fromBase64url],
          ] as const) {
            const text = Buffer.from(bytes).toString(encoding);
            expect(read(text)).toEqual(Buffer.from(bytes));
            const where = at % (text.length + 1);
            const other = text.slice(0, where) + String.fromCharCode(code) + text.slice(where + 1);
            const isSpelling = Buffer.from(other, encoding).toString(encoding) === other;
            expect([other, read(other) !== undefined]).toEqual([other, isSpelling]);
          }
        },
      ),
      { numRuns: 500 },
    );
    for (const text of ['A', 'AB', 'AAB', 'A-+A', 'A_/A', 'AA==', 'AA A', 'AAé'])
      expect(fromBase64url(text)).toBeUndefined();
  });
});
