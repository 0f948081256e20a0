import { describe, expect, it } from '@jest/globals';
import { copyJson, parseObject, parseStrict } from '../../src/protocol/index.js';

const flaw = (text: string): unknown => {
  const parsed = parseStrict(text);
  return parsed.ok ? 'parsed' : parsed.error;
};

describe('parseStrict', () => {
  it.each(['null', 'true', '0', '-1.5e-3', '"x"', '[]', '{}', '{"a":{"a":1},"b":[{"a":2}]}', ' [1 , {"x":"{"}]\n'])(
    'reads %s as JSON.parse does',
    (text) => {
      expect(parseStrict(text)).toEqual({ ok: true, value: JSON.parse(text) as unknown });
    },
  );

  it.each([
    ['', 'not_json'],
    ['{', 'not_json'],
    ['"', 'not_json'],
    ['{"a":1,}', 'not_json'],
    ['[1,]', 'not_json'],
    ['{a:1}', 'not_json'],
    ['undefined', 'not_json'],
    ['\ufeff{}', 'not_json'],
    ['{"a":"\u0001"}', 'not_json'],
    ['{"\\x":1}', 'not_json'],
    [']'.repeat(40), 'not_json'],
    ['{"a":1,"b":2,"a":3}', 'duplicate_key'],
    ['{"a":"\\"","a":3}', 'duplicate_key'],
    ['{"a\\u0062":1,"ab":2}', 'duplicate_key'],
    ['[{"a":1,"a":1}]', 'duplicate_key'],
    ['{"":1,"":2}', 'duplicate_key'],
    ['{"constructor":1}', 'reserved_key'],
    ['{"a":{"prototype":1}}', 'reserved_key'],
    ['{"\\u005f\\u005fproto\\u005f\\u005f":1}', 'reserved_key'],
    ['['.repeat(33) + ']'.repeat(33), 'too_deep'],
    ['['.repeat(100_000), 'too_deep'],
  ])('refuses %.20j', (text, wanted) => {
    expect(flaw(text)).toBe(wanted);
  });

  it('takes 32 levels, and a name again in another object', () => {
    expect(flaw('['.repeat(32) + ']'.repeat(32))).toBe('parsed');
    expect(flaw('[{"a":1},{"a":1}]')).toBe('parsed');
  });

  it('takes no name for a key that stands in a string or in a list', () => {
    expect(flaw('{"a":"b","b":["a","a"],"c":"{\\"a\\":1,\\"a\\":2}"}')).toBe('parsed');
  });
});

describe('parseObject', () => {
  it.each(['[]', 'null', '1', '"{}"'])('refuses %s', (text) => {
    expect(parseObject(text)).toEqual({ ok: false, error: 'not_an_object' });
  });
});

describe('copyJson', () => {
  it('keeps what JSON keeps, and shares nothing', () => {
    const value = { a: [1, { b: undefined, c: 'x' }] };
    const copy = copyJson(value);
    expect(copy).toEqual({ a: [1, { c: 'x' }] });
    value.a.length = 0;
    expect(copy).toEqual({ a: [1, { c: 'x' }] });
    expect(copyJson(undefined)).toBeNull();
  });
});
