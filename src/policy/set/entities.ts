import { z } from 'zod';
import { parseStrict } from '../../protocol/index.js';
import type { CedarValue, EntityJson } from './engine.js';

const MAX_ENTITIES = 10_000;
const MAX_TEXT = 4_194_304;
const Uid = z.strictObject({ type: z.string().min(1).max(256), id: z.string().max(512) });
const Value: z.ZodType<CedarValue> = z.lazy(() =>
  z.union([z.string(), z.boolean(), z.int(), z.array(Value), z.record(z.string(), Value)]),
);
const Entities = z
  .array(
    z.strictObject({
      uid: Uid,
      attrs: z.record(z.string(), Value).default({}),
      parents: z.array(Uid).default([]),
    }),
  )
  .max(MAX_ENTITIES);

/** Cedar's JSON form of entities, or `undefined`. */
export function readEntities(text: string): EntityJson[] | undefined {
  const parsed = text.length > MAX_TEXT ? undefined : parseStrict(text);
  return parsed?.ok === true ? Entities.safeParse(parsed.value).data : undefined;
}
