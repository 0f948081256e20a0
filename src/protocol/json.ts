import { err, ok, type Result } from '../base/index.js';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
// eslint-disable-next-line @typescript-eslint/consistent-indexed-object-style -- a Record of itself is circular to the compiler
export type JsonObject = { readonly [key: string]: Json };

/** What JSON.stringify makes JSON of: members that are undefined are left out. */
export type Writable = Json | undefined | readonly Writable[] | { readonly [key: string]: Writable };

export type JsonFlaw = 'not_json' | 'too_deep' | 'duplicate_key' | 'reserved_key' | 'not_an_object' | 'unsafe_number';

const RESERVED = new Set(['__proto__', 'constructor', 'prototype']);
const DEPTH = 32;

/**
 * Parses a JSON object as every component must read it: no duplicate keys (two parsers would disagree on the winner),
 * no keys that reach a prototype, at most 32 levels. It does not check numbers; see {@link parseArguments}.
 */
export function parseObject(text: string): Result<JsonObject, JsonFlaw> {
  const parsed = parseStrict(text);
  if (!parsed.ok) return parsed;
  return isObject(parsed.value) ? ok(parsed.value) : err('not_an_object');
}

/** {@link parseObject} for any JSON value. */
export function parseStrict(text: string): Result<Json, JsonFlaw> {
  const flaw = scan(text);
  if (flaw !== undefined) return err(flaw);
  try {
    const value: unknown = JSON.parse(text);
    return isJson(value) ? ok(value) : err('not_json');
  } catch {
    return err('not_json');
  }
}

/**
 * JSON as JSON.parse reads it, `undefined` for anything else. Only for text that others read in the same way and that
 * nothing is allowed by, such as a server's description of itself; everything else is read by {@link parseStrict}.
 */
export function readJsonLoosely(text: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isJson(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** A value of our own as JSON: what JSON.stringify keeps of it. Not for text from outside; see {@link parseStrict}. */
export function copyJson(value: unknown): Json {
  const copy: unknown = JSON.parse(JSON.stringify([value]));
  return isJson(copy) && Array.isArray(copy) && isJson(copy[0]) ? copy[0] : null;
}

/** What JSON.parse returns is JSON, or it would have thrown. */
const isJson = (value: unknown): value is Json => value !== undefined;

/** True for a JSON object: neither null nor an array. */
export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Looks only at nesting and keys, in one pass over the text; whether it is JSON at all is left to JSON.parse, so on
 * malformed text this may return anything but never loops or throws.
 */
function scan(text: string): JsonFlaw | undefined {
  const keys: (Set<string> | null)[] = [];
  let expectsKey = false;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 0x22 /* " */) {
      const end = endOfString(text, i);
      if (end < 0) return 'not_json';
      const open = keys.at(-1);
      if (expectsKey && open) {
        const flaw = takeKey(text.slice(i, end + 1), open);
        if (flaw !== undefined) return flaw;
        expectsKey = false;
      }
      i = end;
    } else if (c === 0x7b /* { */ || c === 0x5b /* [ */) {
      if (keys.length >= DEPTH) return 'too_deep';
      keys.push(c === 0x7b ? new Set() : null);
      expectsKey = c === 0x7b;
    } else if (c === 0x7d /* } */ || c === 0x5d /* ] */) {
      keys.pop();
      expectsKey = false;
    } else if (c === 0x2c /* , */) {
      expectsKey = keys.at(-1) instanceof Set;
    }
  }
  return undefined;
}

function takeKey(quoted: string, seen: Set<string>): JsonFlaw | undefined {
  let key: unknown = quoted.slice(1, -1);
  if (quoted.includes('\\')) {
    try {
      key = JSON.parse(quoted);
    } catch {
      return 'not_json';
    }
  }
  if (typeof key !== 'string') return 'not_json';
  if (RESERVED.has(key)) return 'reserved_key';
  if (seen.has(key)) return 'duplicate_key';
  seen.add(key);
  return undefined;
}

/** Where the string that opens at `start` closes, or -1. */
export function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  while (end >= 0 && isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end;
}

/** Behind an odd number of backslashes. */
function isEscaped(text: string, at: number): boolean {
  let first = at;
  while (text.charCodeAt(first - 1) === 0x5c /* \ */) first--;
  return (at - first) % 2 === 1;
}
