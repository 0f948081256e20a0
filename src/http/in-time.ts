import type { IncomingMessage } from 'node:http';
import { Fault } from '../base/index.js';
import type { Route } from './router.js';

/** However many steps an answer takes, whoever waits is told after this long to come back. */
export const ANSWER_WITHIN_MS = 5_000;

/**
 * Begins work that must be answered in time, else throws the Fault that says so. From then on `isOver` is true: what is
 * under way may still be recorded, and is a token that nobody holds; nothing new may begin. A body that is still on its
 * way is waited for: slow clients have a limit of their own.
 */
export function answerInTime<T>(
  begin: (isOver: () => boolean) => Promise<T>,
  request?: Pick<IncomingMessage, 'complete'>,
  withinMs: number = ANSWER_WITHIN_MS,
): Promise<T> {
  let over = false;
  let timer: NodeJS.Timeout | undefined;
  return new Promise((resolve, reject) => {
    const end = (): void => {
      if (request?.complete === false) {
        timer = setTimeout(end, withinMs);
        return;
      }
      over = true;
      reject(new Fault('database_unavailable', `The database does not answer within ${withinMs} ms.`));
    };
    timer = setTimeout(end, withinMs);
    void begin(() => over)
      .then(resolve, reject)
      .then(() => {
        clearTimeout(timer);
      });
  });
}

/** The same route, which throws a Fault when it is not answered in time. */
export const answeredInTime = (route: Route): Route => ({
  ...route,
  handle: (ctx, params) => answerInTime(async () => route.handle(ctx, params), ctx.req),
});
