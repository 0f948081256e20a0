import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
import Koa from 'koa';
import { catchThrown, type DirectRoute, router, sendAnswer, shortCut, type Step } from '../../src/http/index.js';

const ISSUER = 'https://writ.example';
const reported: unknown[] = [];
const caught = catchThrown((thrown) => reported.push(thrown), ISSUER);

const answering: DirectRoute = {
  method: 'POST',
  path: '/token',
  handle: (ctx) => {
    sendAnswer(ctx, { status: 200, headers: { 'Cache-Control': 'no-store' }, body: { by: ctx.path } });
    return Promise.resolve();
  },
};
const throwing: DirectRoute = {
  method: 'POST',
  path: '/revoke',
  handle: () => Promise.reject(new Error('broken')),
};

/** The same routes behind Koa, and before it. */
function both(steps: readonly Step[]): Readonly<Record<'koa' | 'direct', RequestListener>> {
  const koa = new Koa();
  for (const step of steps) koa.use(step);
  koa.use(router([answering, throwing]));
  const behind = koa.callback();
  const listener: RequestListener = (request, response) => void behind(request, response);
  const report = (thrown: unknown): number => reported.push(thrown);
  return { koa: listener, direct: shortCut([answering, throwing], steps, { otherwise: listener, report }) };
}

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
  reported.length = 0;
});

async function ask(
  listener: RequestListener,
  path: string,
  method = 'POST',
): Promise<Readonly<{ status: number; headers: Record<string, string>; body: string }>> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => server.close());
  const { port } = server.address() as AddressInfo;
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {
    method,
    headers: { 'X-Request-Id': 'req-12345678' },
  });
  const { date, ...headers } = Object.fromEntries(response.headers);
  expect(date).toBeDefined();
  return { status: response.status, headers, body: await response.text() };
}

describe('a short cut past Koa', () => {
  it.each(['/token', '/revoke', '/token?a=b', '/token/', '//token', '/else'])(
    'answers POST %s in every header and byte as Koa does',
    async (path) => {
      const { koa, direct } = both([caught]);
      expect(await ask(direct, path)).toEqual(await ask(koa, path));
    },
  );

  it.each(['GET', 'HEAD', 'PUT', 'OPTIONS'])('leaves %s to Koa', async (method) => {
    const { koa, direct } = both([caught]);
    expect(await ask(direct, '/token', method)).toEqual(await ask(koa, '/token', method));
  });

  it('runs every layer around the route, the first one outermost', async () => {
    const order: string[] = [];
    const layer =
      (name: string): Step =>
      async (_ctx, next) => {
        order.push(`${name} in`);
        await next();
        order.push(`${name} out`);
      };
    await ask(both([layer('a'), layer('b')]).direct, '/token');
    expect(order).toEqual(['a in', 'b in', 'b out', 'a out']);
  });

  it('reports what is thrown past every layer, and ends the connection', async () => {
    const { direct } = both([]);
    await expect(ask(direct, '/revoke')).rejects.toThrow('fetch failed');
    expect(reported).toEqual([new Error('broken')]);
  });
});
