import { isObject, type Json, type JsonObject } from '../protocol/index.js';
import type { Tool } from './tool.js';
import { charactersOf, isList, visible } from './visible.js';

/** Characters of one value that people are shown, and arguments of a tool that has no sentence. */
const MAX_SHOWN = 120;
const MAX_ARGUMENTS = 16;

/**
 * What a call does, for people: the tool's sentence with the values of this call in their places. A text stands in
 * quotes that it cannot close, so no value reads as a part of the sentence; a sensitive one is not shown at all. Says
 * nothing about whether the arguments are what the tool takes.
 */
export function sentenceFor(
  { name, sentence, sensitive }: Pick<Tool, 'name' | 'sentence' | 'sensitive'>,
  given: JsonObject,
): string {
  const show = (argument: string): string =>
    sensitive.includes(argument)
      ? '(hidden)'
      : Object.hasOwn(given, argument)
        ? valueOf(given[argument] ?? null)
        : '(not given)';
  if (sentence !== undefined) return sentence.replace(/\{([^{}]+)\}/g, (_place, argument: string) => show(argument));
  const names = Object.keys(given);
  const shown = names.slice(0, MAX_ARGUMENTS).map((argument) => `${quoted(argument)}: ${show(argument)}`);
  const more = names.length > shown.length ? [`and ${String(names.length - shown.length)} more`] : [];
  return `Call the tool ${name}${names.length === 0 ? '' : ` with ${[...shown, ...more].join(', ')}`}`;
}

/** What the tool does, whatever it is given. */
export const sentenceOf = ({ name, sentence }: Pick<Tool, 'name' | 'sentence'>): string =>
  sentence?.replaceAll(/\{([^{}]+)\}/g, '$1') ?? name;

/** A number or truth value as it is, a text in quotes, anything else as JSON. */
function valueOf(value: Json): string {
  if (typeof value === 'string') return quoted(value);
  return isObject(value) || isList(value) ? cut(visible(JSON.stringify(value))) : JSON.stringify(value);
}

const quoted = (text: string): string => {
  const characters = charactersOf(text);
  const head = characters.slice(0, MAX_SHOWN).join('');
  const escaped = visible(head.replaceAll(/["\\]/g, '\\$&')).replaceAll('\n', '\\n');
  return characters.length > MAX_SHOWN ? `"${escaped}"${cutMark(characters.length)}` : `"${escaped}"`;
};

function cut(text: string): string {
  const characters = charactersOf(text);
  return characters.length > MAX_SHOWN
    ? `${characters.slice(0, MAX_SHOWN).join('')}${cutMark(characters.length)}`
    : text;
}

/** Outside the quotes, where no value can be. */
const cutMark = (length: number): string => `… (cut: ${String(length)} characters)`;
