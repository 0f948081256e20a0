import { createServer } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { decodeJwt } from 'jose';
import { type Agent, AgentError, type AgentOptions, type CallOptions, createAgent } from '../../src/sdk/agent/index.js';
import { createVerifier, type VerifierOptions } from '../../src/sdk/verifier/index.js';
import { TestIssuer } from '../support/issuer.js';
import { type Adapter, close, origin, type RunningServer, startMcp } from '../support/mcp.js';

let issuer: TestIssuer;
let key: AgentOptions['key'];
let introspection: NonNullable<VerifierOptions['introspection']>;
let server: RunningServer | undefined;
beforeEach(async () => {
  issuer = await TestIssuer.start();
  key = await issuer.register('agt_planner');
  introspection = { clientId: 'mcp1', key: await issuer.register('mcp1') };
});
afterEach(async () => {
  await server?.close();
  server = undefined;
  await issuer.close();
});

const make = (more: Partial<AgentOptions> = {}): Agent =>
  createAgent({ issuer: issuer.url, clientId: 'agt_planner', key, ...more });
const start = async (adapter: Adapter, more: Partial<VerifierOptions> = {}): Promise<RunningServer> =>
  (server = await startMcp(adapter, { issuer: issuer.url, introspection, ...more }));
const RESOURCE = 'https://mcp1.example/files';
const request = { subjectToken: 'persons.access.token', resource: RESOURCE };
const lastForm = (): Record<string, string> => Object.fromEntries(issuer.forms.at(-1) ?? []);

const busyFor60: TestIssuer['instead'][number] = (_request, response) =>
  Boolean(response.writeHead(503, { 'retry-after': '60' }).end());

async function errorOf(step: Promise<unknown>): Promise<AgentError> {
  const error: unknown = await step.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(AgentError);
  return error as AgentError;
}

describe('exchange', () => {
  it('sends what RFC 8693 says and reads what was granted', async () => {
    const before = Math.floor(Date.now() / 1000);
    const tokens = await make().exchange({
      ...request,
      scope: ['files:write', 'files:read'],
      task: 'T-1182',
      purpose: 'publish-report',
      tools: [{ name: 'write_file', arguments: { path: '/a' }, uses: 2 }],
    });
    const { client_assertion, ...form } = lastForm();
    expect(form).toEqual({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: 'persons.access.token',
      subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      resource: RESOURCE,
      scope: 'files:write files:read',
      authorization_details: `[{"type":"mcp_tool_call","locations":["${RESOURCE}"],"actions":["tools/call"],"identifier":"write_file","max_uses":2,"arguments":{"path":"/a"}}]`,
      request_details: '{"task":"T-1182","purpose":"publish-report"}',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    });
    expect(decodeJwt(String(client_assertion))).toMatchObject({
      iss: 'agt_planner',
      sub: 'agt_planner',
      aud: issuer.url,
    });
    expect(tokens).toEqual({
      accessToken: tokens.accessToken,
      issuedTokenType: 'urn:ietf:params:oauth:token-type:txn_access_token',
      tokenType: 'Bearer',
      expiresAt: expect.any(Number) as unknown,
      scope: ['files:write', 'files:read'],
      details: [{ tool: 'write_file', resource: RESOURCE, argumentsSha256: undefined, maxUses: 2 }],
    });
    expect(tokens.expiresAt - before - 180).toBeLessThanOrEqual(2);
    await expect(
      createVerifier({ issuer: issuer.url, resource: RESOURCE }).verifyAccessToken(tokens.accessToken),
    ).rejects.toMatchObject({ reason: 'guard_required' });
  });

  it('keeps the spelling of numbers in arguments that are given as text', async () => {
    await make().exchange({ ...request, tools: [{ name: 'write_file', argumentsText: '{"n":1.50,"m":1E3}' }] });
    expect(lastForm()['authorization_details']).toContain('"arguments":{"n":1.50,"m":1E3}}');
  });

  it.each(['{"n":9007199254740993}', '{"a":1,"a":2}', '[1]', '{"n":1e400}'])(
    'refuses arguments that two parsers read differently: %s',
    async (argumentsText) => {
      expect(
        await errorOf(make().exchange({ ...request, tools: [{ name: 'write_file', argumentsText }] })),
      ).toMatchObject({ code: 'unsafe_request' });
      expect(issuer.counts.token).toBe(0);
    },
  );

  it('discovers once for many exchanges, and never sends an assertion twice', async () => {
    const agent = make();
    await Promise.all(Array.from({ length: 5 }, () => agent.exchange(request)));
    expect(issuer.counts).toMatchObject({ metadata: 1, token: 5 });
    expect(new Set(issuer.forms.map((form) => form.get('client_assertion'))).size).toBe(5);
  });

  it('names the type of an actor token only when there is one', async () => {
    await make().exchange({ ...request, actorToken: 'a.b.c' });
    expect(lastForm()).toMatchObject({
      actor_token: 'a.b.c',
      actor_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    });
    await make().exchange(request);
    expect(Object.keys(lastForm()).filter((name) => name.startsWith('actor'))).toEqual([]);
  });

  it('hands over to another agent by its client id', async () => {
    await make().handOver('persons.access.token', 'agt_writer', { task: 'T-1', scope: 'files:write' });
    expect(lastForm()).toMatchObject({
      audience: 'agt_writer',
      scope: 'files:write',
      request_details: '{"task":"T-1"}',
    });
    expect(lastForm()['resource']).toBeUndefined();
  });

  it('wants one target, and a server for each tool', async () => {
    await expect(make().exchange({ subjectToken: 'x' })).rejects.toThrow(TypeError);
    await expect(make().exchange({ ...request, audience: 'agt_writer' })).rejects.toThrow(TypeError);
    const tools = [{ name: 'write_file' }];
    await expect(make().exchange({ subjectToken: 'x', audience: 'agt_writer', tools })).rejects.toThrow(TypeError);
  });

  it('tells why there is no token, by a code from a closed list', async () => {
    expect(await errorOf(make().exchange({ ...request, tools: [{ name: 'drop_table' }] }))).toMatchObject({
      code: 'transaction_denied',
      message: 'the policy does not allow this tool',
      retryAfter: undefined,
    });
    const stranger = createAgent({ issuer: issuer.url, clientId: 'agt_other', key });
    expect(await errorOf(stranger.exchange(request))).toMatchObject({ code: 'invalid_client' });
  });

  it.each([
    ['no JSON', 200, '<html>'],
    ['no token', 200, '{"token_type":"Bearer"}'],
    ['an unknown error', 400, '{"error":"surprise"}'],
    [
      'a name twice',
      200,
      '{"access_token":"a","access_token":"b","issued_token_type":"x","token_type":"Bearer","expires_in":1}',
    ],
    ['more than fits', 200, ' '.repeat(300_000)],
  ])('takes %s for a bad answer', async (_, status, body) => {
    const agent = make();
    await agent.exchange(request);
    issuer.instead.push((_request, response) => Boolean(response.writeHead(status).end(body)));
    expect(await errorOf(agent.exchange(request))).toMatchObject({ code: 'bad_answer' });
  });

  it('refuses a token that is not bound when it asked for one that is', async () => {
    const body = { access_token: 'a', issued_token_type: 'x', token_type: 'Bearer', expires_in: 60 };
    const agent = make({ dpop: true });
    await agent.exchange(request);
    issuer.instead.push((_request, response) => Boolean(response.writeHead(200).end(JSON.stringify(body))));
    expect(await errorOf(agent.exchange(request))).toMatchObject({
      code: 'bad_answer',
      message: 'the token is not bound to the DPoP key',
    });
  });

  it('waits as long as a busy issuer says, and not longer than it may', async () => {
    const agent = make({ maxWaitSeconds: 2 });
    await agent.exchange(request);
    const busy = (seconds: string) =>
      issuer.instead.push((_request, response) => Boolean(response.writeHead(503, { 'retry-after': seconds }).end()));
    busy('1');
    const started = performance.now();
    await agent.exchange(request);
    expect(performance.now() - started).toBeGreaterThan(900);
    busy('60');
    expect(await errorOf(agent.exchange(request))).toMatchObject({ code: 'temporarily_unavailable', retryAfter: 60 });
  });

  it('gives up in bounded time when nobody answers', async () => {
    const agent = make({ timeoutMs: 200 });
    await agent.exchange(request);
    issuer.instead.push(() => true);
    expect(await errorOf(agent.exchange(request))).toMatchObject({ code: 'unreachable' });
  });

  it('holds neither token nor key in its errors', async () => {
    issuer.down = true;
    const error = await errorOf(make().exchange({ ...request, subjectToken: 'CANARY-TOKEN' }));
    expect(JSON.stringify([error.message, String(error.cause), error.stack])).not.toMatch(
      new RegExp(`CANARY|${key.d}`),
    );
  });
});

describe('createAgent refuses to start', () => {
  it.each([
    [{ issuer: 'http://writ.example' }, 'issuer must be an https URI'],
    [{ clientId: 'https://agent.example' }, 'clientId'],
    [{ key: { kty: 'EC' as const, d: 'x' } }, 'key is no usable key'],
    [{ maxWaitSeconds: 600 }, 'maxWaitSeconds'],
  ])('with %j', (change, message) => {
    expect(() => make(change)).toThrow(TypeError);
    expect(() => make(change)).toThrow(message);
  });
});

describe('metadata of another issuer', () => {
  it('is not followed', async () => {
    issuer.instead.push((_request, response) =>
      Boolean(
        response.end(
          JSON.stringify({
            issuer: 'https://evil.example',
            jwks_uri: `${issuer.url}/jwks`,
            token_endpoint: `${issuer.url}/token`,
          }),
        ),
      ),
    );
    expect(await errorOf(make().exchange(request))).toMatchObject({
      code: 'bad_answer',
      message: 'the metadata names another issuer',
    });
    expect(issuer.counts.token).toBe(0);
  });
});

type AnyClient = {
  callTool(params: { name: string; arguments: Record<string, unknown> }): Promise<unknown>;
  listTools(): Promise<{ tools: { name: string }[] }>;
  close(): Promise<void>;
};
const connectors: [string, Adapter, (url: string, fetch: ReturnType<Agent['fetch']>) => Promise<AnyClient>][] = [
  ['v2, current revision', 'v2 fetch', connectV2],
  ['v2, at a v1 server', 'v1 node', connectV2],
  ['v1, at a v1 server', 'v1 express', connectV1],
  ['v1, at a v2 server', 'v2 node', connectV1],
];

async function connectV2(url: string, fetch: ReturnType<Agent['fetch']>): Promise<AnyClient> {
  const client = new Client({ name: 'planner', version: '1.0.0' }, { versionNegotiation: { mode: 'auto' } });
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { fetch }));
  return client;
}

async function connectV1(url: string, fetch: ReturnType<Agent['fetch']>): Promise<AnyClient> {
  const client = new ClientV1({ name: 'planner', version: '1.0.0' });
  await client.connect(new TransportV1(new URL(url), { fetch }));
  return client;
}

describe.each(connectors)('an official MCP client with agent.fetch: %s', (_, adapter, connect) => {
  const open = async (agent: Agent, mcp: RunningServer, more: Partial<CallOptions> = {}): Promise<AnyClient> =>
    connect(
      mcp.url,
      agent.fetch({ resource: mcp.resource, subjectToken: () => Promise.resolve('persons.access.token'), ...more }),
    );

  it.each([false, true])('lists with one token and calls each time with another (DPoP %p)', async (dpop) => {
    const mcp = await start(adapter, { dpopRequired: dpop });
    issuer.exactTools.add('write_file');
    const client = await open(make({ dpop }), mcp, { scope: 'files:read', task: 'T-1' });
    expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(['write_file', 'read_file']);
    const listed = issuer.counts.token;
    await client.listTools();
    expect(listed).toBe(1);
    for (const path of ['/a', '/b'])
      expect(await client.callTool({ name: 'write_file', arguments: { path } })).toMatchObject({
        content: [{ text: 'done' }],
      });
    expect(issuer.counts.token).toBe(3);
    expect(mcp.ran.map(({ args, call }) => ({ args, sent: call.arguments, bound: call.delegation.dpopBound }))).toEqual(
      [
        { args: { path: '/a', mode: 'create' }, sent: { path: '/a' }, bound: dpop },
        { args: { path: '/b', mode: 'create' }, sent: { path: '/b' }, bound: dpop },
      ],
    );
    await client.close();
  });

  it('learns from the error why a call was not permitted', async () => {
    const mcp = await start(adapter);
    const client = await open(make(), mcp);
    await expect(client.callTool({ name: 'drop_table', arguments: {} })).rejects.toMatchObject({
      code: 'transaction_denied',
    });
    expect(mcp.ran).toEqual([]);
    await client.close();
  });
});

describe('agent.fetch', () => {
  const CALL = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_file","arguments":{}}}';
  const LIST = '{"jsonrpc":"2.0","id":1,"method":"tools/list"}';
  const reasonOf = (step: Promise<unknown>): Promise<unknown> =>
    step.then(
      () => 'done',
      (thrown: unknown) => thrown,
    );
  const post = (body: string, signal: AbortSignal): RequestInit => ({ method: 'POST', body, signal });

  it.each([
    ['no answer comes from the exchange', CALL, () => true],
    ['the exchange says when to come back', CALL, busyFor60],
    ['no answer comes to an exchange that is shared', LIST, () => true],
  ] as const)('heeds the signal of its caller while %s', async (_, body, answer) => {
    const agent = make({ timeoutMs: 30_000, maxWaitSeconds: 60 });
    const fetch = agent.fetch({ resource: RESOURCE, subjectToken: 'x' });
    await agent.exchange(request);
    issuer.instead.push((...asked) => answer(...asked));
    const caller = new AbortController();
    const ended = reasonOf(fetch(RESOURCE, post(body, caller.signal)));
    while (issuer.instead.length > 0) await new Promise(setImmediate);
    const why = new Error('gave up');
    caller.abort(why);
    expect(await ended).toBe(why);
  });

  it('asks for no token when its caller gave up before', async () => {
    const fetch = make().fetch({ resource: RESOURCE, subjectToken: 'x' });
    const why = new Error('gave up');
    expect(await reasonOf(fetch(RESOURCE, post(CALL, AbortSignal.abort(why))))).toBe(why);
    expect(issuer.counts).toMatchObject({ token: 0 });
  });

  it('shows its token to no other address', async () => {
    const fetch = make().fetch({ resource: RESOURCE, subjectToken: 'x' });
    for (const url of ['https://mcp1.example/other', 'https://mcp2.example/files', 'http://mcp1.example/files']) {
      expect(await errorOf(fetch(url))).toMatchObject({ code: 'wrong_address' });
    }
    expect(issuer.counts.token).toBe(0);
  });

  it('is not led elsewhere by the server that it calls', async () => {
    const asked: (string | undefined)[] = [];
    const moving = createServer((incoming, response) => {
      asked.push(incoming.url);
      response.writeHead(307, { location: '/elsewhere' }).end();
    });
    await new Promise<void>((resolve) => moving.listen(0, '127.0.0.1', resolve).unref());
    const resource = `${origin(moving)}/mcp`;
    const error: unknown = await make()
      .fetch({ resource, subjectToken: 'x' })(resource)
      .then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
    await close(moving);
    expect(error).toMatchObject({ name: 'TypeError' });
    expect(asked).toEqual(['/mcp']);
  });

  it('sends no batch, in which a second call could hide', async () => {
    const fetch = make().fetch({ resource: RESOURCE, subjectToken: 'x' });
    expect(await errorOf(fetch(RESOURCE, { method: 'POST', body: '[]' }))).toMatchObject({ code: 'unsafe_request' });
  });

  it('answers a wanted nonce once (RFC 9449 section 9)', async () => {
    const seen: (string | undefined)[] = [];
    const fetch = async (url: string, init: RequestInit): Promise<Response> => {
      if (url.startsWith(issuer.url)) return globalThis.fetch(url, init);
      const proof = decodeJwt(new Headers(init.headers).get('dpop') ?? '');
      seen.push(proof['nonce'] as string | undefined);
      if (proof['nonce'] === 'n-1') return new Response('ok');
      return new Response(null, {
        status: 401,
        headers: { 'dpop-nonce': 'n-1', 'www-authenticate': 'DPoP error="use_dpop_nonce"' },
      });
    };
    const call = make({ dpop: true, fetch }).fetch({ resource: RESOURCE, subjectToken: 'x' });
    expect((await call(RESOURCE)).status).toBe(200);
    expect(seen).toEqual([undefined, 'n-1']);
    expect(issuer.counts.token).toBe(1);
  });

  /** An MCP server that refuses the first tokens that it sees. */
  const refusing = (count: number) => {
    const seen: (string | null)[] = [];
    const fetch = (url: string, init: RequestInit): Promise<Response> => {
      if (url.startsWith(issuer.url)) return globalThis.fetch(url, init);
      seen.push(new Headers(init.headers).get('authorization'));
      const refused = new Response(null, {
        status: 401,
        headers: { 'www-authenticate': 'Bearer error="invalid_token"' },
      });
      return Promise.resolve(seen.length > count ? new Response('ok') : refused);
    };
    return { seen, fetch };
  };
  const list = { method: 'POST', body: '{"jsonrpc":"2.0","id":1,"method":"tools/list"}' };
  const call = { method: 'POST', body: '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_file"}}' };

  it.each([
    ['a list', list],
    ['a call', call],
  ])('asks for another token, once, when the server refused the one for %s', async (_, init) => {
    const once = refusing(1);
    expect(
      (await make({ fetch: once.fetch }).fetch({ resource: RESOURCE, subjectToken: 'x' })(RESOURCE, init)).status,
    ).toBe(200);
    expect(new Set(once.seen).size).toBe(2);
    const always = refusing(9);
    expect(
      (await make({ fetch: always.fetch }).fetch({ resource: RESOURCE, subjectToken: 'x' })(RESOURCE, init)).status,
    ).toBe(401);
    expect(new Set(always.seen).size).toBe(2);
  });

  it('does not repeat what was refused for another reason', async () => {
    const seen: string[] = [];
    const fetch = (url: string, init: RequestInit): Promise<Response> => {
      if (url.startsWith(issuer.url)) return globalThis.fetch(url, init);
      seen.push(url);
      return Promise.resolve(
        new Response(null, {
          status: 401,
          headers: { 'www-authenticate': 'Bearer error="insufficient_user_authentication"' },
        }),
      );
    };
    expect((await make({ fetch }).fetch({ resource: RESOURCE, subjectToken: 'x' })(RESOURCE, call)).status).toBe(401);
    expect(seen).toHaveLength(1);
  });

  it('asks for a fresh shared token before the old one ends, one for all who wait', async () => {
    let ahead = 0;
    const clock = { now: () => Math.floor(Date.now() / 1000) + ahead };
    const fetch = (url: string, init: RequestInit) =>
      url.startsWith(issuer.url) ? globalThis.fetch(url, init) : Promise.resolve(new Response('ok'));
    const call = make({ fetch, clock }).fetch({ resource: RESOURCE, subjectToken: 'x' });
    await call(RESOURCE);
    await call(RESOURCE);
    expect(issuer.counts.token).toBe(1);
    ahead = issuer.ahead = 175;
    await Promise.all(Array.from({ length: 5 }, () => call(RESOURCE)));
    expect(issuer.counts.token).toBe(2);
  });
});
