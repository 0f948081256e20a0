import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { copyJson, isObject, type Json, type ToolDefinition } from '../protocol/index.js';
import { memberPath } from './findings.js';
import { isList, visible } from './visible.js';
import { wordsOf, Word } from './words-difference.js';

/** One member that differs. Texts come word by word; everything in them that is hidden is spelled out. */
export const DefinitionChange = z.strictObject({
  path: z.string().describe('The member: description, inputSchema.properties.path.type.'),
  change: z.enum(['added', 'removed', 'changed']),
  before: z.string().optional(),
  after: z.string().optional(),
  words: z.array(Word).optional().describe('For two texts: what stayed, went and came.'),
});
export type DefinitionChange = z.infer<typeof DefinitionChange>;

/** How a definition differs from another one, as a person reads it. Only the order of members makes no difference. */
export const definitionDifference = (before: ToolDefinition, after: ToolDefinition): readonly DefinitionChange[] =>
  between(copyJson(before), copyJson(after), '');

function between(before: Json | undefined, after: Json | undefined, path: string): readonly DefinitionChange[] {
  if (isDeepStrictEqual(before, after)) return [];
  if (before === undefined || after === undefined) return [oneSided(before, after, path)];
  if (isObject(before) && isObject(after)) {
    const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    return names.flatMap((name) => between(own(before, name), own(after, name), memberPath(path, name)));
  }
  if (isList(before) && isList(after) && !(before.every(isScalar) && after.every(isScalar))) {
    const length = Math.max(before.length, after.length);
    return Array.from({ length }, (_, i) => between(before[i], after[i], `${path}[${String(i)}]`)).flat();
  }
  const texts = { path, change: 'changed', before: shown(before), after: shown(after) } as const;
  return [
    typeof before === 'string' && typeof after === 'string' ? { ...texts, words: wordsOf(before, after) } : texts,
  ];
}

const oneSided = (before: Json | undefined, after: Json | undefined, path: string): DefinitionChange =>
  after === undefined
    ? { path, change: 'removed', before: shown(before ?? null) }
    : { path, change: 'added', after: shown(after) };

const own = (object: Readonly<Record<string, Json>>, name: string): Json | undefined =>
  Object.hasOwn(object, name) ? object[name] : undefined;

const isScalar = (value: Json): boolean => typeof value !== 'object' || value === null;
const shown = (value: Json): string => visible(typeof value === 'string' ? value : JSON.stringify(value));
