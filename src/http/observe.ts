import { type Notes, type Trace, untraced } from '../protocol/index.js';
import type { HttpContext, Step } from './context.js';
import { requestId } from './problem.js';

/** One request, after it ended. `route` is a template of ours, `method` a known one or `other`: both are bounded sets. */
export type SeenRequest = Readonly<{
  requestId: string;
  /** The id under which the log of decisions has it, where it is another. */
  recordId: string | undefined;
  traceId: string | undefined;
  method: string;
  route: string;
  status: number;
  seconds: number;
  /** The connection ended before the answer did. */
  isCut: boolean;
  notes: Notes | undefined;
}>;

/** The span of one request; `end` is called once. */
export type RequestSpan = Readonly<{ trace: Trace; traceId: string; end(seen: SeenRequest): void }>;

export type Watch = Readonly<{
  /** Only where traces are kept. */
  beginSpan?: ((request: Readonly<{ method: string; traceparent: string }>) => RequestSpan) | undefined;
  onBegin?: (request: Readonly<{ requestId: string; method: string }>) => void;
  onEnd(seen: SeenRequest): void;
  /** The template of a path that no route of ours has. */
  routeOf(path: string): string;
  /** While true, every answer also ends its connection, so that its client turns to another process. */
  isStopping(): boolean;
}>;

/** Sees every request from its first to its last byte. */
export function observe(watch: Watch): Step {
  return async (ctx, next) => {
    const started = performance.now();
    const method = METHODS.has(ctx.method) ? ctx.method : 'other';
    const span = watch.beginSpan?.({ method, traceparent: ctx.get('traceparent') });
    const seen: Seen = { path: ctx.path, span, watch };
    known.set(ctx, seen);
    const id = requestId(ctx);
    watch.onBegin?.({ requestId: id, method });
    endWhenStopping(ctx);
    ctx.res.once('close', () => {
      const ended: SeenRequest = {
        requestId: id,
        recordId: seen.recordId,
        traceId: span?.traceId ?? seen.traceId,
        method,
        route: seen.route ?? watch.routeOf(seen.path),
        status: ctx.res.statusCode,
        seconds: (performance.now() - started) / 1000,
        isCut: !ctx.res.writableFinished,
        notes: seen.notes,
      };
      span?.end(ended);
      watch.onEnd(ended);
    });
    await next();
    endWhenStopping(ctx);
  };
}

/** A stop that began meanwhile: this connection takes no other request. */
export function endWhenStopping(ctx: HttpContext): void {
  if (known.get(ctx)?.watch.isStopping() === true && !ctx.headerSent) ctx.set('Connection', 'close');
}

type Seen = {
  readonly path: string;
  readonly span: RequestSpan | undefined;
  readonly watch: Pick<Watch, 'isStopping'>;
  route?: string;
  recordId?: string;
  traceId?: string | undefined;
  notes?: Notes;
};

const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

const known = new WeakMap<HttpContext, Seen>();

/** Remembers something about the request for whoever watches; without a watcher it is forgotten. */
export function note(ctx: HttpContext, facts: Partial<Pick<Seen, 'route' | 'recordId' | 'traceId' | 'notes'>>): void {
  const seen = known.get(ctx);
  if (seen !== undefined) Object.assign(seen, facts);
}

/** How the steps of this request are traced, and the id of that trace when it is our own. */
export function traceOf(ctx: HttpContext): Readonly<{ trace: Trace; traceId: string | undefined }> {
  return known.get(ctx)?.span ?? { trace: untraced, traceId: undefined };
}
