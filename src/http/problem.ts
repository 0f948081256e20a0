import { Fault, type FaultCode, newId } from '../base/index.js';
import type { HttpContext, Step } from './context.js';

/** What there is to know of a kind of problem: `when` it comes, and what to `do` about it. */
type Known = Readonly<{ status: number; title: string; when: string; do: string }>;

/** Every problem that a JSON route of Writ answers with (RFC 9457). OAuth routes answer in the words of OAuth instead. */
export const PROBLEMS = {
  bad_path: {
    status: 400,
    title: 'The path is not valid',
    when: 'An id in the path is empty, longer than 512 characters, badly encoded or holds a control character.',
    do: 'Percent-encode the id, also its slashes and colons: https%3A%2F%2Fmcp.example.com%2Ffiles.',
  },
  invalid_json: {
    status: 400,
    title: 'The body is not JSON that Writ reads',
    when: 'It is no JSON, ended early, is nested too deep, or has a key twice, a reserved key or an inexact number.',
    do: 'Send what `detail` asks for.',
  },
  invalid_field: {
    status: 400,
    title: 'A field has a value that is not allowed',
    when: 'A field of the body, the query or a header is missing, unknown, malformed or against a rule of the registry.',
    do: 'Correct the field that `param` names; `errors` has all of them when there are several.',
  },
  unauthorized: {
    status: 401,
    title: 'A valid bearer token is needed',
    when: 'The Authorization header has no bearer token, or not the one of this Writ.',
    do: 'Send `Authorization: Bearer` with the admin token: WRIT_ADMIN_TOKEN, or the file admin-token in WRIT_DATA_DIR. Below /audit/v1 WRIT_AUDIT_TOKEN will do.',
  },
  not_found: {
    status: 404,
    title: 'There is nothing here',
    when: 'No object has this id, or the API has no such path.',
    do: 'List the objects to find the id; the paths are in openapi.json.',
  },
  method_not_allowed: {
    status: 405,
    title: 'This path has no such method',
    when: 'The path exists and is used with another method.',
    do: 'Use one of those in the Allow header.',
  },
  in_use: {
    status: 409,
    title: 'Something else still needs this',
    when: 'The object that would be removed is named by others, which `errors` lists.',
    do: 'Change those first, or retire this one: with status disabled it is refused everywhere and stays named.',
  },
  conflict: {
    status: 409,
    title: 'The state of the object does not allow this',
    when: 'What was asked does not go with what the object is now; `detail` says what.',
    do: 'Look at the object, and change it or wait as `detail` says.',
  },
  idempotency_key_in_use: {
    status: 409,
    title: 'A request with this idempotency key is still being answered',
    when: 'The same request came again before the first one was answered.',
    do: 'Wait a second and send it again with the same key, which answers what the first one answered.',
  },
  precondition_failed: {
    status: 412,
    title: 'The object was changed meanwhile',
    when: 'If-Match names another version than the present one, or If-None-Match: * and the object is there already.',
    do: 'Read the object again, make the change on what it is now, and send that with its new ETag.',
  },
  too_large: {
    status: 413,
    title: 'The body is too large',
    when: 'It has more bytes than the operation takes; `detail` says how many those are.',
    do: 'Send less, for example a document for `apply` in parts without `prune`.',
  },
  unsupported_media_type: {
    status: 415,
    title: 'The body must be application/json in UTF-8',
    when: 'Content-Type is another, the body is compressed, or its bytes are not UTF-8.',
    do: 'Send plain UTF-8 with Content-Type: application/json.',
  },
  idempotency_key_reused: {
    status: 422,
    title: 'This idempotency key belongs to another request',
    when: 'The key was used within 24 hours with another method, path, query, precondition or body.',
    do: 'Make a new key for each request, such as a UUID; repeat a key only to repeat its request.',
  },
  too_many_idempotency_keys: {
    status: 429,
    title: 'Too many idempotency keys of the last 24 hours are kept',
    when: 'As many keys are kept as Writ keeps at all.',
    do: 'Send the request without a key, or later.',
  },
  server_unreadable: {
    status: 502,
    title: 'The tools of the MCP server cannot be read',
    when: 'The live server that is to be imported does not answer, wants another token, or is no MCP server.',
    do: 'Look at the server as `detail` says, and import again.',
  },
  internal: {
    status: 500,
    title: 'Something broke inside Writ',
    when: 'A fault that only the operator can see.',
    do: 'Look for `request_id` in the log of the process, and report it.',
  },
  unavailable: {
    status: 503,
    title: 'Something that Writ depends on is down',
    when: 'The database or another service does not answer, or the registry kept changing under the request.',
    do: 'Try again after Retry-After, with the same idempotency key where there was one.',
  },
} as const satisfies Readonly<Record<string, Known>>;
export type ProblemCode = keyof typeof PROBLEMS;

/** A field that is wrong: `param` is its path, such as `allow.0.scopes`. */
export type FieldProblem = Readonly<{ param: string; detail: string }>;

export type Problem = Readonly<{ code: ProblemCode; detail: string; fields?: readonly FieldProblem[] }>;

/** Where the codes are explained. */
export const problemsAt = (issuer: string): string => `${issuer}/admin/v1/problems`;

/** The issuer that each request came to, since a problem says where it is explained. */
const issuers = new WeakMap<HttpContext, string>();

/** A problem without fields. */
export const plainProblem = (code: ProblemCode, detail: string = PROBLEMS[code].title): Problem => ({ code, detail });

/** A problem of fields: the first one is the one that a client of one field reads. */
export const fieldProblem = (fields: readonly FieldProblem[], code: ProblemCode = 'invalid_field'): Problem => ({
  code,
  detail: fields[0] === undefined ? PROBLEMS[code].title : `${fields[0].param}: ${fields[0].detail}`,
  fields,
});

/** Writes a problem as the answer: never cached, and with the id under which the log knows this request. */
export function answerProblem(ctx: HttpContext, { code, detail, fields }: Problem): void {
  const { status, title } = PROBLEMS[code];
  const issuer = issuers.get(ctx);
  ctx.status = status;
  ctx.set('Cache-Control', 'no-store');
  const retryAfter = RETRY_AFTER[status];
  if (retryAfter !== undefined) ctx.set('Retry-After', retryAfter);
  const param = fields?.[0]?.param;
  ctx.body = JSON.stringify({
    ...(issuer === undefined ? {} : { type: `${problemsAt(issuer)}/${code}` }),
    title,
    status,
    detail,
    code,
    ...(param === undefined ? {} : { param }),
    ...(fields !== undefined && fields.length > 1 ? { errors: fields } : {}),
    request_id: requestId(ctx),
  });
  ctx.type = 'application/problem+json';
}

const RETRY_AFTER: Readonly<Record<number, string>> = { 429: '3600', 503: '1' };

/** What a client may know of something thrown: an outage or a bug, and nothing of either. */
export const problemOfThrown = (thrown: unknown): Problem =>
  plainProblem(thrown instanceof Fault && OUTAGES.has(thrown.code) ? 'unavailable' : 'internal');

/** Answers whatever is thrown behind it, and hands it to `report`, which alone may see it. */
export function catchThrown(report: (thrown: unknown, requestId: string) => void, issuer: string): Step {
  return async (ctx, next) => {
    issuers.set(ctx, issuer);
    try {
      await next();
    } catch (thrown) {
      report(thrown, requestId(ctx));
      answerProblem(ctx, problemOfThrown(thrown));
    }
  };
}

/** The id of this request: the caller's `X-Request-Id` when it is harmless text, else a new one; echoed in the answer. */
export function requestId(ctx: HttpContext): string {
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
  'log_inconsistent',
  'overloaded',
]);
