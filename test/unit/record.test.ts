import { createHash } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import {
  changeOf,
  closeRecord,
  leafFlaws,
  leafHash,
  type Outcome,
  readRecord,
  recordHead,
  RecordKind,
  RecordSchema,
} from '../../src/audit/index.js';

/** Of JSON whose keys are in order already. */
const canonicalDigest = (value: unknown): string =>
  createHash('sha256').update(JSON.stringify(value)).digest('base64url');

const outcome: Outcome = { decision: 'permit', reason: 'permitted', session: 'ses_1', sequence: 1, seen: 0 };
const record = (facts = {}) => closeRecord(recordHead('exchange', 1_795_305_600, facts), outcome);

describe('a record', () => {
  it('is never longer than an entry of the log may be (C2SP tlog-tiles)', () => {
    expect(record({ text: 'x'.repeat(63_000) }).length).toBeLessThan(65_535);
    const problem = 'a record of kind exchange would be too long for an entry of the log';
    expect(() => record({ text: 'x'.repeat(64_000) })).toThrow(problem);
    expect(() => record({ text: '\u20ac'.repeat(22_000) })).toThrow(problem);
  });

  it('of a change has both sides, and of a long one their digests and what differs', () => {
    const [before, after] = [
      { name: 'a', tools: ['x'] },
      { name: 'a', tools: ['y'] },
    ];
    const { before_sha256, after_sha256 } = changeOf(before, after);
    expect(changeOf(before, after)).toEqual({ before, after, before_sha256, after_sha256, changed: ['tools'] });
    expect([before_sha256, after_sha256]).toEqual([before, after].map((side) => canonicalDigest(side)));
    const long = { name: 'a', tools: ['y'.repeat(48_000)] };
    expect(changeOf(before, long)).toEqual({
      before_sha256,
      after_sha256: canonicalDigest(long),
      changed: ['tools'],
    });
  });

  it('comes back as it was written', () => {
    const facts = { person: 'prs_1', tools: [{ name: 'read' }], absent: null };
    expect(readRecord(record(facts))).toEqual({
      v: 1,
      salt: expect.stringMatching(/^[\w-]{22}$/),
      kind: 'exchange',
      at: 1_795_305_600,
      facts,
      outcome,
    });
  });

  it('is salted: the same facts make another leaf each time', () => {
    expect(leafHash(record())).not.toEqual(leafHash(record()));
  });

  it('RFC 6962 §2.1: is hashed behind a zero byte, so that no leaf is a node', () => {
    const leaf = record();
    const wanted = createHash('sha256')
      .update(Buffer.concat([Buffer.of(0), leaf]))
      .digest();
    expect(leafHash(leaf)).toEqual(wanted);
    // RFC 6962 section 2.1.1, the hash of an empty leaf.
    expect(leafHash(Buffer.alloc(0)).toString('hex')).toBe(
      '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
    );
  });

  it('cannot be broken open by what stands in it', () => {
    const facts = { client: '"},"outcome":{"decision":"permit"}}', text: '\u2028\u0000\\' };
    expect(readRecord(record(facts))?.facts).toEqual(facts);
  });

  it.each<[string, (text: string) => string]>([
    ['of another version', (text) => text.replace('"v":1', '"v":2')],
    ['of another kind', (text) => text.replace('"exchange"', '"gossip"')],
    ['without outcome', (text) => text.replace('"outcome"', '"income"')],
    ['with more in its outcome', (text) => text.replace('"seen":0', '"seen":0,"x":1')],
    ['with a name twice', (text) => text.replace('"v":1', '"v":1,"v":1')],
    ['that is cut', (text) => text.slice(0, -1)],
  ])('%s is not read', (_, change) => {
    const text = record().toString();
    expect(change(text)).not.toBe(text);
    expect(readRecord(Buffer.from(change(text)))).toBeUndefined();
  });
});

describe('the schema of the records', () => {
  it('knows every member of every kind: what nobody described is in no record', () => {
    const loose: string[] = [];
    const walk = (node: unknown, path: string): void => {
      if (typeof node !== 'object' || node === null) return;
      if ('properties' in node && !('additionalProperties' in node && node.additionalProperties === false))
        loose.push(path);
      for (const [name, inner] of Object.entries(node)) walk(inner, `${path}/${name}`);
    };
    const schema = z.toJSONSchema(RecordSchema);
    walk(schema, '');
    expect(loose).toEqual([]);
    expect(schema.anyOf?.map(({ title }) => title)).toEqual(RecordKind.options);
  });

  it.each([
    ['session', { what: 'closed', session: 'ses_1', entries: 1 }, 'facts'],
    ['key', { what: 'log_key', vkey: 'v', previous: null, more: 1 }, 'facts'],
    ['key', { what: 'log_key', vkey: 'v', previous: null }, undefined],
  ] as const)('%s %j: %s', (kind, facts, flaw) => {
    const [first] = leafFlaws(closeRecord(recordHead(kind, 1, facts), outcome));
    expect(first?.split(':')[0]?.split('.')[0]).toBe(flaw);
  });
});
