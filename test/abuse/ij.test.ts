import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { loadConfig } from '../../src/config/index.js';
import { expectRefused, marked, stateOf } from '../support/invariants.js';
import { RS1, tool, tools } from '../support/world.js';
import {
  ADMIN_TOKEN,
  assertion,
  bearerAssertion,
  encodeForm,
  type Form,
  type Reply,
  request,
} from '../support/writ.js';
import { forge, raw } from './forge.js';
import { assertionClaims } from './forge.js';
import { CALLBACK, startSignInWorld, type SignInWorld } from './sign-in.js';

const TYPE = 'urn:ietf:params:oauth:token-type:';
const OPERATORS: readonly unknown[] = [
  { not: '' },
  { startsWith: 'a' },
  { $ne: null },
  { in: ['agt_a1'] },
  ['a', 'b'],
  true,
];
const asText = (value: unknown): string => JSON.stringify(value);

let world: SignInWorld;
beforeAll(async () => {
  world = await startSignInWorld();
}, 60_000);
afterAll(async () => {
  await world.close();
  expect(world.faults).toEqual([]);
});

/** A request whose target is this text to the letter, which no URL library would send. */
function target(path: string, headers: Readonly<Record<string, string>> = {}, method = 'GET'): Promise<Reply> {
  const { hostname, port } = new URL(world.issuer);
  return new Promise((resolve, reject) => {
    const sent = httpRequest({ hostname, port, path, method, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => {
        const pairs = Object.entries(response.headers).map(([name, value]): [string, string] => [name, String(value)]);
        resolve({ status: response.statusCode ?? 0, headers: new Headers(pairs), body: text, text });
      });
    });
    sent.on('error', reject);
    sent.end();
  });
}

describe('IJ-01 an operator of a query language where a value belongs', () => {
  it.each(['iss', 'sub', 'aud', 'client_id', 'jti', 'exp', 'iat', 'acr', 'cnf'])(
    'IJ-01 as the claim %s of a subject token is refused, whatever it is',
    async (claim) => {
      for (const operator of OPERATORS) {
        const subject_token = await world.personToken('alice', { [claim]: operator });
        const answer = await world.exchange({ subject_token });
        expect([claim, asText(operator), answer.status, answer.body]).toEqual([
          claim,
          asText(operator),
          400,
          { error: 'invalid_request', error_description: 'subject_token is not acceptable' },
        ]);
      }
      const subject_token = await world.personToken('alice', { jti: marked(), [claim]: { not: '' } });
      await expectRefused(world, () => world.exchange({ subject_token }), {
        status: 400,
        error: 'invalid_request',
        reason: 'subject_invalid',
      });
    },
  );

  it.each(['iss', 'sub', 'aud', 'jti', 'exp', 'iat'])(
    'IJ-01 as the claim %s of a client assertion or an actor token is refused at every door',
    async (claim) => {
      for (const operator of OPERATORS) {
        const claims = { ...assertionClaims(world.issuer, world.a1), [claim]: operator };
        const typ = 'client-authentication+jwt';
        const client_assertion = forge(world.a1.key.privateKey, { alg: 'ES256', kid: 'agt_a1-key', typ }, claims);
        const actor_token = forge(world.a1.key.privateKey, { alg: 'ES256', kid: 'agt_a1-key' }, claims);
        const by = { ...(await bearerAssertion(world.issuer, world.a1)), client_assertion };
        const actor = { actor_token, actor_token_type: `${TYPE}jwt` };
        const refused = [
          await world.exchange({ client_assertion }),
          await world.post('/introspect', { ...by, token: 'a.b.c' }),
          await world.post('/revoke', { ...by, token: 'opaque' }),
          await world.post('/request', { ...by, response_type: 'code' }),
          await world.exchange(actor),
        ];
        expect([asText(operator), refused.map(({ status }) => status)]).toEqual([
          asText(operator),
          [401, 401, 401, 401, 400],
        ]);
      }
    },
  );

  it.each<[string, Form, string]>([
    ['resource', { resource: '{"not":""}' }, 'invalid_target'],
    ['audience', { resource: undefined, audience: '{"startsWith":"agt"}' }, 'invalid_target'],
    ['scope', { scope: '{"not":""}' }, 'invalid_scope'],
    ['subject_token_type', { subject_token_type: '{"not":""}' }, 'invalid_request'],
    ['requested_token_type', { requested_token_type: '{"in":[]}' }, 'invalid_request'],
    [
      'the name of a tool',
      { authorization_details: asText([{ ...tool('x'), identifier: { not: '' } }]) },
      'invalid_authorization_details',
    ],
    [
      'the place of a tool',
      { authorization_details: asText([{ ...tool('x'), locations: { contains: RS1 } }]) },
      'invalid_authorization_details',
    ],
    ['the task', { request_details: '{"task":{"not":""}}' }, 'invalid_request'],
  ])('IJ-01 as %s of an exchange is refused', async (_, changes, error) => {
    await expectRefused(world, () => world.exchange(changes), { status: 400, error, reason: /^[a-z_]+$/ });
  });

  it('IJ-01 in the name of a parameter is a parameter that nobody knows', async () => {
    const bent = {
      'subject_token[not]': 'x',
      'client_id[startsWith]': 'agt',
      'scope[]': 'repo:write',
      'resource.not': 'x',
    };
    expect((await world.exchange(bent)).status).toBe(200);
    const only = { subject_token: undefined, 'subject_token[not]': 'x' };
    await expectRefused(world, () => world.exchange(only), {
      status: 400,
      error: 'invalid_request',
      reason: 'parameter_missing',
    });
  });

  it('IJ-01 in any text of the admin API is refused with its field, and nothing is written', async () => {
    const agent = (await world.admin('GET', '/agents/agt_a1')).body as Record<string, unknown>;
    const before = await stateOf(world);
    for (const field of ['client_id', 'name', 'owner', 'purpose', 'status', 'expires_at', 'authentication']) {
      for (const operator of [{ not: '' }, ['a']]) {
        const answer = await world.admin('PUT', '/agents/agt_a1', { ...agent, [field]: operator });
        expect([field, answer.status, (answer.body as { param: string }).param]).toEqual([
          field,
          400,
          expect.stringMatching(new RegExp(`^${field}`)),
        ]);
      }
    }
    expect(await stateOf(world)).toEqual(before);
  });

  it('IJ-01 in a query or a path of the admin API is refused, or is the id of nothing', async () => {
    for (const path of [
      '/sessions?person[not]=x',
      '/sessions?status[in]=active',
      '/log?kind[not]=x',
      '/agents?limit[gt]=1',
    ])
      expect([path, (await world.admin('GET', path)).status]).toEqual([path, 400]);
    for (const path of [
      '/agents/%7B%22not%22%3A%22%22%7D',
      '/sessions/%7B%22not%22%3A%22%22%7D',
      "/agents/'%20OR%201=1--",
    ])
      expect([path, (await world.admin('GET', path)).status]).toEqual([path, 404]);
  });
});

describe('IJ-02 a name that reaches a prototype', () => {
  const POLLUTED = '{"__proto__":{"isAdmin":true},"constructor":{"prototype":{"isAdmin":true}}}';
  const isClean = (): boolean => !('isAdmin' in {}) && !('polluted' in Function.prototype);

  it('IJ-02 has no effect in JSON bodies, forms and parameters that hold JSON', async () => {
    const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' };
    for (const path of ['/apply', '/sessions/ses_x/end'])
      expect(
        (await request(`${world.issuer}/admin/v1${path}`, { method: 'POST', headers, body: POLLUTED })).status,
      ).toBe(400);
    const form = await world.form();
    const body = `__proto__[isAdmin]=1&__proto__=x&constructor[prototype][isAdmin]=1&${encodeForm(form).toString()}`;
    const post = (path: string): Promise<Reply> =>
      request(`${world.issuer}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body,
      });
    expect((await post('/token')).status).toBe(200);
    await post('/request');
    for (const name of ['authorization_details', 'request_details', 'request_context'])
      expect([name, (await world.exchange({ [name]: POLLUTED })).status]).toEqual([name, 400]);
    await request(`${world.issuer}/auth?__proto__[isAdmin]=1&constructor[prototype][isAdmin]=1&client_id=agt_a1`, {});
    await request(`${world.issuer}/admin/v1/agents?__proto__[isAdmin]=1`, { headers });
    expect(isClean()).toBe(true);
  });

  it('IJ-02 has no effect in claims, signed by those who are trusted', async () => {
    const claims = `{"iss":"https://company.example","__proto__":{"isAdmin":true},"sub":"alice"}`;
    const token = forge(world.companyKey.privateKey, { alg: 'ES256', kid: 'company-1', typ: 'at+jwt' }, claims);
    await expectRefused(world, () => world.exchange({ subject_token: token }), {
      status: 400,
      error: 'invalid_request',
      reason: 'subject_invalid',
    });
    expect(isClean()).toBe(true);
  });

  it('IJ-02 has no effect in the configuration, as file and as environment', () => {
    for (const file of [
      '__proto__: { isAdmin: true }',
      'constructor: { prototype: { isAdmin: true } }',
      '"__proto__": { issuer: x }',
    ])
      expect([file, loadConfig({ WRIT_CONFIG: 'w.yaml' }, () => file).ok]).toEqual([file, false]);
    const env = JSON.parse('{"__proto__":"x","constructor":"x","WRIT_PORT":"4455"}') as Record<string, string>;
    const config = loadConfig({ ...env }, () => undefined);
    expect(config.ok && Object.getPrototypeOf(config.value)).toBe(Object.prototype);
    expect(isClean()).toBe(true);
  });

  it('IJ-02 would meet a prototype that cannot change: everything works with it frozen', async () => {
    Object.freeze(Object.prototype);
    const answer = await world.exchange({ authorization_details: tools(tool('write_file')) });
    expect([answer.status, answer.text]).toEqual([200, expect.any(String)]);
    expect((await world.tokensFor(world.a1, {})).access_token).toEqual(expect.any(String));
    expect((await world.admin('GET', '/agents')).status).toBe(200);
  });
});

describe('IJ-04 a header that says where Writ is', () => {
  const EVIL = 'evil.example';
  const HEADERS: readonly (readonly [string, string])[] = [
    ['Host', EVIL],
    ['Host', `${EVIL}:fake@127.0.0.1`],
    ['Host', `127.0.0.1@${EVIL}`],
    ['X-Forwarded-Host', EVIL],
    ['X-Forwarded-Host', `${EVIL}, 127.0.0.1`],
    ['X-Forwarded-Proto', 'https'],
    ['X-Forwarded-Prefix', `/${EVIL}`],
    ['Forwarded', `host=${EVIL};proto=https`],
    ['X-Original-URL', `http://${EVIL}/`],
    ['X-Rewrite-URL', `http://${EVIL}/`],
  ];
  const sameEverywhere = (text: string): string => text.replaceAll(/"request_id":"[^"]*"/g, '');

  it.each(HEADERS)('IJ-04 %s: %s changes no metadata, key, redirect or error', async (name, value) => {
    const query = new URLSearchParams({
      client_id: 'agt_a1',
      redirect_uri: CALLBACK,
      response_type: 'token',
      state: 'x',
    });
    const paths = [
      '/.well-known/oauth-authorization-server',
      '/.well-known/openid-configuration',
      '/jwks',
      `/auth?${query.toString()}`,
      '/auth',
      '/interaction/x',
      '/admin/v1/agents',
      '/nothing',
    ];
    for (const path of paths) {
      const [plain, bent] = [await target(path), await target(path, { [name]: value })];
      expect([path, bent.status, sameEverywhere(bent.text)]).toEqual([path, plain.status, sameEverywhere(plain.text)]);
      expect([path, bent.headers.get('location')]).toEqual([path, plain.headers.get('location')]);
      expect(JSON.stringify([bent.text, ...bent.headers])).not.toContain(EVIL);
    }
  });

  it.each(HEADERS)('IJ-04 %s: %s is no part of what an assertion or a proof is for', async (name, value) => {
    const at = `http://${EVIL}`;
    const form = { ...(await world.form()), client_assertion: await assertion(at, world.a1) };
    const headers = name === 'Host' ? [] : [name, value];
    const type = ['Content-Type', 'application/x-www-form-urlencoded'];
    const answer = await raw(`${world.issuer}/token`, {
      headers: [...type, ...headers],
      body: encodeForm(form).toString(),
    });
    expect([answer.status, answer.body]).toEqual([
      401,
      { error: 'invalid_client', error_description: 'client authentication failed' },
    ]);
  });

  it.each(['http://[::1', 'http://', 'http:', 'x', '*', '?a=b', '%', 'a:b'])(
    'IJ-04 a request for %s, which has no path, is refused before anybody asks for it',
    async (path) => {
      for (const method of ['GET', 'POST', 'OPTIONS']) {
        const answer = await target(path, {}, method);
        expect([path, method, answer.status]).toEqual([path, method, 400]);
      }
    },
  );

  it('IJ-04 a request for a whole URL is answered by its path, as the same one', async () => {
    const answer = await target(`http://${EVIL}/.well-known/oauth-authorization-server`);
    expect(JSON.parse(answer.text)).toMatchObject({ issuer: world.issuer });
  });
});

describe('IJ-05 an address that comes with the request', () => {
  const ELSEWHERE = [
    'https://evil.example',
    '//evil.example',
    '/\\evil.example',
    'javascript:alert(1)',
    `${CALLBACK}/../x`,
    `${CALLBACK}@evil.example`,
  ];

  it.each(ELSEWHERE)('IJ-05 %s is never where somebody is sent to', async (address) => {
    const query = {
      client_id: 'agt_a1',
      response_type: 'code',
      state: 'x',
      code_challenge: 'x'.repeat(43),
      code_challenge_method: 'S256',
    };
    const links = [
      `/auth?${new URLSearchParams({ ...query, redirect_uri: address }).toString()}`,
      `/auth?${new URLSearchParams({ ...query, redirect_uri: CALLBACK, post_logout_redirect_uri: address, return_to: address }).toString()}`,
      `/interaction/x?return=${encodeURIComponent(address)}`,
      `/interaction/callback/company?state=x&iss=${encodeURIComponent(address)}&code=x`,
      '/nothing',
      '/auth/back',
    ];
    for (const link of links) {
      const answer = await target(link, { Referer: address, Origin: address });
      const location = answer.headers.get('location');
      if (location !== null) {
        const { origin } = new URL(location, world.issuer);
        expect([link, [world.issuer, new URL(CALLBACK).origin]]).toEqual([link, expect.arrayContaining([origin])]);
      }
      expect([link, answer.text.includes('evil.example')]).toEqual([link, false]);
    }
  });

  it.each(['//evil.example', '//evil.example/%2e%2e', '/\\evil.example', '/%5cevil.example', '///evil.example/'])(
    'IJ-05 the path %s leads nowhere',
    async (path) => {
      const answer = await target(path);
      expect([answer.status, answer.headers.get('location')]).toEqual([404, null]);
    },
  );
});
