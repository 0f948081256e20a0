import type { Context, Middleware } from 'koa';
import { note } from './observe.js';
import { answerProblem, plainProblem } from './problem.js';

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';
export type PathParams = Readonly<Record<string, string>>;

/** One method of one path. `path` is exact; a segment such as `:id` matches any one segment and is handed over decoded. */
export type Route = Readonly<{
  method: Method;
  path: string;
  handle: (ctx: Context, params: PathParams) => Promise<void> | void;
}>;

/**
 * Serves exactly these routes. Below a prefix of `owns` nothing else exists: an unknown path is 404 there. A known path
 * with another method is 405. Every other request passes on. HEAD is GET without a body, as Koa does it.
 */
export function router(routes: readonly Route[], owns: readonly string[] = []): Middleware {
  const exact = new Map<string, Target>();
  const patterns: { segments: readonly string[]; target: Target }[] = [];
  for (const route of routes) addRoute(route, exact, patterns);

  return async (ctx, next) => {
    const found = find(ctx.path);
    if (found === undefined) {
      const isOurs = owns.some((prefix) => ctx.path === prefix || ctx.path.startsWith(`${prefix}/`));
      if (!isOurs) {
        await next();
        return;
      }
      note(ctx, { route: 'none' });
      answerProblem(ctx, plainProblem('not_found'));
      return;
    }
    note(ctx, { route: found.template });
    const handle = found.target.get(ctx.method === 'HEAD' ? 'GET' : ctx.method);
    if (handle === undefined) refuseMethod(ctx, found.target);
    else if (found.params === undefined) answerProblem(ctx, plainProblem('bad_path'));
    else await handle(ctx, found.params);
  };

  function find(path: string): { template: string; target: Target; params: PathParams | undefined } | undefined {
    const target = exact.get(path);
    if (target !== undefined) return { template: path, target, params: {} };
    if (patterns.length === 0) return undefined;
    const parts = path.split('/');
    const pattern = patterns.find(({ segments }) => fits(segments, parts));
    if (pattern === undefined) return undefined;
    const template = pattern.segments.join('/');
    return { template, target: pattern.target, params: paramsOf(pattern.segments, parts) };
  }
}

type Target = Map<string, Route['handle']>;

function addRoute(
  { method, path, handle }: Route,
  exact: Map<string, Target>,
  patterns: { segments: readonly string[]; target: Target }[],
): void {
  const segments = path.split('/');
  const known = path.includes('/:')
    ? patterns.find((pattern) => pattern.segments.join('/') === path)?.target
    : exact.get(path);
  const target: Target = known ?? new Map<string, Route['handle']>();
  if (target.has(method)) throw new TypeError(`two routes for ${method} ${path}`);
  target.set(method, handle);
  if (known !== undefined) return;
  if (path.includes('/:')) patterns.push({ segments, target });
  else exact.set(path, target);
}

const fits = (segments: readonly string[], parts: readonly string[]): boolean =>
  segments.length === parts.length && segments.every((segment, i) => segment.startsWith(':') || segment === parts[i]);

/** `undefined` when a segment is empty, too long, badly encoded or holds a control character. */
function paramsOf(segments: readonly string[], parts: readonly string[]): PathParams | undefined {
  const params: Record<string, string> = {};
  for (const [i, segment] of segments.entries()) {
    if (!segment.startsWith(':')) continue;
    const value = decode(parts[i] ?? '');
    if (value === undefined) return undefined;
    params[segment.slice(1)] = value;
  }
  return params;
}

function decode(part: string): string | undefined {
  try {
    const text = decodeURIComponent(part);
    return text === '' || text.length > 512 || /[\u0000-\u001f\u007f]/.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}

function refuseMethod(ctx: Context, target: Target): void {
  const methods = [...target.keys()].flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
  ctx.set('Allow', methods.join(', '));
  answerProblem(ctx, plainProblem('method_not_allowed'));
}
