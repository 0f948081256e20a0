import { err, newId, ok, type Result } from '../base/index.js';
import type { Answer, FormRequest } from '../protocol/index.js';
import { readText } from './body.js';
import type { HttpContext } from './context.js';
import type { NetworkOf } from './network.js';
import { endWhenStopping, note, traceOf } from './observe.js';
import { requestId } from './problem.js';

/** A form may be this large and have this many parameters; a token exchange with two tokens and arguments fits well. */
export const FORM_LIMIT = 64 * 1024;
const MAX_PARAMETERS = 64;

export type ReadForm = Readonly<{ request: FormRequest; raw: string }>;

/** Reads `application/x-www-form-urlencoded` (RFC 6749 appendix B) strictly, or says what is wrong with it in OAuth's words. */
export async function readForm(ctx: HttpContext, networkOf: NetworkOf): Promise<Result<ReadForm, Answer>> {
  if (ctx.querystring !== '') return refuse(400, 'parameters belong in the body, not in the URL');
  if (!/^application\/x-www-form-urlencoded(\s*;\s*charset="?utf-8"?)?$/i.test(ctx.get('Content-Type'))) {
    return refuse(400, 'Content-Type must be application/x-www-form-urlencoded');
  }
  const text = await readText(ctx, FORM_LIMIT);
  if (!text.ok)
    return text.error === 'too_large'
      ? refuse(413, `the body may have at most ${FORM_LIMIT} bytes`)
      : refuse(400, 'the body is not a form in UTF-8');
  const form = parseForm(text.value);
  if (form === undefined) return refuse(400, 'the body is not a well-formed form');
  const request = requestOf(ctx, form, networkOf);
  return ok({ request, raw: text.value });
}

/** The request around a body that was read. */
export function requestOf(ctx: HttpContext, form: FormRequest['form'], networkOf: NetworkOf): FormRequest {
  requestId(ctx);
  const traceparent = ctx.get('traceparent');
  const sentId = traceIdOf(traceparent);
  const { trace, traceId = sentId } = traceOf(ctx);
  const recordId = newId('req');
  note(ctx, { recordId, traceId });
  return {
    form,
    header: (name) => headerValues(ctx, name),
    requestId: recordId,
    traceId,
    traceparent: sentId === undefined ? undefined : traceparent,
    network: networkOf(ctx.req),
    trace,
    isOver: () => false,
  };
}

/** Writes an answer of one of our routes, all of it at once. */
export function sendAnswer(ctx: HttpContext, { status, headers, body, notes }: Answer): void {
  if (notes !== undefined) note(ctx, { notes });
  endWhenStopping(ctx);
  ctx.respond = false;
  const text = body === undefined ? '' : JSON.stringify(body);
  const type = body === undefined ? undefined : { 'Content-Type': 'application/json; charset=utf-8' };
  ctx.res.writeHead(status, { ...type, ...headers, 'Content-Length': Buffer.byteLength(text) });
  ctx.res.end(ctx.method === 'HEAD' ? undefined : text);
}

/** An OAuth answer for what is thrown: 503 with Retry-After, and nothing of the cause. */
export function outageAnswer(retry: boolean): Answer {
  const common = { 'Cache-Control': 'no-store', Pragma: 'no-cache' } as const;
  return retry
    ? {
        status: 503,
        notes: { outcome: 'outage', reason: 'unavailable' },
        headers: { ...common, 'Retry-After': '1' },
        body: {
          error: 'temporarily_unavailable',
          error_description: 'something that Writ depends on is down; try again',
        },
      }
    : {
        status: 500,
        notes: { outcome: 'outage', reason: 'internal' },
        headers: common,
        body: { error: 'server_error', error_description: 'something broke inside Writ' },
      };
}

function parseForm(text: string): Map<string, string[]> | undefined {
  const form = new Map<string, string[]>();
  if (text === '') return form;
  const pairs = text.split('&');
  if (pairs.length > MAX_PARAMETERS) return undefined;
  for (const pair of pairs) {
    const equals = pair.indexOf('=');
    const name = decode(equals < 0 ? pair : pair.slice(0, equals));
    const value = decode(equals < 0 ? '' : pair.slice(equals + 1));
    if (name === undefined || value === undefined || name === '') return undefined;
    const values = form.get(name);
    if (values) values.push(value);
    else form.set(name, [value]);
  }
  return form;
}

function decode(text: string): string | undefined {
  try {
    return /[%+]/.test(text) ? decodeURIComponent(text.replaceAll('+', ' ')) : text;
  } catch {
    return undefined;
  }
}

/** Node joins repeated headers; the raw list is the only place where two are still two. */
function headerValues(ctx: HttpContext, name: string): readonly string[] {
  const { rawHeaders, headers } = ctx.req;
  if (headers[name] === undefined) return [];
  const values: string[] = [];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    if (rawHeaders[at]?.toLowerCase() === name) values.push(rawHeaders[at + 1] ?? '');
  }
  return values;
}

/** W3C trace context level 1, section 3.2: version 00, a trace id that is not all zeros. */
function traceIdOf(traceparent: string): string | undefined {
  const id = /^00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/.exec(traceparent)?.[1];
  return id === undefined || /^0+$/.test(id) ? undefined : id;
}

const refuse = (status: number, error_description: string): Result<never, Answer> =>
  err({
    status,
    headers: { 'Cache-Control': 'no-store', Pragma: 'no-cache' },
    body: { error: 'invalid_request', error_description },
  });
