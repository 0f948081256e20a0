import { describe, expect, it } from '@jest/globals';
import { Browser } from '../support/browser.js';
import { authorizationLink, codeForm, obtainCode, post, REDIRECT_URI, TestAgent } from '../support/engine.js';
import { ownEngine } from '../support/own-engine.js';

const agent = new TestAgent('agt_planner');
const expired = new TestAgent('agt_expired', { expires_at: '2020-01-01T00:00:00Z' });
const disabled = new TestAgent('agt_disabled', { status: 'disabled' });
const { writ } = await ownEngine(agent, expired, disabled);

const refusedBy = async (parameters: Record<string, string | undefined>): Promise<Record<string, string>> => {
  const { link } = await authorizationLink(writ, agent, parameters);
  const page = await new Browser().get(link, REDIRECT_URI);
  if (!page.url.startsWith(REDIRECT_URI)) throw new Error(`no redirect: ${page.body}`);
  return Object.fromEntries(new URL(page.url).searchParams);
};

describe('PKCE (RFC 7636, OAuth 2.1)', () => {
  it.each([
    ['AZ-07: plain', { code_challenge_method: 'plain' }, 'not supported value of code_challenge_method'],
    ['AZ-07: none', { code_challenge_method: 'none' }, 'not supported value of code_challenge_method'],
    ['AZ-07: s256 in lower case', { code_challenge_method: 's256' }, 'not supported value of code_challenge_method'],
    ['a challenge without a method', { code_challenge_method: undefined }, 'code_challenge_method must be provided'],
    [
      'a method without a challenge',
      { code_challenge: undefined },
      'code_challenge must be provided with code_challenge_method',
    ],
    [
      'neither, although this client is confidential',
      { code_challenge: undefined, code_challenge_method: undefined },
      'Authorization Server policy requires PKCE to be used for this request',
    ],
  ])('§4.4.1: refuses %s', async (_name, parameters, error_description) => {
    expect(await refusedBy(parameters)).toEqual({
      error: 'invalid_request',
      error_description,
      state: 'the state',
      iss: writ.issuer,
    });
  });

  it.each([
    ['AZ-05: no verifier', undefined],
    ['another verifier', 'x'.repeat(43)],
  ])('§4.6: refuses a code with %s', async (_name, verifier) => {
    const code = await obtainCode(writ, agent);
    const form = codeForm(agent, writ.issuer, code);
    delete form['code_verifier'];
    const answer = await post(`${writ.issuer}/token`, {
      ...form,
      ...(verifier === undefined ? {} : { code_verifier: verifier }),
    });
    expect(answer).toEqual({
      status: 400,
      body: { error: 'invalid_grant', error_description: 'grant request is invalid' },
    });
  });
});

describe('response types and modes', () => {
  it.each(['token', 'id_token', 'code token', 'code id_token', 'none', 'code id_token token'])(
    'AZ-13: refuses response_type %s',
    async (response_type) => {
      expect(await refusedBy({ response_type, nonce: 'n', scope: 'openid' })).toEqual({
        error: 'unsupported_response_type',
        error_description: 'unsupported response_type requested',
        state: 'the state',
        iss: writ.issuer,
      });
    },
  );

  it.each(['form_post', 'web_message', 'jwt', 'query.jwt', 'form_post.jwt'])(
    'AZ-04: answers response_mode %s by the query alone',
    async (response_mode) => {
      expect(await refusedBy({ response_mode })).toEqual({
        error: 'unsupported_response_mode',
        error_description: 'unsupported response_mode requested',
        state: 'the state',
        iss: writ.issuer,
      });
    },
  );

  it('AZ-04: refuses a fragment for a code', async () => {
    expect(await refusedBy({ response_mode: 'fragment' })).toEqual({
      error: 'invalid_request',
      error_description: 'requested response_mode is not allowed for this client or request',
      state: 'the state',
      iss: writ.issuer,
    });
  });

  it.each([
    ['a request object', { request: 'eyJhbGciOiJub25lIn0.e30.' }, 'request_not_supported'],
    ['a request_uri of elsewhere', { request_uri: 'https://evil.example/r' }, 'request_uri_not_supported'],
    ['registration in the request', { registration: '{}' }, 'registration_not_supported'],
    ['prompt=none without a session', { prompt: 'none' }, 'login_required'],
  ])('refuses %s', async (_name, parameters, error) => {
    expect(await refusedBy(parameters)).toMatchObject({ error, iss: writ.issuer });
  });
});

describe('the redirect address', () => {
  it.each([
    'http://127.0.0.1:7999/callback/',
    'http://127.0.0.1:7999/callback?x=1',
    'http://127.0.0.1:7999/callback#f',
    'http://127.0.0.1:7999/CALLBACK',
    'http://127.0.0.1:7999/callback/../callback',
    'http://127.0.0.1:7999/x/..;/callback',
    'http://127.0.0.1:7999//callback',
    'http://127.0.0.1:7999/%63allback',
    'http://127.0.0.1:7998/callback',
    'http://127.0.0.1/callback',
    'https://127.0.0.1:7999/callback',
    'http://localhost:7999/callback',
    'http://[::1]:7999/callback',
    'http://127.1:7999/callback',
    'http://2130706433:7999/callback',
    'http://127.0.0.1:7999@evil.example/callback',
    'http://user@127.0.0.1:7999/callback',
    'http://127.0.0.1:7999.evil.example/callback',
    'http://evil.example/?http://127.0.0.1:7999/callback',
    'http://127.0.0.1:7999\\@evil.example/callback',
    ' http://127.0.0.1:7999/callback',
    'javascript:alert(1)',
    'data:text/html,hi',
    '//evil.example/callback',
    'callback',
  ])('AZ-01, AZ-02: %j is not the registered one: a page, and no redirect', async (redirect_uri) => {
    const { link } = await authorizationLink(writ, agent, { redirect_uri });
    const response = await fetch(link, { redirect: 'manual', headers: { accept: 'text/html' } });
    expect(response.status).toBe(400);
    expect(response.headers.get('location')).toBeNull();
    const body = await response.text();
    expect(body).toContain('<code>invalid_redirect_uri</code>');
    expect(body).not.toContain('evil.example');
  });

  it('must be sent, though there is one only', async () => {
    const { link } = await authorizationLink(writ, agent, { redirect_uri: undefined });
    expect((await fetch(link, { redirect: 'manual' })).status).toBe(400);
  });
});

describe('an agent that is unknown, disabled or expired', () => {
  it.each(['agt_nobody', 'agt_expired', 'agt_disabled', '', 'srv_files', '<b>x</b>'])(
    'gets the same page for %j',
    async (client_id) => {
      const { link } = await authorizationLink(writ, agent, { client_id });
      const { link: unknown } = await authorizationLink(writ, agent, {
        client_id: client_id === '' ? '' : 'agt_unknown',
      });
      const [page, wanted] = await Promise.all([new Browser().get(link), new Browser().get(unknown)]);
      expect(page.status).toBe(400);
      expect(page.body).toBe(wanted.body);
      expect(page.headers.get('content-security-policy')).toMatch(
        /^default-src 'none'; style-src 'sha256-[^']+'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'$/,
      );
    },
  );
});
