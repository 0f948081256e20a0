import { parseAllDocuments } from 'yaml';
import { err, ok, type Result } from '../base/index.js';
import { type JsonObject, parseObject } from '../protocol/index.js';

const ALIASES = 50;

/**
 * Reads YAML (and so JSON) into plain objects, one for each document that is not empty. Duplicate keys, tags, keys that
 * reach a prototype, deep nesting and alias bombs are refused; the message names the line where there is one.
 */
export function parseYaml(text: string): Result<readonly JsonObject[], string> {
  const documents = parseAllDocuments(text, { strict: true, uniqueKeys: true, version: '1.2', schema: 'core' });
  const objects: JsonObject[] = [];
  for (const document of Array.isArray(documents) ? documents : []) {
    const flaw = document.errors[0] ?? document.warnings[0];
    if (flaw !== undefined) return err(flaw.message.split('\n')[0] ?? 'is not YAML');
    const plain = toPlain(() => JSON.stringify(document.toJS({ maxAliasCount: ALIASES })));
    if (!plain.ok) return plain;
    if (plain.value === 'null') continue;
    const parsed = parseObject(plain.value);
    if (!parsed.ok) return err(WORDS[parsed.error]);
    objects.push(parsed.value);
  }
  return ok(objects);
}

const WORDS = {
  not_json: 'is not data that JSON can hold',
  too_deep: 'is nested deeper than 32 levels',
  duplicate_key: 'names one key twice',
  reserved_key: 'uses a reserved key (__proto__, constructor or prototype)',
  not_an_object: 'must be a mapping of names to values',
  unsafe_number: 'has a number that is not exact',
} as const;

function toPlain(convert: () => string): Result<string, string> {
  try {
    return ok(convert());
  } catch (cause) {
    return err(cause instanceof Error && cause.message.includes('alias') ? 'uses too many aliases' : WORDS.not_json);
  }
}
