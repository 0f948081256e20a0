import type { Middleware } from 'koa';
import { answerProblem, plainProblem } from './problem.js';

/**
 * RFC 9112 section 3.2: a request whose target has no path is refused before anybody else looks at it. Of some that are no
 * URL the path is null, whatever Koa's types say, and of others reading it throws; behind this it is text.
 */
export function refuseUnreadableTarget(): Middleware {
  return async (ctx, next) => {
    if (hasPath(ctx)) await next();
    else answerProblem(ctx, plainProblem('bad_path'));
  };
}

function hasPath(request: Readonly<{ path: unknown }>): boolean {
  try {
    return typeof request.path === 'string' && request.path.startsWith('/');
  } catch {
    return false;
  }
}
