import { describe, expect, it } from '@jest/globals';
import { grantHash } from '../../src/oauth/index.js';
import { PersonsAccessToken } from '../../src/protocol/index.js';
import { authorize, Browser } from '../support/browser.js';
import { ALICE, BOB, COMPANY_ACR } from '../support/company.js';
import {
  authorizationLink,
  claimsOf,
  codeForm,
  headerOf,
  obtainCode,
  post,
  REDIRECT_URI,
  refreshForm,
  TestAgent,
} from '../support/engine.js';
import { INVALID_GRANT, ownEngine, redeemIndependently } from '../support/own-engine.js';

const agent = new TestAgent('agt_planner');
const { db, writ } = await ownEngine(agent);

describe('the code flow (RFC 6749 section 4.1) with an independent client', () => {
  it('gives the agent a token of the person for Writ alone (RFC 9068)', async () => {
    const tokens = await redeemIndependently(writ, agent);
    expect(tokens).toEqual({
      access_token: expect.any(String),
      token_type: 'bearer',
      expires_in: 600,
      scope: 'files:read files:write mail:read',
    });
    expect(headerOf(tokens.access_token)).toEqual({ alg: 'ES256', typ: 'at+jwt', kid: 'k1' });
    const claims = claimsOf(tokens.access_token);
    const [alice] = await db.database.prisma.person.findMany({ where: { subject: ALICE.subject } });
    expect(claims).toEqual({
      iss: writ.issuer,
      aud: writ.issuer,
      sub: alice?.id,
      client_id: agent.id,
      scope: 'files:read files:write mail:read',
      acr: COMPANY_ACR,
      amr: ['pwd'],
      auth_time: expect.any(Number),
      iat: expect.any(Number),
      exp: Number(claims['iat']) + 600,
      jti: expect.any(String),
      writ: { grant: expect.stringMatching(/^[\w-]{43}$/) },
    });
    expect(PersonsAccessToken.safeParse(claims).success).toBe(true);
  });
  it('names the consent in the token by its hash', async () => {
    const code = await obtainCode(writ, agent);
    const { body } = await post(`${writ.issuer}/token`, codeForm(agent, writ.issuer, code));
    const { writ: receipt } = claimsOf((body as { access_token: string }).access_token) as { writ: { grant: string } };
    const grants = await db.database.prisma.engineRecord.findMany({ where: { grantId: receipt.grant } });
    expect(grants.map(({ model }) => model).sort()).toEqual(['AuthorizationCode', 'Grant']);
    expect(receipt.grant).not.toBe(grantHash(''));
  });
});

const token = async (code: Awaited<ReturnType<typeof obtainCode>>, changes: Record<string, string> = {}) =>
  post(`${writ.issuer}/token`, { ...codeForm(agent, writ.issuer, code), ...changes });

describe('scope and resource of an authorization', () => {
  it('gives what was asked for and no more', async () => {
    const { body } = await token(await obtainCode(writ, agent, { parameters: { scope: 'openid files:read' } }));
    expect(body).toEqual({
      access_token: expect.any(String),
      id_token: expect.any(String),
      token_type: 'Bearer',
      expires_in: 600,
      scope: 'files:read',
    });
    expect(claimsOf((body as { id_token: string }).id_token)).toEqual({
      iss: writ.issuer,
      aud: agent.id,
      sub: claimsOf((body as { access_token: string }).access_token)['sub'],
      iat: expect.any(Number),
      exp: expect.any(Number),
    });
  });

  it.each([
    [
      'a scope beyond the ceiling',
      { scope: 'files:read mail:write' },
      { error: 'invalid_scope', error_description: 'requested scope is not allowed', scope: 'mail:write' },
    ],
    [
      'a scope that nobody knows',
      { scope: 'everything' },
      { error: 'invalid_scope', error_description: 'requested scope is not allowed', scope: 'everything' },
    ],
    [
      'the resource of somebody else',
      { resource: 'https://mcp.example/files' },
      { error: 'invalid_target', error_description: 'the resource must be this authorization server' },
    ],
    [
      'the issuer with a slash',
      { resource: 'SLASH' },
      { error: 'invalid_target', error_description: 'the resource must be this authorization server' },
    ],
    [
      'a resource that is no URI',
      { resource: 'files' },
      { error: 'invalid_target', error_description: 'resource indicator must be an absolute URI' },
    ],
  ])('RFC 6749 §4.1.2.1, RFC 8707 §2: tells the agent that %s is refused', async (_name, parameters, wanted) => {
    const sent =
      'resource' in parameters && parameters.resource === 'SLASH' ? { resource: `${writ.issuer}/` } : parameters;
    const { redirected } = await obtainCode(writ, agent, { parameters: sent });
    expect(Object.fromEntries(redirected.searchParams)).toEqual({ ...wanted, state: 'the state', iss: writ.issuer });
  });

  it('RFC 8707 §2.2: refuses at /token a resource that /auth did not have', async () => {
    const code = await obtainCode(writ, agent, { parameters: { resource: writ.issuer } });
    expect(await token(code, { resource: 'https://mcp.example/files' })).toEqual({
      status: 400,
      body: { error: 'invalid_target', error_description: 'resource indicator is missing, or unknown' },
    });
  });

  it('takes the issuer as resource at both', async () => {
    const code = await obtainCode(writ, agent, { parameters: { resource: writ.issuer } });
    const { body } = await token(code, { resource: writ.issuer });
    expect(claimsOf((body as { access_token: string }).access_token)['aud']).toBe(writ.issuer);
  });

  it('refuses an agent without any scope of its own', async () => {
    const idle = new TestAgent('agt_idle', { allow: [] });
    writ.registry.change([agent.registered, idle.registered]);
    const { redirected } = await obtainCode(writ, idle);
    expect(Object.fromEntries(redirected.searchParams)).toEqual({
      error: 'invalid_scope',
      error_description: 'no scope is registered for this client',
      scope: '',
      state: 'the state',
      iss: writ.issuer,
    });
  });
});

describe('people', () => {
  it('are told apart by issuer and subject, and found again', async () => {
    const subjects = await Promise.all(
      [ALICE, BOB, ALICE].map(async (employee) => {
        const { body } = await token(await obtainCode(writ, agent, { employee, browser: new Browser() }));
        return claimsOf((body as { access_token: string }).access_token)['sub'];
      }),
    );
    expect(subjects[0]).toBe(subjects[2]);
    expect(subjects[0]).not.toBe(subjects[1]);
  });

  it('are asked anew for every authorization', async () => {
    const browser = new Browser();
    await obtainCode(writ, agent, { browser });
    const { link } = await authorizationLink(writ, agent);
    expect((await browser.get(link, REDIRECT_URI)).body).toContain('to act for you?');
  });

  it('may say no', async () => {
    const { link } = await authorizationLink(writ, agent);
    const redirected = await authorize(new Browser(), link, {
      redirectUri: REDIRECT_URI,
      employee: ALICE,
      decision: 'deny',
    });
    expect(Object.fromEntries(redirected.searchParams)).toEqual({
      error: 'access_denied',
      error_description: 'the person did not allow it',
      state: 'the state',
      iss: writ.issuer,
    });
  });

  it('who fail to sign in at the company come back with access_denied', async () => {
    const { link } = await authorizationLink(writ, agent);
    const redirected = await authorize(new Browser(), link, {
      redirectUri: REDIRECT_URI,
      employee: { ...ALICE, password: 'wrong' },
    });
    expect(redirected.searchParams.get('error')).toBe('access_denied');
  });

  it('who are disabled get in nowhere: not by sign-in, not by a remembered one, not by a code or a refresh token (RT-07)', async () => {
    const browser = new Browser();
    const parameters = { scope: 'openid offline_access files:read', prompt: 'consent' };
    const { body } = await token(await obtainCode(writ, agent, { employee: BOB, browser, parameters }));
    const code = await obtainCode(writ, agent, { employee: BOB, browser });
    await db.database.prisma.person.updateMany({ where: { subject: BOB.subject }, data: { status: 'disabled' } });
    expect(await token(code)).toEqual(INVALID_GRANT);
    const refresh = await post(
      `${writ.issuer}/token`,
      refreshForm(agent, writ.issuer, (body as { refresh_token: string }).refresh_token),
    );
    expect(refresh).toEqual(INVALID_GRANT);
    for (const window of [browser, new Browser()]) {
      const { redirected } = await obtainCode(writ, agent, { employee: BOB, browser: window });
      expect(redirected.searchParams.get('error_description')).toBe('the person may not sign in');
    }
    await db.database.prisma.person.updateMany({ where: { subject: BOB.subject }, data: { status: 'active' } });
  });

  it('sign in anew when the agent asks for it, also as somebody else', async () => {
    const browser = new Browser();
    const first = await token(await obtainCode(writ, agent, { browser }));
    const second = await token(
      await obtainCode(writ, agent, { browser, employee: BOB, parameters: { prompt: 'login' } }),
    );
    const [alice, bob] = [first, second].map(
      ({ body }) => claimsOf((body as { access_token: string }).access_token)['sub'],
    );
    expect(alice).not.toBe(bob);
  });
});

describe('codes', () => {
  it('AZ-10: are good once, and a second use ends everything that came of the first', async () => {
    const code = await obtainCode(writ, agent, {
      parameters: { scope: 'offline_access files:read', prompt: 'consent' },
    });
    const { body } = await token(code);
    const { access_token: accessToken, refresh_token: refreshToken } = body as {
      access_token: string;
      refresh_token: string;
    };
    expect(await token(code)).toEqual(INVALID_GRANT);
    expect(await post(`${writ.issuer}/token`, refreshForm(agent, writ.issuer, refreshToken))).toEqual(INVALID_GRANT);
    const { grant } = claimsOf(accessToken)['writ'] as { grant: string };
    expect(await db.database.prisma.revocation.findMany({ where: { target: `grant:${grant}` } })).toEqual([
      {
        target: `grant:${grant}`,
        number: expect.any(BigInt),
        reason: 'a code or refresh token was used twice',
        revokedBy: 'writ',
        revokedAt: expect.any(Date),
      },
    ]);
    expect(await db.database.prisma.engineRecord.count({ where: { grantId: grant } })).toBe(0);
  });

  it('AZ-08: of another agent, another redirect or nobody are refused alike', async () => {
    const other = new TestAgent('agt_other');
    writ.registry.change([agent.registered, other.registered]);
    const code = await obtainCode(writ, agent);
    expect(await token(code, { redirect_uri: `${REDIRECT_URI}/` })).toEqual(INVALID_GRANT);
    expect(await token({ ...code, code: 'nobody' })).toEqual(INVALID_GRANT);
    expect(await post(`${writ.issuer}/token`, codeForm(other, writ.issuer, code))).toEqual(INVALID_GRANT);
  });

  it('TX-29: presented by another agent are stolen, and dead for their own agent too', async () => {
    const other = new TestAgent('agt_other');
    writ.registry.change([agent.registered, other.registered]);
    const code = await obtainCode(writ, agent);
    await post(`${writ.issuer}/token`, codeForm(other, writ.issuer, code));
    expect(await token(code)).toEqual(INVALID_GRANT);
  });

  it('are kept as hashes only, as are tokens, cookies and pages', async () => {
    const browser = new Browser();
    const code = await obtainCode(writ, agent, {
      browser,
      parameters: { scope: 'offline_access files:read', prompt: 'consent' },
    });
    const { body } = await token(code);
    const { link } = await authorizationLink(writ, agent);
    await browser.get(link, REDIRECT_URI);
    const stored = JSON.stringify(await db.database.prisma.engineRecord.findMany());
    const cookies = browser.cookies().filter(({ name, host }) => !name.endsWith('.sig') && writ.issuer.endsWith(host));
    expect(new Set(cookies.map(({ name }) => name))).toEqual(
      new Set(['writ_interaction', 'writ_resume', 'writ_session']),
    );
    const secrets = [
      code.code,
      (body as { refresh_token: string }).refresh_token,
      ...cookies.map(({ value }) => value),
    ];
    for (const secret of secrets) expect(stored).not.toContain(secret);
  });
});
