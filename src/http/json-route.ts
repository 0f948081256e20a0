import type { Context } from 'koa';
import { err, ok, type Result } from '../base/index.js';
import { type Answer, type FormRequest, isObject, type JsonObject, parseStrict } from '../protocol/index.js';
import { readText } from './body.js';
import { type FormRouteDeps, orOutage } from './form-route.js';
import { requestOf, sendAnswer } from './form.js';
import { answerInTime } from './in-time.js';
import { JSON_LIMIT } from './json.js';
import { requestId } from './problem.js';
import type { PathParams, Route } from './router.js';

/** What is done with a JSON object; the request has no form. */
export type JsonWork = (request: FormRequest, body: JsonObject) => Promise<Answer>;

/** A POST of a JSON object by one of our clients, answered in the words of OAuth whatever happens. */
export function jsonRoute(path: string, handle: JsonWork, { report, networkOf }: FormRouteDeps): Route {
  return {
    method: 'POST',
    path,
    handle: async (ctx) => {
      const own = requestId(ctx);
      echoRequestId(ctx);
      const body = await readBody(ctx);
      if (!body.ok) {
        sendAnswer(ctx, body.error);
        return;
      }
      await answerAs(ctx, (request) => handle(request, body.value), { own, report, networkOf });
    },
  };
}

/** A request without a body by one of our clients, about one thing that its path names. */
export function clientRoute(
  method: 'GET' | 'POST',
  path: string,
  handle: (request: FormRequest, params: PathParams) => Promise<Answer>,
  { report, networkOf }: FormRouteDeps,
): Route {
  return {
    method,
    path,
    handle: async (ctx, params) => {
      const own = requestId(ctx);
      echoRequestId(ctx);
      await answerAs(ctx, (request) => handle(request, params), { own, report, networkOf });
    },
  };
}

async function answerAs(
  ctx: Context,
  work: (request: FormRequest) => Promise<Answer>,
  { own, report, networkOf }: FormRouteDeps & Readonly<{ own: string }>,
): Promise<void> {
  const request = requestOf(ctx, new Map(), networkOf);
  const answer = await orOutage(
    answerInTime((isOver) => work({ ...request, isOver })),
    (thrown) => {
      report(thrown, own);
    },
  );
  sendAnswer(ctx, answer);
}

/** AuthZEN 1.0, request identification: the caller's own text comes back, also one that our log would not take. */
function echoRequestId(ctx: Context): void {
  const given = ctx.get('X-Request-ID');
  if (/^[\x21-\x7e]([\x20-\x7e]{0,254}[\x21-\x7e])?$/.test(given)) ctx.set('X-Request-Id', given);
}

async function readBody(ctx: Context): Promise<Result<JsonObject, Answer>> {
  if (ctx.querystring !== '') return refuse(400, 'parameters belong in the body, not in the URL');
  if (!/^application\/json(\s*;\s*charset="?utf-8"?)?$/i.test(ctx.get('Content-Type')))
    return refuse(400, 'Content-Type must be application/json');
  const text = await readText(ctx, JSON_LIMIT);
  if (!text.ok)
    return text.error === 'too_large'
      ? refuse(413, `the body may have at most ${JSON_LIMIT} bytes`)
      : refuse(400, 'the body is not JSON in UTF-8');
  const parsed = parseStrict(text.value);
  if (!parsed.ok)
    return refuse(400, 'the body is not well-formed JSON: no key twice, no reserved key, at most 32 levels');
  return isObject(parsed.value) ? ok(parsed.value) : refuse(400, 'the body must be a JSON object');
}

const refuse = (status: number, error_description: string): Result<never, Answer> =>
  err({
    status,
    headers: { 'Cache-Control': 'no-store', Pragma: 'no-cache' },
    body: { error: 'invalid_request', error_description },
  });
