import { z } from 'zod';
import { copyJson, isObject, type Json, type ToolDefinition } from '../protocol/index.js';
import { instructionsIn } from './instructions.js';
import { charactersOf, codeOf, isList, UNSEEN, visible } from './visible.js';

/** Something in a tool's definition that a person may not see, or that speaks to the model rather than about the tool. */
export const Finding = z.strictObject({
  rule: z.enum(['control', 'zero_width', 'bidi', 'tag', 'variation_selector', 'unseen', 'look_alike', 'instruction']),
  path: z.string().describe('Where: the member of the definition.'),
  at: z.number().int().describe('Where in that text, in UTF-16 code units.'),
  shown: z.string().describe('The place with its surroundings, everything that is hidden spelled out.'),
  about: z.string(),
});
export type Finding = z.infer<typeof Finding>;

const MAX_FINDINGS = 100;

/**
 * TL-03: what a reviewer should look at twice, in every text of the definition and in the names of its arguments. Finds
 * what is known to be done; that nothing is found does not make a definition harmless.
 */
export function findingsIn(definition: ToolDefinition): readonly Finding[] {
  const found: Finding[] = [];
  for (const { path, text } of textsIn(copyJson(definition), '')) {
    if (found.length >= MAX_FINDINGS) break;
    found.push(...hiddenIn(text, path), ...lookAlikesIn(text, path), ...instructed(text, path));
  }
  return found.slice(0, MAX_FINDINGS);
}

type Place = Readonly<{ path: string; text: string }>;

/** Every text of a value, and every name in it: a model reads both. */
export function* textsIn(value: Json, path: string): Generator<Place> {
  if (typeof value === 'string') yield { path, text: value };
  else if (isList(value)) for (const [i, item] of value.entries()) yield* textsIn(item, `${path}[${String(i)}]`);
  else if (isObject(value))
    for (const [name, member] of Object.entries(value)) {
      const inside = memberPath(path, name);
      if (!/^[\w$-]{1,64}$/.test(name)) yield { path: `${inside} (its name)`, text: name };
      yield* textsIn(member, inside);
    }
}

/** A JSON path for people: names that are not plain words stand in brackets and quotes. */
export function memberPath(path: string, name: string): string {
  if (!/^[A-Za-z_$][\w$-]*$/.test(name)) return `${path}[${visible(JSON.stringify(name))}]`;
  return path === '' ? name : `${path}.${name}`;
}

const HIDDEN: readonly (readonly [Finding['rule'], RegExp, string])[] = [
  ['tag', /[\u{E0000}-\u{E007F}]/u, 'a tag character, which no reader sees and a model reads as a letter'],
  [
    'variation_selector',
    /[\uFE00-\uFE0F\u{E0100}-\u{E01EF}\u180B-\u180F]/u,
    'a variation selector, which can carry hidden data',
  ],
  [
    'bidi',
    /[\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]/u,
    'a mark that shows the text in another order than it is read',
  ],
  [
    'zero_width',
    /[\u00AD\u034F\u115F\u1160\u17B4\u17B5\u200B-\u200D\u2060-\u2064\u3164\uFEFF\uFFA0]/u,
    'a character without width',
  ],
  ['control', /\p{Cc}/u, 'a control character'],
  ['unseen', /./su, 'a character that is not seen as what it is'],
];

/** One finding for each run of hidden characters. What belongs to an emoji is no surprise. */
function hiddenIn(text: string, path: string): readonly Finding[] {
  const found: Finding[] = [];
  let end = -1;
  for (const match of text.matchAll(UNSEEN)) {
    const [character] = match;
    if (character === '\t' || character === '\r' || isOfEmoji(text, match.index)) continue;
    const [rule, , about] = HIDDEN.find(([, pattern]) => pattern.test(character)) ?? ['unseen', /./, ''];
    const isRun = match.index === end && found.at(-1)?.rule === rule;
    end = match.index + character.length;
    if (isRun) continue;
    found.push({
      rule,
      path,
      at: match.index,
      shown: around(text, match.index),
      about: `U+${codeOf(character)} is ${about}`,
    });
  }
  return found;
}

const isOfEmoji = (text: string, at: number): boolean =>
  /^[\uFE0F\u200D]/.test(text.slice(at)) &&
  /(?:\p{Extended_Pictographic}|\p{Emoji_Modifier}|[#*0-9])\uFE0F?$/u.test(text.slice(Math.max(0, at - 4), at));

const WORDS = /[\p{L}\p{M}\p{N}]+/gu;
const SCRIPTS = [
  /\p{Script=Latin}/u,
  /\p{Script=Cyrillic}/u,
  /\p{Script=Greek}/u,
  /\p{Script=Armenian}/u,
  /\p{Script=Cherokee}/u,
  /\p{Script=Coptic}/u,
];
/** Cyrillic and Greek letters that look like Latin ones. */
const LATIN_LOOKING = /^[аеорсухіјѕһԁԛԝвкмнтАВЕКМНОРСТУХІЈЅαοριντυκχΑΒΕΖΗΙΚΜΝΟΡΤΥΧ]+$/u;

function lookAlikesIn(text: string, path: string): readonly Finding[] {
  const isLatin = (text.match(/\p{Script=Latin}/gu)?.length ?? 0) * 2 > (text.match(/\p{L}/gu)?.length ?? 0);
  return [...text.matchAll(WORDS)].flatMap((match): readonly Finding[] => {
    const about = suspicious(match[0], isLatin);
    return about === undefined ? [] : [{ rule: 'look_alike', path, at: match.index, shown: spelled(match[0]), about }];
  });
}

function suspicious(word: string, amongLatin: boolean): string | undefined {
  if (SCRIPTS.filter((script) => script.test(word)).length > 1) return 'a word of letters of several alphabets';
  if (amongLatin && LATIN_LOOKING.test(word)) return 'a word of foreign letters that look like Latin ones';
  const plain = word.normalize('NFKC');
  return plain !== word && /^[\x20-\x7e]+$/.test(plain)
    ? `letters of a special kind that read as "${plain}"`
    : undefined;
}

/** A word with every letter that is not plain spelled out beside it. */
const spelled = (word: string): string =>
  `${visible(word)} (${charactersOf(word)
    .map((letter) => (/[\x20-\x7e]/.test(letter) ? letter : `\\u{${codeOf(letter)}}`))
    .join('')})`;

/** The dialect of a schema is an address that says nothing to anybody. */
const DIALECT = /^(?:inputSchema|outputSchema)\.\$schema$/;

const instructed = (text: string, path: string): readonly Finding[] =>
  (DIALECT.test(path) && text.startsWith('https://json-schema.org/') ? [] : instructionsIn(text)).map(
    ({ at, about }) => ({ rule: 'instruction', path, at, shown: around(text, at), about }),
  );

/** Some characters before and after a place. */
function around(text: string, at: number): string {
  const [from, to] = [Math.max(0, at - 20), Math.min(text.length, at + 60)];
  const piece = visible(text.slice(from, to).toWellFormed()).replaceAll('\n', '\\n');
  return `${from > 0 ? '…' : ''}${piece}${to < text.length ? '…' : ''}`;
}
