import { describe, expect, it } from '@jest/globals';
import { memberText, parseObject } from '../../src/protocol/index.js';

describe('memberText gives the text of a member as it was sent', () => {
  it.each([
    ['{"a":1}', 'a', '1'],
    ['{"a":1.50 ,"b":2}', 'a', '1.50'],
    [' { "b" : [ {"a":"}"} , "]" ] , "a" : { "x" : "{" } } ', 'a', '{ "x" : "{" }'],
    ['{"b":"\\"a\\":9","a":"x\\"y"}', 'a', '"x\\"y"'],
    ['{"\\u0061":true}', 'a', 'true'],
    ['{"b":{"a":1},"c":[{"a":2}]}', 'a', undefined],
    ['{"b":"\\\\","a":null}', 'a', 'null'],
    ['{}', 'a', undefined],
    ['{"a":{}}', 'a', '{}'],
    ['{"a":-1e5\n}', 'a', '-1e5'],
  ])('%s', (text, name, wanted) => {
    expect(parseObject(text).ok).toBe(true);
    expect(memberText(text, name)).toBe(wanted);
  });

  it('agrees with JSON.parse about every member of nested objects with awkward strings', () => {
    const strings = ['', '"', '\\', '{', '}', '[', ']', ',', ':', '\\"', '\n', 'é', '\u2028', '{"a":1}'];
    for (const one of strings) {
      for (const two of strings) {
        const value = {
          [`k${one}`]: { [`n${two}`]: [one, { x: two }] },
          [`l${two}`]: two,
          last: [[one], -0.5e-3, null, false],
        };
        for (const text of [JSON.stringify(value), JSON.stringify(value, null, 2)]) {
          for (const [name, member] of Object.entries(value))
            expect(JSON.parse(memberText(text, name) ?? '')).toEqual(member);
          expect(memberText(text, 'x')).toBeUndefined();
        }
      }
    }
  });
});
