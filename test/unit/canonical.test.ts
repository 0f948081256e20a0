import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { canonicalize, digest, type Json, parseArguments, parseStrict, sha256 } from '../../src/protocol/index.js';
import { vector } from '../support/vectors.js';

const NumberRow = z.strictObject({ ieee754: z.string(), json: z.string(), refused: z.boolean() });
const sample = vector('jcs/sample', z.strictObject({ input: z.string(), canonical: z.string(), utf8: z.string() }));
const sorting = vector('jcs/sorting', z.strictObject({ input: z.string(), values: z.array(z.string()) }));

const parsed = (text: string): Json => {
  const value = parseStrict(text);
  if (!value.ok) throw new Error(value.error);
  return value.value;
};
const hashOf = (text: string): unknown => {
  const read = parseArguments(text);
  return read.ok ? read.value.sha256 : read.error;
};

describe('RFC 8785 appendix B, numbers', () => {
  it.each(vector('jcs/numbers', z.array(NumberRow)))(
    '$ieee754 is $json (refused: $refused)',
    ({ ieee754, json, refused }) => {
      const value = Buffer.from(ieee754, 'hex').readDoubleBE();
      expect(canonicalize(value)).toEqual(refused ? { ok: false, error: 'unsafe_number' } : { ok: true, value: json });
    },
  );
});

describe('RFC 8785 section 3.2, the sample', () => {
  const UNSAFE = ' 1E30,';
  it('is refused whole for its 1E30, an integer that not every parser holds exactly', () => {
    expect(sample.input).toContain(UNSAFE);
    expect(canonicalize(parsed(sample.input))).toEqual({ ok: false, error: 'unsafe_number' });
    expect(hashOf(sample.input)).toBe('unsafe_number');
  });

  it('has the published form without it, to the byte', () => {
    const canonical = sample.canonical.replace('1e+30,', '');
    const bytes = Buffer.from(
      sample.utf8.replaceAll(' ', '').replace(Buffer.from('1e+30,').toString('hex'), ''),
      'hex',
    );
    const ours = canonicalize(parsed(sample.input.replace(UNSAFE, '')));
    expect(ours).toEqual({ ok: true, value: canonical });
    expect(Buffer.from(canonical)).toEqual(bytes);
    expect(hashOf(sample.input.replace(UNSAFE, ''))).toBe(sha256(bytes));
  });

  it('sorts names by UTF-16 code units, not by code points', () => {
    const ours = canonicalize(parsed(sorting.input));
    expect(ours.ok && Object.values(JSON.parse(ours.value) as object)).toEqual(
      // JSON.parse puts the one name that looks like an index first.
      ['One', ...sorting.values.filter((value) => value !== 'One')],
    );
    const positions = sorting.values.map((value) => (ours.ok ? ours.value.indexOf(value) : -1));
    expect(positions).toEqual([...positions].sort((a, b) => a - b));
    expect(positions).not.toContain(-1);
  });
});

describe('AP-22: two spellings have one digest exactly when RFC 8785 says that they are one', () => {
  it.each([
    ['key order', '{"a":1,"b":{"c":2,"d":3}}', '{"b":{"d":3,"c":2},"a":1}'],
    ['white space', '{"a":[1,2]}', ' {\n"a" : [ 1 ,\t2 ] } '],
    ['1, 1.0 and 1e0', '{"n":1}', '{"n":1.0}'],
    ['an exponent', '{"n":100}', '{"n":1e2}'],
    ['a negative exponent', '{"n":0.000001}', '{"n":1e-6}'],
    ['-0 and 0', '{"n":-0}', '{"n":0}'],
    ['an escaped name', '{"a":1}', '{"\\u0061":1}'],
    ['an escaped character', '{"s":"é/"}', '{"s":"\\u00e9\\/"}'],
    ['an escaped pair', '{"s":"😀"}', '{"s":"\\ud83d\\ude00"}'],
  ])('one: %s', (_, one, other) => {
    expect(hashOf(one)).toMatch(/^[\w-]{43}$/);
    expect(hashOf(one)).toBe(hashOf(other));
  });

  it.each([
    ['1 and "1"', '{"n":1}', '{"n":"1"}'],
    ['NFC and NFD', '{"s":"\u00e9"}', '{"s":"e\u0301"}'],
    ['NFC and NFD names', '{"\u00e9":1}', '{"e\u0301":1}'],
    ['null and absent', '{"a":null}', '{}'],
    ['list order', '{"a":[1,2]}', '{"a":[2,1]}'],
    ['letter case', '{"A":1}', '{"a":1}'],
    ['false and 0', '{"a":false}', '{"a":0}'],
    ['a space more', '{"s":"rm -rf /tmp"}', '{"s":"rm -rf / tmp"}'],
    ['the last digit', '{"n":0.1}', '{"n":0.10000000000000002}'],
  ])('two: %s', (_, one, other) => {
    expect(hashOf(one)).toMatch(/^[\w-]{43}$/);
    expect(hashOf(other)).toMatch(/^[\w-]{43}$/);
    expect(hashOf(one)).not.toBe(hashOf(other));
  });

  it.each([
    ['2^53 + 1', '{"n":9007199254740993}', 'unsafe_number'],
    ['2^53', '{"n":9007199254740992}', 'unsafe_number'],
    ['2^53 + 1 as a fraction', '{"n":9007199254740993.0}', 'unsafe_number'],
    ['2^53 + 1 in a list', '{"n":[[-9007199254740993]]}', 'unsafe_number'],
    ['1e400', '{"n":1e400}', 'unsafe_number'],
    ['-1E+400', '{"n":-1E+400}', 'unsafe_number'],
    ['a lone high surrogate', '{"s":"\\ud800"}', 'lone_surrogate'],
    ['a lone low surrogate', '{"s":"x\\udc00"}', 'lone_surrogate'],
    ['a lone surrogate in a name', '{"\\ud800":1}', 'lone_surrogate'],
    ['a name twice', '{"a":1,"a":1}', 'duplicate_key'],
    ['a name twice, once escaped', '{"a":1,"\\u0061":2}', 'duplicate_key'],
    ['a name twice, both escaped in their own way', '{"\\u006a":1,"\\u006A":2}', 'duplicate_key'],
    ['a name twice, further down', '{"x":[{"a":{"b":1,"c":2,"b":3}}]}', 'duplicate_key'],
    ['__proto__', '{"__proto__":{"admin":true}}', 'reserved_key'],
    ['__proto__, escaped', '{"\\u005f_proto__":{"admin":true}}', 'reserved_key'],
    ['a list', '[1]', 'not_an_object'],
    ['no JSON', "{'a':1}", 'not_json'],
    ['NaN', '{"n":NaN}', 'not_json'],
    ['a leading zero', '{"n":01}', 'not_json'],
    ['a comment', '{"n":1/*x*/}', 'not_json'],
    ['something behind it', '{"n":1}{"n":2}', 'not_json'],
  ])('refused: %s', (_, text, error) => {
    expect(hashOf(text)).toBe(error);
  });

  it('takes digits in a string for what they are', () => {
    expect(hashOf('{"iban":"9007199254740993","quoted":"\\"9007199254740993"}')).toMatch(/^[\w-]{43}$/);
  });

  it('gives the digest that another program makes of the canonical form', () => {
    // printf '{"force":true,"repo":"a"}' | openssl dgst -sha256 -binary | basenc --base64url
    expect(digest({ repo: 'a', force: true })).toEqual({
      ok: true,
      value: '--Q1eArME9hgJkOYk__SwVO4WB580jUTj8_7IZ64B78',
    });
  });

  it('reads a string of a megabyte', () => {
    expect(hashOf(`{"s":"${'a'.repeat(1_000_000)}"}`)).toMatch(/^[\w-]{43}$/);
    expect(hashOf(`{"s":"${'\\n'.repeat(500_000)}"}`)).toMatch(/^[\w-]{43}$/);
  });
});
