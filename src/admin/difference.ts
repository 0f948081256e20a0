import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { isObject, type Json, type JsonObject } from '../protocol/index.js';

/** A field that differs. `before` is absent when it is new, `after` when it is gone. */
export const FieldChange = z.strictObject({
  field: z.string(),
  before: z.unknown().optional(),
  after: z.unknown().optional(),
});
export type FieldChange = z.infer<typeof FieldChange>;

/** What a reader must look at to see how `after` differs from `before`; nothing when they say the same. */
export function difference(before: unknown, after: unknown): readonly FieldChange[] {
  return between(plain(before), plain(after), '');
}

/** The JSON that stands for a value: without what JSON cannot hold, such as an absent member that is there. */
export const plain = (value: unknown): Json => AnyJson.parse(JSON.parse(JSON.stringify(value)));

const AnyJson: z.ZodType<Json> = z.json();

function between(before: Json | undefined, after: Json | undefined, field: string): readonly FieldChange[] {
  if (isDeepStrictEqual(before, after)) return [];
  const [left, right] = [membersOf(before), membersOf(after)];
  if (left === undefined || right === undefined) return [change(field, before, after)];
  const names = [...new Set([...Object.keys(left.members), ...Object.keys(right.members)])];
  const found = names.flatMap((name) => between(left.members[name], right.members[name], left.path(field, name)));
  // Only the order of a list differs.
  return found.length > 0 ? found : [change(field, before, after)];
}

const change = (field: string, before: Json | undefined, after: Json | undefined): FieldChange => ({
  field,
  ...(before === undefined ? {} : { before }),
  ...(after === undefined ? {} : { after }),
});

type Members = Readonly<{ members: JsonObject; path: (field: string, name: string) => string }>;

/** An object by its members, a list of named things by their names. */
function membersOf(value: Json | undefined): Members | undefined {
  if (isObject(value)) return { members: value, path: (field, name) => (field === '' ? name : `${field}.${name}`) };
  const named = Array.isArray(value) ? byName(value) : undefined;
  return named && { members: named, path: (field, name) => `${field}[${name}]` };
}

function byName(items: readonly Json[]): JsonObject | undefined {
  const names = items.map(nameOf);
  const isNamed = names.every((name) => name !== undefined) && new Set(names).size === names.length && names.length > 0;
  return isNamed ? Object.fromEntries(items.map((item, i) => [names[i] ?? '', item])) : undefined;
}

function nameOf(item: Json): string | undefined {
  if (!isObject(item)) return undefined;
  const name = item['name'] ?? item['resource'] ?? item['kid'];
  return typeof name === 'string' ? name : undefined;
}
