import type { Context } from 'koa';
import { err, ok, type Result } from '../base/index.js';
import { type Json, type JsonFlaw, parseStrict } from '../protocol/index.js';
import { type BodyFlaw, readText } from './body.js';
import { plainProblem, type Problem } from './problem.js';

export const JSON_LIMIT = 65_536;

/** Reads a JSON body strictly (see parseStrict of protocol/), or says what is wrong with it. No body at all is `undefined`. */
export async function readJson(ctx: Context, limit: number = JSON_LIMIT): Promise<Result<Json | undefined, Problem>> {
  if (ctx.get('Content-Length') === '0' || !hasBody(ctx)) return ok(undefined);
  if (!/^application\/json(\s*;\s*charset="?utf-8"?)?$/i.test(ctx.get('Content-Type'))) {
    return err(plainProblem('unsupported_media_type'));
  }
  const text = await readText(ctx, limit);
  if (!text.ok) return err(bodyProblem(text.error, limit));
  const parsed = parseStrict(text.value);
  return parsed.ok ? ok(parsed.value) : err(plainProblem('invalid_json', WORDS[parsed.error]));
}

const hasBody = (ctx: Context): boolean => ctx.get('Transfer-Encoding') !== '' || ctx.get('Content-Length') !== '';

function bodyProblem(flaw: BodyFlaw, limit: number): Problem {
  switch (flaw) {
    case 'too_large':
      return plainProblem('too_large', `The body may have at most ${limit} bytes`);
    case 'aborted':
      return plainProblem('invalid_json', 'The body ended early');
    case 'not_utf8':
    case 'encoded':
      return plainProblem('unsupported_media_type');
  }
}

const WORDS: Readonly<Record<JsonFlaw, string>> = {
  not_json: 'The body is not JSON',
  too_deep: 'The body is nested deeper than 32 levels',
  duplicate_key: 'The body names one key twice',
  reserved_key: 'The body uses a reserved key (__proto__, constructor or prototype)',
  not_an_object: 'The body must be a JSON object',
  unsafe_number: 'The body has a number that is not exact',
};
