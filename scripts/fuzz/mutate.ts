import type { Random } from './random.js';

/** What has broken parsers elsewhere. */
const TEXTS: readonly [string, ...string[]] = [
  '',
  ' ',
  '\0',
  'a\0b',
  '\r\nSet-Cookie: a=b',
  '\u2028',
  '\ufeff',
  '\ufffd',
  '\u202e',
  '\ud800',
  '😀',
  'null',
  'undefined',
  'true',
  'NaN',
  '-1',
  '1e400',
  '9007199254740993',
  '__proto__',
  'constructor',
  'toString',
  '[object Object]',
  '${7*7}',
  '%00',
  '%',
  '%zz',
  '%c0%af',
  '..%2f..%2f',
  "' OR 1=1 --",
  '$1',
  '\\',
  '"',
  '{"a":1}',
  '[]',
  '*',
  '.',
  '..',
  '...',
  'a.b.c',
  'https://evil.example',
  'http://[::1',
  '//evil.example',
  'urn:',
  'javascript:alert(1)',
  '=cmd()',
  '<script>',
];

/** A text in which one thing is wrong. */
export function mutateText(text: string, random: Random): string {
  const at = random.below(text.length + 1);
  const length = 1 + random.below(random.chance(0.2) ? 200 : 6);
  switch (random.below(10)) {
    case 0:
      return random.of(TEXTS);
    case 1:
      return text.slice(0, at) + random.of(TEXTS) + text.slice(at);
    case 2:
      return text.slice(0, at) + text.slice(at + length);
    case 3:
      return text.slice(0, at);
    case 4:
      return text + text;
    case 5:
      return text.slice(0, at) + text.slice(at, at + length).repeat(1 + random.below(50)) + text.slice(at);
    case 6:
      return (
        text.slice(0, at) + String.fromCharCode(random.below(random.chance(0.5) ? 128 : 65_536)) + text.slice(at + 1)
      );
    case 7:
      return random
        .of(['a', '%', '.', '[', '{"a":', '😀', '\\', ' '])
        .repeat(random.below(random.chance(0.2) ? 20_000 : 300));
    case 8:
      return random.chance(0.5) ? text.toUpperCase() : ` ${text} `;
    default:
      return text.slice(at) + text.slice(0, at);
  }
}

/** Numbers and whole values as JSON text, some of which no serializer makes. */
const VALUES: readonly [string, ...string[]] = [
  'null',
  'true',
  'false',
  '0',
  '-0',
  '-1',
  '1.5',
  '1e400',
  '-1e400',
  '1e-400',
  '9007199254740993',
  '253402300800',
  '2147483648',
  '-2147483649',
  '1795305600000',
  '""',
  '"\\u0000"',
  '"\\ud800"',
  '"\\u2028"',
  '{}',
  '[]',
  '[[]]',
  '[null]',
  '{"not":""}',
  '{"startsWith":"a"}',
  '{"$ne":null}',
  '{"a":1,"a":2}',
  '{"__proto__":{"admin":true}}',
  '{"constructor":{"prototype":{"admin":true}}}',
  '{"toString":1}',
  '{"length":4294967295}',
  '["a","b"]',
  '{"0":"a"}',
];

/** The value as JSON text, with a few of its places broken: values, names, repeats, nesting, and the text itself. */
export function mutateJson(value: unknown, random: Random): string {
  const places = countPlaces(value);
  const broken = new Set(Array.from({ length: 1 + random.below(3) }, () => random.below(places)));
  let seen = 0;
  const write = (one: unknown): string => {
    const text = broken.has(seen++) ? breakValue(one, random) : undefined;
    if (text !== undefined) return text;
    if (Array.isArray(one)) return `[${one.map(write).join(',')}]`;
    if (typeof one !== 'object' || one === null) return JSON.stringify(one);
    const members = Object.entries(one).map(([name, member]) => `${JSON.stringify(name)}:${write(member)}`);
    return `{${(random.chance(0.05) ? breakMembers(members, random) : members).join(',')}}`;
  };
  const text = write(value);
  return random.chance(0.08) ? mutateText(text, random) : text;
}

const countPlaces = (value: unknown): number =>
  typeof value === 'object' && value !== null
    ? Object.values(value).reduce<number>((sum, one) => sum + countPlaces(one), 1)
    : 1;

function breakValue(value: unknown, random: Random): string | undefined {
  const text = JSON.stringify(value);
  switch (random.below(8)) {
    case 0:
    case 1:
      return random.of(VALUES);
    case 2:
      return typeof value === 'string' ? JSON.stringify(mutateText(value, random)) : JSON.stringify(text);
    case 3:
      return `[${text}]`;
    case 4:
      return `{"value":${text}}`;
    case 5:
      return nested(random, text);
    case 6:
      return typeof value === 'number'
        ? String(value + random.of([1, -1, 0.5, 1e9, -1e9, 1e15]))
        : `[${Array.from({ length: random.below(random.chance(0.1) ? 2_000 : 40) }, () => (text.slice(0, 200) === text ? text : '0')).join(',')}]`;
    default:
      if (typeof value !== 'object' || value === null || Array.isArray(value)) return random.of(VALUES);
      return `{${breakMembers(
        Object.entries(value).map(([name, member]) => `${JSON.stringify(name)}:${JSON.stringify(member)}`),
        random,
      ).join(',')}}`;
  }
}

function nested(random: Random, inner: string): string {
  const depth = random.of([2, 31, 32, 33, 200, 5_000]);
  return random.chance(0.5)
    ? '['.repeat(depth) + inner + ']'.repeat(depth)
    : '{"act":'.repeat(depth) + inner + '}'.repeat(depth);
}

/** Members dropped, repeated, renamed or added. */
function breakMembers(members: readonly string[], random: Random): readonly string[] {
  const at = random.below(members.length + 1);
  const one = members[at] ?? '"a":1';
  const rest = members.filter((_, n) => n !== at);
  switch (random.below(4)) {
    case 0:
      return rest;
    case 1:
      return [...members, one];
    case 2:
      return [...rest, `${JSON.stringify(random.of(TEXTS))}:${one.slice(one.indexOf(':') + 1)}`];
    default:
      return [
        ...members,
        `${random.of(['"__proto__"', '"constructor"', '"x"', '""', '"act"', '"cnf"', '"aud"'])}:${random.of(VALUES)}`,
      ];
  }
}
