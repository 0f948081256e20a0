import { timingSafeEqual } from 'node:crypto';
import type { Context } from 'koa';
import { answerProblem, plainProblem } from './problem.js';
import type { Route } from './router.js';

/** Why this process should get no requests now. */
export type NotReady =
  | 'stopping'
  | 'database_unavailable'
  | 'database_slow'
  | 'migrations_missing'
  | 'keys_unavailable'
  | 'registry_unreadable'
  | 'log_behind'
  | 'log_inconsistent';

/** `/livez`: the process answers. `/readyz`: it can do its work; 503 lists the reasons why not and nothing more. */
export function healthRoutes(mount: string, reasons: () => Promise<readonly NotReady[]>): readonly Route[] {
  const live: Route['handle'] = (ctx) => {
    ctx.set('Cache-Control', 'no-store');
    ctx.body = { status: 'live' };
  };
  const ready: Route['handle'] = async (ctx) => {
    const missing = await reasons();
    ctx.set('Cache-Control', 'no-store');
    if (missing.length > 0) ctx.status = 503;
    ctx.body = missing.length === 0 ? { status: 'ready' } : { status: 'not_ready', reasons: missing };
  };
  return [
    { method: 'GET', path: `${mount}/livez`, handle: live },
    { method: 'GET', path: `${mount}/readyz`, handle: ready },
  ];
}

/** `/metrics` in the text format of Prometheus; with a token, only for its bearer (RFC 6750 section 2.1). */
export function metricsRoute(mount: string, scrape: () => Promise<string>, mayRead: (ctx: Context) => boolean): Route {
  return {
    method: 'GET',
    path: `${mount}/metrics`,
    handle: async (ctx) => {
      if (!mayRead(ctx)) {
        ctx.set('WWW-Authenticate', 'Bearer');
        answerProblem(ctx, plainProblem('unauthorized'));
        return;
      }
      ctx.set('Cache-Control', 'no-store');
      ctx.type = 'text/plain; version=0.0.4; charset=utf-8';
      ctx.body = await scrape();
    },
  };
}

/** Compares digests, in constant time. */
export function isBearerOf(ctx: Context, digest: Uint8Array, digestOf: (token: string) => Uint8Array): boolean {
  const [, token] = /^Bearer ([A-Za-z0-9\-._~+/]{1,512}=*)$/i.exec(ctx.get('Authorization')) ?? [];
  const isSame = timingSafeEqual(digestOf(token ?? ''), digest);
  return token !== undefined && isSame;
}

/** Checks at most once a second however often it is asked, and gives an answer that takes too long up. */
export function readiness(
  check: () => Promise<readonly NotReady[]>,
  { everyMs = 1_000, giveUpMs = 3_000 } = {},
): () => Promise<readonly NotReady[]> {
  let known: Readonly<{ at: number; reasons: Promise<readonly NotReady[]> }> | undefined;
  return () => {
    const now = performance.now();
    if (known === undefined || now - known.at >= everyMs) known = { at: now, reasons: within(check(), giveUpMs) };
    return known.reasons;
  };
}

function within(work: Promise<readonly NotReady[]>, ms: number): Promise<readonly NotReady[]> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      resolve(['database_slow']);
    }, ms);
    work.then(resolve, reject).finally(() => {
      clearTimeout(timer);
    });
  });
}

/** Why a request is refused before anybody is known: for the record of it. */
export const tokenFailure = (ctx: Context): 'no_token' | 'wrong_token' =>
  ctx.get('Authorization') === '' ? 'no_token' : 'wrong_token';
