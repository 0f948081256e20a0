import { Fault } from '../base/index.js';
import { type Answer, type FormRequest, tooManyRequests } from '../protocol/index.js';
import type { HttpContext, Step } from './context.js';
import { FORM_LIMIT, outageAnswer, readForm, sendAnswer } from './form.js';
import { answerInTime } from './in-time.js';
import type { FailureLimit } from './limits.js';
import { type NetworkOf, rememberNetwork } from './network.js';
import { requestId } from './problem.js';
import type { DirectRoute } from './short-cut.js';

export type FormRoute = Readonly<{
  /** Whether this request is answered here; every other goes to `otherwise`. */
  ours(request: FormRequest): boolean;
  handle(request: FormRequest): Promise<Answer>;
  /** Answers the request itself; `raw` is the body that was read. */
  otherwise(ctx: HttpContext, raw: string): Promise<void>;
}>;

export type FormRouteDeps = Readonly<{
  report: (thrown: unknown, requestId: string) => void;
  networkOf: NetworkOf;
}>;

/** A POST of a form, answered in the words of OAuth whatever happens. */
export function formRoute(
  path: string,
  { ours, handle, otherwise }: FormRoute,
  { report, networkOf }: FormRouteDeps,
): DirectRoute {
  return {
    method: 'POST',
    path,
    handle: async (ctx) => {
      const read = await readForm(ctx, networkOf);
      if (!read.ok) sendAnswer(ctx, read.error);
      else if (ours(read.value.request))
        sendAnswer(
          ctx,
          await orOutage(
            answerInTime((isOver) => handle({ ...read.value.request, isOver })),
            (thrown) => {
              report(thrown, requestId(ctx));
            },
          ),
        );
      else await otherwise(ctx, read.value.raw);
    },
  };
}

/** An outage is a 5xx and never reads as a refusal; the cause goes to the operator alone. */
export async function orOutage(work: Promise<Answer>, report: (thrown: unknown) => void): Promise<Answer> {
  try {
    return await work;
  } catch (thrown) {
    report(thrown);
    return outageAnswer(thrown instanceof Fault && thrown.code !== 'internal');
  }
}

/** Tells a network that keeps failing to authenticate to wait, before its requests are read. Plain reading is not limited. */
export function limitFailures(limit: FailureLimit, networkOf: NetworkOf): Step {
  return async (ctx, next) => {
    const reads = (ctx.method === 'GET' || ctx.method === 'HEAD') && ctx.get('Authorization') === '';
    const from = networkOf(ctx.req);
    rememberNetwork(ctx.req, from);
    const network = reads ? undefined : from;
    const wait = network === undefined ? undefined : await limit.blocked(network);
    if (wait !== undefined) {
      // A new connection costs more than this answer, and Node.js throws a body away that nobody reads.
      if (!isSmall(ctx)) ctx.set('Connection', 'close');
      sendAnswer(ctx, tooManyRequests(wait));
      return;
    }
    await next();
    if (network !== undefined && ctx.res.statusCode === 401) await limit.failed(network);
  };
}

/** Whether reading the body to its end is no work to speak of. */
const isSmall = (ctx: HttpContext): boolean =>
  ctx.get('Transfer-Encoding') === '' && Number(ctx.get('Content-Length') || 0) <= FORM_LIMIT;
