import type { Route } from './router.js';

/** `/livez`: the process answers. `/readyz`: it can do its work; 503 names what is missing and nothing more. */
export function healthRoutes(
  mount: string,
  ping: () => Promise<void>,
  report: (thrown: unknown) => void,
): readonly Route[] {
  const live: Route['handle'] = (ctx) => {
    ctx.body = { status: 'live' };
  };
  const ready: Route['handle'] = async (ctx) => {
    try {
      await ping();
      ctx.body = { status: 'ready' };
    } catch (thrown) {
      report(thrown);
      ctx.status = 503;
      ctx.body = { status: 'not_ready', reason: 'database_unavailable' };
    }
  };
  return [
    { method: 'GET', path: `${mount}/livez`, handle: live },
    { method: 'GET', path: `${mount}/readyz`, handle: ready },
  ];
}
