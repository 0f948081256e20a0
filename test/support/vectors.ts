import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { z } from 'zod';

/** A published vector, as typed in test/vectors. */
export const vector = <T>(name: string, schema: z.ZodType<T>): T =>
  schema.parse(JSON.parse(readFileSync(join('test', 'vectors', `${name}.json`), 'utf8')));
