import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createVerifier, memoryOnceStore, type Refused, type VerifierOptions } from '../../src/sdk/verifier/index.js';
import { TestIssuer } from '../support/issuer.js';
import { callText, post, startMcp } from '../support/mcp.js';

const ARGS = '{"path":"/a"}';
let issuer: TestIssuer;
let introspection: NonNullable<VerifierOptions['introspection']>;
beforeAll(async () => {
  issuer = await TestIssuer.start();
  introspection = { clientId: 'mcp1', key: await issuer.register('mcp1') };
});
afterAll(() => issuer.close());

const call = (url: string, token: string) =>
  post(url, callText('write_file', ARGS), { authorization: `Bearer ${token}` });
const statuses = async (answers: Promise<Response>[]): Promise<number[]> =>
  (await Promise.all(answers)).map(({ status }) => status).sort();

describe('the uses of a token', () => {
  it('TL-13 are counted at Writ for two replicas of one server', async () => {
    const resource = 'https://mcp1.example/replicated';
    const verifiers = [1, 2].map(() => createVerifier({ issuer: issuer.url, resource, introspection, uses: 'writ' }));
    const token = await issuer.token(resource, 'write_file');
    const request = () =>
      new Request(resource, {
        method: 'POST',
        body: callText('write_file', ARGS),
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      });
    const ran: string[] = [];
    const handlers = verifiers.map((verifier, i) =>
      verifier.guard().fetch(() => {
        ran.push(`replica ${String(i)}`);
        return Promise.resolve(new Response('done'));
      }),
    );
    expect(await statuses(handlers.flatMap((handler) => Array.from({ length: 5 }, () => handler(request()))))).toEqual([
      200,
      ...Array.from({ length: 9 }, () => 401),
    ]);
    expect(ran).toHaveLength(1);
  });

  it('are counted once by replicas that share a store', async () => {
    const resource = 'https://mcp1.example/shared';
    const clock = { now: () => Math.floor(Date.now() / 1000) };
    const once = memoryOnceStore(clock);
    const guards = [1, 2].map(() =>
      createVerifier({ issuer: issuer.url, resource, once })
        .guard()
        .fetch(() => Promise.resolve(new Response('done'))),
    );
    const token = await issuer.token(resource, 'write_file');
    const headers = { authorization: `Bearer ${token}` };
    const answers = guards.map((guard) =>
      guard(new Request(resource, { method: 'POST', body: callText('write_file', ARGS), headers })),
    );
    expect(await statuses(answers)).toEqual([200, 401]);
  });

  it('of a token from before the start count as used, since a restart forgets', async () => {
    const server = await startMcp('v2 fetch', { issuer: issuer.url });
    const now = Math.floor(Date.now() / 1000);
    const before = await issuer.token(server.resource, 'write_file', {}, { iat: now - 60, exp: now + 60 });
    expect((await call(server.url, before)).status).toBe(401);
    expect((await call(server.url, await issuer.token(server.resource, 'write_file'))).status).toBe(200);
    await server.close();
  });

  it('are never taken when the store fails', async () => {
    const server = await startMcp('v2 fetch', {
      issuer: issuer.url,
      once: { take: () => Promise.reject(new Error('store is down')) },
    });
    const response = await call(server.url, await issuer.token(server.resource, 'write_file'));
    expect(response.status).toBe(503);
    expect(server.ran).toEqual([]);
    await server.close();
  });

  it('of an exact call are never taken without Writ', async () => {
    const server = await startMcp('v2 fetch', { issuer: issuer.url });
    const { parseArguments } = await import('../../src/protocol/index.js');
    const read = parseArguments(ARGS);
    const token = await issuer.token(server.resource, 'write_file', {
      arguments_sha256: read.ok ? read.value.sha256 : '',
    });
    const response = await call(server.url, token);
    expect(response.status).toBe(500);
    expect(await response.json()).toEqual({
      error: 'server_error',
      error_description: 'The access token cannot be checked right now.',
    });
    expect(server.ran).toEqual([]);
    await server.close();
  });

  it('of an exact call are counted here when Writ says that no tool of it is grave', async () => {
    const refused: Refused[] = [];
    const resource = 'https://mcp1.example/exact';
    const guarded = createVerifier({ issuer: issuer.url, resource })
      .guard({ onRefused: (one) => refused.push(one) })
      .fetch(() => Promise.resolve(new Response('done')));
    const { parseArguments } = await import('../../src/protocol/index.js');
    const read = parseArguments(ARGS);
    const writ = { decision: 'd', policy: 'p', session: 's', seen: 1, leaf: 'A'.repeat(43), uses: 'local' };
    const token = await issuer.token(
      resource,
      'write_file',
      { arguments_sha256: read.ok ? read.value.sha256 : '' },
      { writ },
    );
    const send = (sent: string, authorization = `Bearer ${token}`) =>
      guarded(
        new Request(resource, { method: 'POST', body: callText('write_file', sent), headers: { authorization } }),
      );
    const changed = await send('{"path":"/b"}');
    expect(await changed.json()).toMatchObject({ result: { isError: true } });
    expect([(await send(ARGS)).status, (await send(ARGS)).status, (await send(ARGS, 'Bearer x')).status]).toEqual([
      200, 401, 401,
    ]);
    expect(refused).toEqual([
      { reason: 'arguments_changed', tool: 'write_file' },
      { reason: 'used_up', tool: 'write_file' },
      { reason: 'malformed_token', tool: undefined },
    ]);
  });
});

describe('memoryOnceStore', () => {
  it('refuses rather than forgets when it is full, and forgets what has expired', () => {
    let now = 100;
    const store = memoryOnceStore({ now: () => now }, 2);
    expect(store.take('a', 1, 110)).toBe(true);
    expect(store.take('b', 1, 120)).toBe(true);
    expect(() => store.take('c', 1, 120)).toThrow('cannot be checked');
    expect(store.take('a', 1, 110)).toBe(false);
    now = 111;
    expect(store.take('c', 1, 130)).toBe(true);
    expect(store.take('b', 1, 120)).toBe(false);
  });
});

describe('introspection', () => {
  const resource = 'https://mcp1.example/asked';
  const asking = () => createVerifier({ issuer: issuer.url, resource, introspection });

  it('answers with the claims of a token that is active', async () => {
    const claims = issuer.claims(resource);
    expect(await asking().introspect(await issuer.sign(claims))).toEqual({ active: true, claims });
  });

  it('consumes a use of the named tool only', async () => {
    const token = await issuer.token(resource, 'write_file');
    expect(await asking().introspect(token)).toMatchObject({ active: true });
    expect(await asking().introspect(token, { consume: 'read_file' })).toEqual({ active: false });
    expect(await asking().introspect(token, { consume: 'write_file' })).toMatchObject({ active: true });
    expect(await asking().introspect(token, { consume: 'write_file' })).toEqual({ active: false });
  });

  it.each([
    ['a string that says true', { active: 'true' }],
    ['nothing', {}],
    ['claims that are none', { active: true }],
    ['a list', []],
  ])('reads %s as an outage', async (_, body) => {
    const check = asking();
    await check.verifyAccessToken(await issuer.sign(issuer.claims(resource)));
    await check.introspect('x');
    issuer.instead.push((_request, response) =>
      Boolean(response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))),
    );
    await expect(check.introspect('x')).rejects.toMatchObject({
      code: 'server_error',
      reason: 'introspection_unavailable',
    });
  });

  it('of another token than the one that was sent is no permission', async () => {
    const other = await issuer.sign(issuer.claims(resource));
    const fetch = (url: string, init: RequestInit) => {
      if (!url.endsWith('/introspect')) return globalThis.fetch(url, init);
      const form = new URLSearchParams(init.body as URLSearchParams);
      form.set('token', other);
      form.delete('consume');
      return globalThis.fetch(url, { ...init, body: form });
    };
    const guarded = createVerifier({ issuer: issuer.url, resource, introspection, uses: 'writ', fetch })
      .guard()
      .fetch(() => Promise.resolve(new Response('done')));
    const token = await issuer.token(resource, 'write_file');
    const response = await guarded(
      new Request(resource, {
        method: 'POST',
        body: callText('write_file', ARGS),
        headers: { authorization: `Bearer ${token}` },
      }),
    );
    expect(response.status).toBe(401);
  });

  it('gives up after its time', async () => {
    const check = createVerifier({ issuer: issuer.url, resource, introspection, timeoutMs: 200 });
    await check.introspect('x');
    issuer.instead.push(() => true);
    const started = performance.now();
    await expect(check.introspect('x')).rejects.toMatchObject({ reason: 'introspection_unavailable' });
    expect(performance.now() - started).toBeLessThan(1_500);
  });
});
