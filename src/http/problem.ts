import type { Context, Middleware } from 'koa';
import { Fault, type FaultCode, newId } from '../base/index.js';

/** Every problem that a JSON route of Writ answers with (RFC 9457). OAuth routes answer in the words of OAuth instead. */
export const PROBLEMS = {
  bad_path: { status: 400, title: 'The path is not valid' },
  invalid_json: { status: 400, title: 'The body is not JSON that Writ reads' },
  invalid_field: { status: 400, title: 'A field has a value that is not allowed' },
  unauthorized: { status: 401, title: 'A valid bearer token is needed' },
  not_found: { status: 404, title: 'There is nothing here' },
  method_not_allowed: { status: 405, title: 'This path has no such method' },
  in_use: { status: 409, title: 'Something else still needs this' },
  conflict: { status: 409, title: 'The state of the object does not allow this' },
  precondition_failed: { status: 412, title: 'The object was changed meanwhile' },
  too_large: { status: 413, title: 'The body is too large' },
  unsupported_media_type: { status: 415, title: 'The body must be application/json in UTF-8' },
  internal: { status: 500, title: 'Something broke inside Writ' },
  unavailable: { status: 503, title: 'Something that Writ depends on is down' },
} as const;
export type ProblemCode = keyof typeof PROBLEMS;

/** A field that is wrong: `param` is its path, such as `allow.0.scopes`. */
export type FieldProblem = Readonly<{ param: string; detail: string }>;

export type Problem = Readonly<{ code: ProblemCode; detail: string; fields?: readonly FieldProblem[] }>;

/** Where each code is explained. */
export const problemDoc = (code: ProblemCode): string => `/admin/v1/openapi.json#/x-problems/${code}`;

/** A problem without fields. */
export const plainProblem = (code: ProblemCode, detail: string = PROBLEMS[code].title): Problem => ({ code, detail });

/** A problem of fields: the first one is the one that a client of one field reads. */
export const fieldProblem = (fields: readonly FieldProblem[], code: ProblemCode = 'invalid_field'): Problem => ({
  code,
  detail: fields[0] === undefined ? PROBLEMS[code].title : `${fields[0].param}: ${fields[0].detail}`,
  fields,
});

/** Writes a problem as the answer: never cached, and with the id under which the log knows this request. */
export function answerProblem(ctx: Context, { code, detail, fields }: Problem): void {
  const { status, title } = PROBLEMS[code];
  ctx.status = status;
  ctx.set('Cache-Control', 'no-store');
  if (status === 503) ctx.set('Retry-After', '1');
  const param = fields?.[0]?.param;
  ctx.body = JSON.stringify({
    title,
    status,
    detail,
    code,
    ...(param === undefined ? {} : { param }),
    ...(fields !== undefined && fields.length > 1 ? { errors: fields } : {}),
    doc: problemDoc(code),
    request_id: requestId(ctx),
  });
  ctx.type = 'application/problem+json';
}

/** What a client may know of something thrown: an outage or a bug, and nothing of either. */
export const problemOfThrown = (thrown: unknown): Problem =>
  plainProblem(thrown instanceof Fault && OUTAGES.has(thrown.code) ? 'unavailable' : 'internal');

/** Answers whatever is thrown behind it, and hands it to `report`, which alone may see it. */
export function catchThrown(report: (thrown: unknown, requestId: string) => void): Middleware {
  return async (ctx, next) => {
    try {
      await next();
    } catch (thrown) {
      report(thrown, requestId(ctx));
      answerProblem(ctx, problemOfThrown(thrown));
    }
  };
}

/** The id of this request: the caller's `X-Request-Id` when it is harmless text, else a new one; echoed in the answer. */
export function requestId(ctx: Context): string {
  const known = ctx.res.getHeader('X-Request-Id');
  if (typeof known === 'string') return known;
  const given = ctx.get('X-Request-Id');
  const id = /^[A-Za-z0-9._-]{8,64}$/.test(given) ? given : newId('req');
  ctx.set('X-Request-Id', id);
  return id;
}

/** Down now, perhaps up in a second; every other fault is for a human to mend. */
const OUTAGES: ReadonlySet<FaultCode> = new Set([
  'database_unavailable',
  'registry_unsettled',
  'keys_unavailable',
  'issuer_keys_unavailable',
  'log_rejected',
]);
