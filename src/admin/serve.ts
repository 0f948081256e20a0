import type { Context } from 'koa';
import { type AccessFailures, type AccessLog, harmless } from '../audit/index.js';
import type { Result } from '../base/index.js';
import { answerProblem, type PathParams, plainProblem, type Problem, requestId, tokenFailure } from '../http/index.js';
import { isAdministrator } from './guard.js';
import { answerOnce, type IdempotencyDeps } from './idempotency.js';
import { type Answer, isChange, type Operation } from './operation.js';

export type ServeDeps = IdempotencyDeps &
  Readonly<{
    /** Every change that is asked for, and every look at the log, is in it before it is answered. */
    access: AccessLog;
    /** SHA-256 of the bearer token; see adminTokenDigest. */
    adminTokenDigest: Uint8Array;
    /** Hears of whoever asks without it. */
    failures: AccessFailures;
  }>;

/** Answers one request to one operation: who asks, what is asked, and what is done about it, once for each idempotency key. */
export async function serve(operation: Operation, ctx: Context, params: PathParams, deps: ServeDeps): Promise<void> {
  ctx.set('Cache-Control', 'no-store');
  if (!operation.isOpen && !isAdministrator(ctx, deps.adminTokenDigest)) {
    deps.failures.note({ client: undefined, cause: tokenFailure(ctx), route: operation.path });
    ctx.set('WWW-Authenticate', 'Bearer realm="writ-admin"');
    answerProblem(ctx, plainProblem('unauthorized'));
    return;
  }
  const answer = await answerOf(operation, ctx, params, deps);
  if (answer.ok) write(ctx, answer.value);
  else answerProblem(ctx, answer.error);
}

async function answerOf(
  operation: Operation,
  ctx: Context,
  params: PathParams,
  deps: ServeDeps,
): Promise<Result<Answer, Problem>> {
  const ready = await operation.ready(ctx, params);
  if (!ready.ok) return ready;
  const { asked, run } = ready.value;
  const question = { ...params, ...Object.fromEntries(new URLSearchParams(ctx.querystring)) };
  const access = (filter: Readonly<Record<string, string>>): Promise<void> =>
    deps.access.note({
      ...{ who: 'administrator', what: operation.id, request: requestId(ctx) },
      filter: harmless(filter),
    });
  if (!isChange(operation)) {
    const answer = await run();
    if (operation.isRecorded) await access((answer.ok ? answer.value.noted : undefined) ?? question);
    return answer;
  }
  await access(question);
  const header = ctx.get('Idempotency-Key');
  if (header === '') return run();
  const request = JSON.stringify([ctx.method, ctx.path, asked]);
  const { answer, isReplay } = await answerOnce({ header, request, run }, deps);
  if (isReplay) ctx.set('Idempotent-Replayed', 'true');
  return answer;
}

function write(ctx: Context, { status, body, headers }: Answer): void {
  requestId(ctx);
  for (const [name, value] of Object.entries(headers ?? {})) ctx.set(name, value);
  ctx.body = body === undefined ? null : harmlessJson(body);
  ctx.status = status;
  if (body !== undefined) ctx.type = 'application/json';
}

/** JSON that may be printed as it is: what would steer a terminal, or show text in another order, is escaped. */
const harmlessJson = (body: object): string =>
  JSON.stringify(body).replace(
    /[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
