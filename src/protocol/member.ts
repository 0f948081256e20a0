import { endOfString } from './json.js';

/**
 * The text of one member's value as it stood in the object before anybody parsed it. `text` must be one that
 * `parseObject` accepted: this checks nothing again.
 */
export function memberText(text: string, name: string): string | undefined {
  let at = text.indexOf('{') + 1;
  for (;;) {
    at = skipSpace(text, at);
    if (text[at] !== '"') return undefined;
    const end = endOfString(text, at);
    const start = skipSpace(text, skipSpace(text, end + 1) + 1);
    const stop = endOfValue(text, start);
    if (JSON.parse(text.slice(at, end + 1)) === name) return text.slice(start, stop);
    at = skipSpace(text, stop) + 1;
  }
}

function endOfValue(text: string, start: number): number {
  if (text[start] === '"') return endOfString(text, start) + 1;
  if (text[start] === '{' || text[start] === '[') return endOfNested(text, start);
  let at = start;
  while (at < text.length && !/[,}\]\s]/.test(text.charAt(at))) at++;
  return at;
}

function endOfNested(text: string, start: number): number {
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    const c = text[at];
    if (c === '"') at = endOfString(text, at);
    else if (c === '{' || c === '[') depth++;
    else if ((c === '}' || c === ']') && --depth === 0) return at + 1;
  }
  return text.length;
}

function skipSpace(text: string, start: number): number {
  let at = start;
  while (at < text.length && /\s/.test(text.charAt(at))) at++;
  return at;
}
