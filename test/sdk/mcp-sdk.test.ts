import { createServer, type RequestListener } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { requireBearerAuth as requireBearerAuthV2Express } from '@modelcontextprotocol/express';
import { toNodeHandler } from '@modelcontextprotocol/node';
import * as v1Errors from '@modelcontextprotocol/sdk/server/auth/errors.js';
import { requireBearerAuth as requireBearerAuthV1 } from '@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js';
import { createMcpHandler, McpServer, requireBearerAuth, type OAuthTokenVerifier } from '@modelcontextprotocol/server';
import express from 'express';
import { z } from 'zod';
import { createVerifier, type Verifier, type VerifierOptions } from '../../src/sdk/verifier/index.js';
import { TestIssuer } from '../support/issuer.js';
import { callText, close, origin, post, rpcOf } from '../support/mcp.js';

const RESOURCE = 'https://mcp1.example/files';
let issuer: TestIssuer;
beforeAll(async () => {
  issuer = await TestIssuer.start();
});
afterAll(() => issuer.close());

type Middleware = (request: never, response: never, next: (error?: unknown) => void) => void;
type Started = { url: string; stop(): Promise<void> };

/** An Express app that answers 200 with the bearer information that got through these middlewares. */
async function behind(...middlewares: Middleware[]): Promise<Started> {
  const app = express();
  for (const middleware of middlewares) app.use(middleware as never);
  app.use((request, response) => void response.json({ auth: (request as { auth?: unknown }).auth ?? null }));
  return listen(app);
}

async function listen(listener: RequestListener): Promise<Started> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve).unref());
  return { url: origin(server), stop: () => close(server) };
}

const gates: [string, (verifier: Verifier) => Promise<Started>, Partial<VerifierOptions>][] = [
  [
    'v1',
    (verifier) => behind(requireBearerAuthV1({ verifier, resourceMetadataUrl: 'https://m.example/prm' }) as Middleware),
    { errors: v1Errors },
  ],
  [
    'v2 for Express',
    (verifier) =>
      behind(requireBearerAuthV2Express({ verifier, resourceMetadataUrl: 'https://m.example/prm' }) as Middleware),
    {},
  ],
  [
    'v2 for fetch',
    (verifier) => {
      const gate = requireBearerAuth({
        verifier,
        resourceMetadataUrl: 'https://m.example/prm',
        expectedResource: new URL(RESOURCE),
      });
      const fetch = async (request: Request): Promise<Response> => {
        const auth = await gate(request);
        return auth instanceof Response ? auth : Response.json({ auth });
      };
      return listen(toNodeHandler({ fetch }) as RequestListener);
    },
    {},
  ],
];

describe.each(gates)("the official SDK's requireBearerAuth: %s", (_, start, options) => {
  const verifier = (): Verifier => createVerifier({ issuer: issuer.url, resource: RESOURCE, ...options });
  const ask = async (token: string, check = verifier()): Promise<Response> => {
    const app = await start(check);
    const response = await post(app.url, '{}', { authorization: `Bearer ${token}` });
    const body = await response.text();
    await app.stop();
    return new Response(body, { status: response.status, headers: response.headers });
  };

  it('lets a good token through with the delegation', async () => {
    const response = await ask(await issuer.sign(issuer.claims(RESOURCE)));
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      auth: { clientId: 'agt_planner', resource: RESOURCE, extra: { writ: { person: 'prs_alice' } } },
    });
  });

  it('answers 401 with a challenge to a bad one, and to one that needs the guard', async () => {
    const tokens = [
      await issuer.sign(issuer.claims('https://mcp2.example')),
      await issuer.token(RESOURCE, 'write_file'),
      'nonsense',
    ];
    for (const token of tokens) {
      const response = await ask(token);
      expect(response.status).toBe(401);
      expect(response.headers.get('www-authenticate')).toMatch(
        /^Bearer error="invalid_token".*resource_metadata="https:\/\/m\.example\/prm"$/,
      );
      expect(await response.json()).toEqual({
        error: 'invalid_token',
        error_description: 'The access token is missing, invalid, expired or not for this server.',
      });
    }
  });

  it('answers 500 when the token cannot be checked', async () => {
    issuer.down = true;
    const response = await ask(await issuer.sign(issuer.claims(RESOURCE)));
    issuer.down = false;
    expect(response.status).toBe(500);
    expect(await response.json()).toMatchObject({ error: 'server_error' });
  });
});

describe('the verifier has the shape that the SDK wants', () => {
  it('for v2, as a type', () => {
    const fits: OAuthTokenVerifier = createVerifier({ issuer: issuer.url, resource: RESOURCE });
    expect(typeof fits.verifyAccessToken).toBe('function');
  });

  it('and describes its server by RFC 9728', () => {
    const verifier = createVerifier({ issuer: issuer.url, resource: RESOURCE });
    expect(verifier.protectedResourceMetadata({ scopes: ['files:read'], name: 'Files' })).toEqual({
      resource: RESOURCE,
      authorization_servers: [issuer.url],
      bearer_methods_supported: ['header'],
      scopes_supported: ['files:read'],
      resource_name: 'Files',
      dpop_signing_alg_values_supported: ['ES256', 'EdDSA'],
    });
  });
});

describe('the guard with requireBearerAuth behind it', () => {
  const gates: [string, (verifier: Verifier) => Middleware][] = [
    ['v1', (verifier) => requireBearerAuthV1({ verifier }) as Middleware],
    ['v2', (verifier) => requireBearerAuthV2Express({ verifier }) as Middleware],
  ];
  it.each(gates)('lets the admitted token pass both: %s', async (_, gate) => {
    const verifier = createVerifier({ issuer: issuer.url, resource: RESOURCE });
    const app = await behind(verifier.guard().express(), gate(verifier));
    const token = await issuer.token(RESOURCE, 'write_file');
    const response = await post(app.url, callText('write_file', '{}'), { authorization: `Bearer ${token}` });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ auth: { token } });
    await app.stop();
  });
});

describe('a guard that is set up wrongly lets nothing run', () => {
  const Path = z.object({ path: z.string() });

  it('when only the tool is wrapped and nothing stands before the server', async () => {
    const guard = createVerifier({ issuer: issuer.url, resource: RESOURCE }).guard();
    const ran: unknown[] = [];
    const handler = createMcpHandler(() => {
      const server = new McpServer({ name: 'files', version: '1.0.0' });
      server.registerTool(
        'write_file',
        { inputSchema: Path },
        guard.tool('write_file', (args) => (ran.push(args), { content: [] })),
      );
      return server;
    });
    const app = await listen(toNodeHandler(handler) as RequestListener);
    expect(await rpcOf(await post(app.url, callText('write_file', '{"path":"/a"}'), {}))).toMatchObject({
      result: { isError: true },
    });
    expect(ran).toEqual([]);
    await app.stop();
  });

  it('when a body parser was there first, since parsed JSON is not what was sent', async () => {
    const guard = createVerifier({ issuer: issuer.url, resource: RESOURCE }).guard();
    const app = await behind(express.json() as Middleware, guard.express());
    const response = await post(app.url, callText('write_file', '{}'), {
      authorization: `Bearer ${await issuer.token(RESOURCE, 'write_file')}`,
    });
    expect(response.status).toBe(500);
    expect(await response.json()).toEqual({
      error: 'server_error',
      error_description: 'The access token cannot be checked right now.',
    });
    await app.stop();
  });

  it('but a body parser that keeps the bytes is welcome', async () => {
    const guard = createVerifier({ issuer: issuer.url, resource: RESOURCE }).guard();
    const keep = express.json({ verify: (request, _response, bytes) => Object.assign(request, { rawBody: bytes }) });
    const app = await behind(keep as Middleware, guard.express());
    const response = await post(app.url, callText('write_file', '{}'), {
      authorization: `Bearer ${await issuer.token(RESOURCE, 'write_file')}`,
    });
    expect(response.status).toBe(200);
    await app.stop();
  });

  it('when a handler asks for another call than the one that was admitted, or asks twice', async () => {
    const guard = createVerifier({ issuer: issuer.url, resource: RESOURCE }).guard();
    const fetch = guard.fetch((_, { authInfo }) => {
      const context = { http: { authInfo: { ...authInfo } } };
      expect(() => guard.call('read_file', context)).toThrow('cannot be checked');
      expect(guard.call('write_file', context)).toMatchObject({ tool: 'write_file', arguments: {} });
      expect(() => guard.call('write_file', context)).toThrow('cannot be checked');
      return Promise.resolve(new Response('done'));
    });
    const token = await issuer.token(RESOURCE, 'write_file');
    const request = new Request(RESOURCE, {
      method: 'POST',
      body: callText('write_file'),
      headers: { authorization: `Bearer ${token}` },
    });
    expect((await fetch(request)).status).toBe(200);
  });

  it('when the handler breaks: the answer tells nothing and the next request is served', async () => {
    const guard = createVerifier({ issuer: issuer.url, resource: RESOURCE }).guard();
    let broken = true;
    const app = await listen(
      guard.node((_request, response) => {
        if (broken) throw new Error('secret detail');
        response.end('done');
      }),
    );
    const ask = async () =>
      post(app.url, callText('write_file'), { authorization: `Bearer ${await issuer.token(RESOURCE, 'write_file')}` });
    const response = await ask();
    expect([response.status, await response.text()]).toEqual([500, '']);
    broken = false;
    expect((await ask()).status).toBe(200);
    await app.stop();
  });
});
