import { createHash } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import * as oauth from 'oauth4webapi';
import { hashSecret } from '../../src/client/index.js';
import { authorize, Browser } from '../support/browser.js';
import { ALICE } from '../support/company.js';
import { assertionForm, codeForm, INSECURE, post, REDIRECT_URI, TestAgent } from '../support/engine.js';
import { ownEngine } from '../support/own-engine.js';

const SECRET = 'a long secret that an administrator allowed';
const agent = new TestAgent('agt_planner');
const other = new TestAgent('agt_other');
const expired = new TestAgent('agt_expired', { expires_at: '2020-01-01T00:00:00Z' });
const disabled = new TestAgent('agt_disabled', { status: 'disabled' });
const basic = new TestAgent(
  'agt_basic',
  { authentication: { method: 'client_secret_basic' } },
  await hashSecret(SECRET),
);
const { db, writ } = await ownEngine(agent, other, expired, disabled, basic);

const verifier = 'v'.repeat(43);
const parameters = {
  response_type: 'code',
  client_id: agent.id,
  redirect_uri: REDIRECT_URI,
  state: 's',
  code_challenge: createHash('sha256').update(verifier).digest('base64url'),
  code_challenge_method: 'S256',
};

const push = (changes: Record<string, string> = {}, headers: Record<string, string> = {}): ReturnType<typeof post> =>
  post(`${writ.issuer}/request`, { ...parameters, ...assertionForm(agent, writ.issuer), ...changes }, headers);

const link = (body: unknown, clientId = agent.id): string =>
  `${writ.issuer}/auth?${new URLSearchParams({ client_id: clientId, request_uri: (body as { request_uri: string }).request_uri }).toString()}`;

describe('pushed authorization requests (RFC 9126)', () => {
  it('carry a flow of an independent client', async () => {
    const as = await writ.metadata();
    const response = await oauth.pushedAuthorizationRequest(
      as,
      agent.client,
      await agent.authentication(),
      parameters,
      INSECURE,
    );
    const pushed = await oauth.processPushedAuthorizationResponse(as, agent.client, response);
    expect(pushed).toEqual({
      expires_in: 60,
      request_uri: expect.stringMatching(/^urn:ietf:params:oauth:request_uri:[\w-]{21,}$/),
    });
    const redirected = await authorize(new Browser(), link(pushed), { redirectUri: REDIRECT_URI, employee: ALICE });
    const code = redirected.searchParams.get('code') ?? '';
    expect((await post(`${writ.issuer}/token`, codeForm(agent, writ.issuer, { code, verifier }))).status).toBe(200);
  });

  it('AZ-19, §7.3: are good for one authorization', async () => {
    const { body } = await push();
    await authorize(new Browser(), link(body), { redirectUri: REDIRECT_URI, employee: ALICE });
    const page = await new Browser().get(link(body));
    expect([page.status, page.body]).toEqual([400, expect.stringContaining('<code>invalid_request_uri</code>')]);
  });

  it('AZ-19: are of no use to another agent', async () => {
    const { body } = await push();
    const page = await new Browser().get(link(body, other.id));
    expect([page.status, page.url.startsWith(REDIRECT_URI)]).toEqual([400, false]);
  });

  it('AZ-19: are refused by GET, with a request_uri inside, and for a redirect that is not registered', async () => {
    expect((await fetch(`${writ.issuer}/request`)).status).toBe(404);
    expect(await push({ request_uri: 'urn:ietf:params:oauth:request_uri:x' })).toEqual({
      status: 400,
      body: { error: 'request_uri_not_supported' },
    });
    expect(await push({ redirect_uri: 'https://evil.example/' })).toEqual({
      status: 400,
      body: { error: 'invalid_request', error_description: expect.stringContaining('redirect_uri did not match') },
    });
  });

  it('are judged as at /auth: scope, resource and PKCE', async () => {
    expect(await push({ scope: 'mail:write' })).toEqual({
      status: 400,
      body: { error: 'invalid_scope', error_description: 'requested scope is not allowed', scope: 'mail:write' },
    });
    expect(await push({ resource: 'https://mcp.example/files' })).toEqual({
      status: 400,
      body: { error: 'invalid_target', error_description: 'the resource must be this authorization server' },
    });
    expect(await push({ code_challenge_method: 'plain' })).toEqual({
      status: 400,
      body: { error: 'invalid_request', error_description: 'not supported value of code_challenge_method' },
    });
  });
});

describe('client authentication at the engine (RFC 7523, RFC 10070)', () => {
  const refused = { status: 401, body: { error: 'invalid_client', error_description: 'client authentication failed' } };
  const now = (): number => Math.floor(Date.now() / 1000);
  const withAssertion = (claims: object, header: object = {}): ReturnType<typeof post> =>
    push({ client_assertion: agent.assertion(writ.issuer, { ...claims }, { ...header }) });

  it('takes the issuer as the one audience, also in an array of one, and every allowed typ', async () => {
    expect((await withAssertion({})).status).toBe(201);
    expect((await withAssertion({ aud: [writ.issuer] })).status).toBe(201);
    expect((await withAssertion({}, { typ: undefined })).status).toBe(201);
    expect((await withAssertion({ exp: now() + 290 })).status).toBe(201);
  });

  it.each<readonly [string, (issuer: string) => object, object]>([
    ['CA-04: the token endpoint as audience', (issuer) => ({ aud: `${issuer}/token` }), {}],
    ['CA-04: the PAR endpoint as audience', (issuer) => ({ aud: `${issuer}/request` }), {}],
    ['CA-04: two audiences', (issuer) => ({ aud: [issuer, 'https://other.example'] }), {}],
    ['CA-04: the issuer with a slash', (issuer) => ({ aud: `${issuer}/` }), {}],
    ['CA-04: another authorization server', () => ({ aud: 'https://other.example' }), {}],
    ['CA-04: no audience', () => ({ aud: undefined }), {}],
    ['CA-05: exp in six minutes', () => ({ exp: now() + 360 }), {}],
    ['CA-05: exp in ten years', () => ({ exp: now() + 315_360_000 }), {}],
    ['no exp', () => ({ exp: undefined }), {}],
    ['an exp that has passed', () => ({ iat: now() - 300, exp: now() - 60 }), {}],
    ['no iat', () => ({ iat: undefined }), {}],
    ['an iat to come', () => ({ iat: now() + 200, exp: now() + 260 }), {}],
    ['no jti', () => ({ jti: undefined }), {}],
    ['another iss', () => ({ iss: other.id }), {}],
    ['typ txntoken+jwt', () => ({}), { typ: 'txntoken+jwt' }],
    ['typ at+jwt', () => ({}), { typ: 'at+jwt' }],
    ['typ dpop+jwt', () => ({}), { typ: 'dpop+jwt' }],
    ['a crit header', () => ({}), { crit: ['x'], x: 1 }],
    ['alg none', () => ({}), { alg: 'none' }],
  ])('refuses %s', async (_name, claims, header) => {
    expect(await withAssertion(claims(writ.issuer), header)).toEqual(refused);
  });

  it('CA-01: takes an assertion once, on whichever route', async () => {
    const client_assertion = agent.assertion(writ.issuer);
    expect((await push({ client_assertion })).status).toBe(201);
    expect(await push({ client_assertion })).toEqual(refused);
    const form = { ...codeForm(agent, writ.issuer, { code: 'x', verifier }), client_assertion };
    expect(await post(`${writ.issuer}/token`, form)).toEqual(refused);
  });

  it('remembers a used assertion by the hash that all routes share', async () => {
    const jti = 'the-jti-of-this-test';
    await withAssertion({ jti });
    const key = createHash('sha256').update(`${agent.id}\n${jti}`).digest('base64url');
    expect(await db.database.prisma.replay.count({ where: { key } })).toBe(1);
  });

  it('CA-14: refuses an assertion of one agent with the id of another', async () => {
    expect(await push({ client_id: other.id })).toEqual(refused);
    expect(await push({ client_assertion: other.assertion(writ.issuer, { iss: agent.id, sub: agent.id }) })).toEqual(
      refused,
    );
  });

  it('CA-08: refuses two ways at once', async () => {
    const both = {
      status: 400,
      body: {
        error: 'invalid_request',
        error_description: 'client authentication must only be provided using one mechanism',
      },
    };
    expect(await push({}, { authorization: basicOf('agt_basic', SECRET) })).toEqual(both);
    expect(await push({ client_secret: 'x' })).toEqual(both);
  });

  it('takes a secret where one is registered, and compares it with its hash', async () => {
    const form = { ...parameters, client_id: 'agt_basic' };
    const ask = (secret: string): ReturnType<typeof post> =>
      post(`${writ.issuer}/request`, form, { authorization: basicOf('agt_basic', secret) });
    expect((await ask(SECRET)).status).toBe(201);
    expect(await ask('a wrong secret')).toEqual(refused);
    const [stored] = await Promise.all([hashSecret(SECRET)]);
    expect(await ask(stored)).toEqual(refused);
  });

  it.each(['agt_nobody', 'agt_expired', 'agt_disabled', 'agt_planner', 'srv_files'])(
    'CA-11, CA-16: refuses a secret of %s with the same words',
    async (clientId) => {
      const answer = await post(
        `${writ.issuer}/request`,
        { ...parameters, client_id: clientId },
        { authorization: basicOf(clientId, SECRET) },
      );
      expect(answer).toEqual(refused);
    },
  );

  it('CA-11: refuses a disabled and an expired agent that sign well', async () => {
    for (const one of [disabled, expired]) {
      const answer = await post(`${writ.issuer}/request`, {
        ...parameters,
        client_id: one.id,
        ...assertionForm(one, writ.issuer),
      });
      expect(answer).toEqual(refused);
    }
  });

  it('refuses an agent that does not authenticate', async () => {
    expect(await post(`${writ.issuer}/request`, parameters)).toEqual(refused);
  });

  it('refuses an agent from the moment it is disabled', async () => {
    writ.registry.change([{ ...agent.registered, status: 'disabled' }]);
    expect(await push()).toEqual(refused);
    writ.registry.change([agent.registered, other.registered]);
    expect((await push()).status).toBe(201);
  });
});

const basicOf = (id: string, secret: string): string =>
  `Basic ${Buffer.from(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`).toString('base64')}`;
