import { hash } from 'node:crypto';
import { err, ok, type Result } from '../base/index.js';
import { endOfString, isObject, type Json, type JsonFlaw, type JsonObject, parseObject } from './json.js';

/** Text that RFC 8785 cannot represent: a number that other parsers read differently, or half a surrogate pair. */
export type CanonicalFlaw = 'unsafe_number' | 'lone_surrogate';

/**
 * RFC 8785 (JCS): ECMAScript's own serialisation with keys sorted by UTF-16 code units. Numbers that a double cannot
 * hold exactly as an integer are refused rather than rounded, since the tool may read another number than we hashed.
 */
export function canonicalize(value: Json): Result<string, CanonicalFlaw> {
  if (typeof value === 'string') return text(value);
  if (typeof value === 'number') return number(value);
  if (Array.isArray(value)) return list(value);
  if (isObject(value)) return object(value);
  return ok(JSON.stringify(value));
}

/** SHA-256 over the RFC 8785 form, base64url. */
export function digest(value: Json): Result<string, CanonicalFlaw> {
  const canonical = canonicalize(value);
  return canonical.ok ? ok(sha256(canonical.value)) : canonical;
}

/** SHA-256, base64url without padding. */
export function sha256(data: string | Uint8Array): string {
  return hash('sha256', data, 'base64url');
}

/**
 * The raw `params.arguments` of a tool call, before any default or coercion, with its digest. Both ends call exactly
 * this: whatever the digest does not cover, nobody approved.
 */
export function parseArguments(
  raw: string,
): Result<{ arguments: JsonObject; sha256: string }, JsonFlaw | CanonicalFlaw> {
  const parsed = parseExact(raw);
  if (!parsed.ok) return parsed;
  const hashed = digest(parsed.value);
  return hashed.ok ? ok({ arguments: parsed.value, sha256: hashed.value }) : hashed;
}

/** {@link parseObject} of what RFC 8785 can represent: the rules of {@link parseArguments} without the digest. */
export function parseExact(raw: string): Result<JsonObject, JsonFlaw | CanonicalFlaw> {
  const parsed = parseObject(raw);
  if (!parsed.ok) return parsed;
  if (hasUnsafeLiteral(raw)) return err('unsafe_number');
  // Half a surrogate pair is in the text itself, or is written as an escape.
  const canonical = raw.isWellFormed() && !raw.includes('\\u') ? parsed : canonicalize(parsed.value);
  return canonical.ok ? parsed : canonical;
}

function list(values: readonly Json[]): Result<string, CanonicalFlaw> {
  const parts: string[] = [];
  for (const value of values) {
    const part = canonicalize(value);
    if (!part.ok) return part;
    parts.push(part.value);
  }
  return ok(`[${parts.join(',')}]`);
}

function object(value: JsonObject): Result<string, CanonicalFlaw> {
  const parts: string[] = [];
  // RFC 8785 section 3.2.3: sorting compares UTF-16 code units, which is what the default sort does.
  for (const key of Object.keys(value).sort()) {
    const name = text(key);
    if (!name.ok) return name;
    const member = canonicalize(value[key] ?? null);
    if (!member.ok) return member;
    parts.push(`${name.value}:${member.value}`);
  }
  return ok(`{${parts.join(',')}}`);
}

function text(value: string): Result<string, CanonicalFlaw> {
  return value.isWellFormed() ? ok(JSON.stringify(value)) : err('lone_surrogate');
}

function number(value: number): Result<string, CanonicalFlaw> {
  if (!Number.isFinite(value)) return err('unsafe_number');
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) return err('unsafe_number');
  return ok(JSON.stringify(value));
}

/** A literal such as 2^53+1 or 1e400 is already rounded once it is parsed, so it is looked for in the JSON text, in one pass. */
function hasUnsafeLiteral(json: string): boolean {
  for (let at = 0; at < json.length; at++) {
    const c = json.charCodeAt(at);
    if (c === 0x22 /* " */) {
      at = endOfString(json, at);
      if (at < 0) return false;
    } else if (c === 0x2d /* - */ || (c >= 0x30 && c <= 0x39)) {
      const literal = /[-+.\deE]+/y;
      literal.lastIndex = at;
      const [text = ''] = literal.exec(json) ?? [];
      if (isUnsafe(text)) return true;
      at += Math.max(text.length - 1, 0);
    }
  }
  return false;
}

function isUnsafe(literal: string): boolean {
  const value = Number(literal);
  if (!number(value).ok) return true;
  return /^-?\d+$/.test(literal) && String(value) !== literal && literal !== '-0';
}
