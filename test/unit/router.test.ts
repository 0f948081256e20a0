import { createServer, request as send, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import Koa from 'koa';
import { Fault } from '../../src/base/index.js';
import { answerProblem, catchThrown, readJson, router } from '../../src/http/index.js';

const thrown: [unknown, string][] = [];
let server: Server;
let base: string;

beforeAll(async () => {
  const app = new Koa();
  app.use(catchThrown((fault, id) => thrown.push([fault, id]), 'https://writ.example/in'));
  app.use(
    router(
      [
        { method: 'GET', path: '/own/things', handle: (ctx) => void (ctx.body = { list: true }) },
        { method: 'GET', path: '/own/things/:id', handle: (ctx, { id }) => void (ctx.body = { id }) },
        { method: 'PUT', path: '/own/things/:id', handle: (ctx, params) => void (ctx.body = params) },
        {
          method: 'POST',
          path: '/own/read',
          handle: async (ctx) => {
            const json = await readJson(ctx, 100);
            if (json.ok) ctx.body = { read: json.value ?? null };
            else answerProblem(ctx, json.error);
          },
        },
        {
          method: 'GET',
          path: '/own/outage',
          handle: () => Promise.reject(new Fault('database_unavailable', 'host db.internal refused')),
        },
        { method: 'GET', path: '/own/bug', handle: () => Promise.reject(new TypeError('secret text')) },
      ],
      ['/own'],
    ),
  );
  app.use((ctx) => void (ctx.body = 'passed on'));
  const handler = app.callback();
  server = createServer((req, res) => void handler(req, res)).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  const { port } = isAddress(address) ? address : { port: 0 };
  base = `http://127.0.0.1:${port}`;
});

afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const isAddress = (address: AddressInfo | string | null): address is AddressInfo =>
  typeof address === 'object' && address !== null;

type Answer = { status: number; body: unknown; headers: Headers };

async function ask(
  path: string,
  init: { method?: string; body?: string | Buffer; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const response = await fetch(`${base}${path}`, {
    ...init,
    headers: { 'X-Request-Id': 'req_test_1', ...init.headers },
  });
  const text = await response.text();
  const isJson = (response.headers.get('Content-Type') ?? '').includes('json');
  return { status: response.status, body: isJson && text !== '' ? JSON.parse(text) : text, headers: response.headers };
}

const problem = (status: number, code: string, title: string, detail = title): object => ({
  type: `https://writ.example/in/admin/v1/problems/${code}`,
  title,
  status,
  detail,
  code,
  request_id: 'req_test_1',
});

describe('the router', () => {
  it('serves an exact path, and a segment decoded', async () => {
    expect(await ask('/own/things')).toMatchObject({ status: 200, body: { list: true } });
    expect((await ask('/own/things/https%3A%2F%2Fa.example%2Ffiles')).body).toStrictEqual({
      id: 'https://a.example/files',
    });
  });

  it('passes on what is not below its prefix', async () => {
    expect((await ask('/owned')).body).toBe('passed on');
    expect((await ask('/elsewhere/own/things')).body).toBe('passed on');
  });

  it.each(['/own', '/own/', '/own/things/', '/own/things/a/b', '/own/Things', '/own//things'])(
    'knows nothing at %s',
    async (path) => {
      const { status, body } = await ask(path);
      expect({ status, body }).toStrictEqual(
        path === '/own/things/'
          ? { status: 400, body: problem(400, 'bad_path', 'The path is not valid') }
          : { status: 404, body: problem(404, 'not_found', 'There is nothing here') },
      );
    },
  );

  it.each(['%', '%zz', '%C0%AF', '%00', 'a%0Ab', 'x'.repeat(513)])('refuses the segment %s', async (segment) => {
    const { status, body } = await ask(`/own/things/${segment}`);
    expect({ status, body }).toStrictEqual({ status: 400, body: problem(400, 'bad_path', 'The path is not valid') });
  });

  it('names the methods of a path that has others', async () => {
    const { status, body, headers } = await ask('/own/things/a', { method: 'DELETE' });
    expect(status).toBe(405);
    expect(headers.get('Allow')).toBe('GET, HEAD, PUT');
    expect(body).toStrictEqual(problem(405, 'method_not_allowed', 'This path has no such method'));
  });

  it('answers HEAD as GET without a body', async () => {
    expect(await ask('/own/things', { method: 'HEAD' })).toMatchObject({ status: 200, body: '' });
  });
});

describe('a JSON body', () => {
  const post = (body: string | Buffer, type = 'application/json', more: Record<string, string> = {}): Promise<Answer> =>
    ask('/own/read', { method: 'POST', body, headers: { 'Content-Type': type, ...more } });

  it('is read, and may be absent', async () => {
    expect((await post('{"a":[1]}', 'application/json; charset=UTF-8')).body).toStrictEqual({ read: { a: [1] } });
    expect((await ask('/own/read', { method: 'POST' })).body).toStrictEqual({ read: null });
  });

  it.each([
    ['is not JSON', '{"a":', 'The body is not JSON'],
    ['names a key twice', '{"a":1,"\\u0061":2}', 'The body names one key twice'],
    [
      'reaches a prototype',
      '{"__proto__":{"x":1}}',
      'The body uses a reserved key (__proto__, constructor or prototype)',
    ],
    ['is too deep', '['.repeat(33) + ']'.repeat(33), 'The body is nested deeper than 32 levels'],
  ])('is refused when it %s', async (_, text, detail) => {
    const { status, body } = await post(text);
    expect({ status, body }).toStrictEqual({
      status: 400,
      body: problem(400, 'invalid_json', 'The body is not JSON that Writ reads', detail),
    });
  });

  it.each(['text/plain', 'application/x-www-form-urlencoded', 'application/json; charset=utf-16', 'application/jsonp'])(
    'is refused as %s',
    async (type) => {
      const { status, body } = await post('{}', type);
      expect({ status, body }).toStrictEqual({
        status: 415,
        body: problem(415, 'unsupported_media_type', 'The body must be application/json in UTF-8'),
      });
    },
  );

  it('is refused compressed, and when it is not UTF-8', async () => {
    expect(await post('{}', 'application/json', { 'Content-Encoding': 'gzip' })).toMatchObject({ status: 415 });
    expect(await post(Buffer.from([0x22, 0xff, 0x22]))).toMatchObject({ status: 415 });
  });

  it('is refused above its limit, whether it says its size or not', async () => {
    const tooLarge = problem(413, 'too_large', 'The body is too large', 'The body may have at most 100 bytes');
    expect((await post(JSON.stringify('x'.repeat(99)))).body).toStrictEqual(tooLarge);
    expect(await chunked(JSON.stringify('x'.repeat(200_000)))).toStrictEqual({ status: 413, body: tooLarge });
    expect((await post(JSON.stringify('x'.repeat(98)))).status).toBe(200);
  });
});

describe('something thrown', () => {
  it('is an outage to retry when a fault says so, and shows nothing of it', async () => {
    const { status, body, headers } = await ask('/own/outage');
    expect(status).toBe(503);
    expect(headers.get('Retry-After')).toBe('1');
    expect(headers.get('X-Request-Id')).toBe('req_test_1');
    expect(body).toStrictEqual(problem(503, 'unavailable', 'Something that Writ depends on is down'));
    expect(thrown.at(-1)).toStrictEqual([expect.any(Fault), 'req_test_1']);
  });

  it('is a bug otherwise, and shows nothing of it', async () => {
    const { status, body, headers } = await ask('/own/bug');
    expect(status).toBe(500);
    expect(headers.get('Retry-After')).toBeNull();
    expect(body).toStrictEqual(problem(500, 'internal', 'Something broke inside Writ'));
  });

  it('gets an id of its own when the caller sent none that is harmless', async () => {
    const { headers } = await ask('/own/bug', { headers: { 'X-Request-Id': 'a b<script>' } });
    expect(headers.get('X-Request-Id')).toMatch(/^req_[\w-]{22}$/);
  });
});

function chunked(text: string): Promise<{ status: number | undefined; body: unknown }> {
  return new Promise((resolve, reject) => {
    const headers = { 'Content-Type': 'application/json', 'X-Request-Id': 'req_test_1' };
    const request = send(`${base}/own/read`, { method: 'POST', headers }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
      response.on('end', () => {
        request.destroy();
        resolve({ status: response.statusCode, body: JSON.parse(body) });
      });
    });
    request.on('error', (fault: NodeJS.ErrnoException) => {
      if (fault.code !== 'ECONNRESET' && fault.code !== 'EPIPE') reject(fault);
    });
    request.write(text);
  });
}
