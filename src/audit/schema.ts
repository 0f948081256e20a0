import { z } from 'zod';
import type { Route } from '../http/index.js';
import { parseObject } from '../protocol/index.js';
import { FACTS } from './facts.js';
import { Outcome, RecordKind } from './record.js';

const Salt = z
  .string()
  .regex(/^[A-Za-z0-9_-]{22}$/)
  .describe('128 random bits, base64url.');

/** Records of version 1, each kind by itself. A leaf of the log is the JSON text of one, hashed as it is stored. */
export const RecordSchema = z.union(
  RecordKind.options.map((kind) =>
    z
      .strictObject({
        v: z.literal(1),
        salt: Salt,
        kind: z.literal(kind),
        at: z.number().int().describe('Seconds since 1970.'),
        facts: FACTS[kind],
        outcome: Outcome,
      })
      .meta({ title: kind }),
  ),
);

/** What of a stored leaf is not as its schema says; empty when all of it is. */
export function leafFlaws(leaf: Uint8Array): readonly string[] {
  const parsed = parseObject(Buffer.from(leaf).toString('utf8'));
  if (!parsed.ok) return [parsed.error];
  const kind = RecordKind.safeParse(parsed.value['kind']);
  const schema = kind.success ? RecordSchema.options[RecordKind.options.indexOf(kind.data)] : RecordSchema;
  const checked = schema?.safeParse(parsed.value);
  return checked?.error === undefined
    ? []
    : checked.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
}

/** `GET /audit/v1/schema`: the schema of the records as a JSON Schema document (2020-12), for anybody. */
export function schemaRoute(mount: string, issuer: string): Route {
  let text: string | undefined;
  const document = (): string =>
    (text ??= JSON.stringify({ $id: `${issuer}/audit/v1/schema`, ...z.toJSONSchema(RecordSchema) }));
  return {
    method: 'GET',
    path: `${mount}/audit/v1/schema`,
    handle: (ctx) => {
      ctx.set({ 'Cache-Control': 'public, max-age=3600', 'Access-Control-Allow-Origin': '*' });
      ctx.body = document();
      ctx.type = 'application/schema+json';
    },
  };
}
