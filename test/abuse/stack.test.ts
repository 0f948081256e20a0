import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { CANARY, expectNoSecret, expectRefused, marked } from '../support/invariants.js';
import { assertion, bearerAssertion, type Form, type Reply, request, sendForm } from '../support/writ.js';
import { assertionClaims, forge, nested, seconds } from './forge.js';
import {
  CALLBACK,
  startReplica,
  startSignInWorld,
  type SignInWorld,
  tokenOf,
  type Tokens,
  renewal,
} from './sign-in.js';

const BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const ROUNDS = 60;
const offline = { scope: 'openid offline_access repo:read', prompt: 'consent' };

let world: SignInWorld;
let replica: Awaited<ReturnType<typeof startReplica>>;
beforeAll(async () => {
  world = await startSignInWorld();
  replica = await startReplica(world);
}, 60_000);
afterAll(async () => {
  await replica.close();
  await world.close();
  expect(world.faults).toEqual([]);
});

const at = (url: string, path: string, form: Form): Promise<Reply> => sendForm(`${url}${path}`, form);
const both = (path: string, one: Form, two: Form): Promise<Reply[]> =>
  Promise.all([at(world.issuer, path, one), at(replica.url, path, two)]);
const won = (answers: readonly Reply[], status = 200): number =>
  answers.filter((answer) => answer.status === status).length;

/** STYLE E10: the library reads, then writes; 54 to 57 of 60 races went through. */
describe('E10 one-time things of the engine, on two nodes at once', () => {
  it('an assertion is good for one of two pushed requests, every time', async () => {
    const pushed: Form = {
      response_type: 'code',
      client_id: world.a1.id,
      redirect_uri: CALLBACK,
      code_challenge: 'x'.repeat(43),
      code_challenge_method: 'S256',
    };
    for (let round = 0; round < ROUNDS; round++) {
      const form = { ...pushed, ...(await bearerAssertion(world.issuer, world.a1)) };
      const answers = await both('/request', form, form);
      expect(answers.map(({ status }) => status).sort()).toEqual([201, 401]);
    }
  }, 120_000);

  it('an assertion is good for one of the engine and the exchange, every time', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const credentials = await bearerAssertion(world.issuer, world.a1);
      const answers = await Promise.all([
        world.exchange(credentials),
        at(replica.url, '/token', { grant_type: 'refresh_token', refresh_token: 'x', ...credentials }),
      ]);
      expect(answers.filter(({ status }) => status === 401)).toHaveLength(1);
    }
  }, 120_000);

  it('a code is redeemed once, and the loser of the race ends what the winner got', async () => {
    let wins = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const code = await world.codeFor(world.a1, offline);
      const answers = await both('/token', await world.codeForm(code, world.a1), await world.codeForm(code, world.a1));
      expect(won(answers)).toBeLessThanOrEqual(1);
      const winner = answers.find(({ status }) => status === 200)?.body as Tokens | undefined;
      if (winner === undefined) continue;
      wins++;
      expect((await at(world.issuer, '/token', await renewal(world, winner.refresh_token))).status).toBe(400);
      expect((await world.exchange({ subject_token: winner.access_token })).status).toBe(400);
    }
    // That there is a winner at all: the loser may be first to end what both came from.
    expect(wins).toBeGreaterThan(ROUNDS / 2);
  }, 180_000);

  it('a refresh token is rotated once, and the loser of the race ends the family', async () => {
    let wins = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const { refresh_token } = await world.tokensFor(world.a1, offline);
      const answers = await both('/token', await renewal(world, refresh_token), await renewal(world, refresh_token));
      expect(won(answers)).toBeLessThanOrEqual(1);
      const winner = answers.find(({ status }) => status === 200)?.body as Tokens | undefined;
      if (winner === undefined) continue;
      wins++;
      expect((await at(replica.url, '/token', await renewal(world, winner.refresh_token))).status).toBe(400);
      expect((await world.exchange({ subject_token: winner.access_token })).status).toBe(400);
    }
    // That there is a winner at all: the loser may be first to end what both came from.
    expect(wins).toBeGreaterThan(ROUNDS / 2);
  }, 180_000);
});

/** STYLE E11: what the library does unless it is told otherwise. */
describe('E11 defaults of the engine', () => {
  it('no client introspects an opaque token, its own neither', async () => {
    const { refresh_token } = await world.tokensFor(world.a1, offline);
    for (const by of [world.a1, world.a2, world.rs1]) {
      const form = { ...(await bearerAssertion(world.issuer, by)), token: refresh_token };
      expect((await world.post('/introspect', form)).body).toEqual({ active: false });
      for (const path of ['/token/introspection', '/introspection', '/oauth/introspect'])
        expect((await world.post(path, form)).status).toBe(404);
    }
  });

  const now = seconds();
  it.each<[string, Record<string, unknown>, Record<string, unknown>]>([
    ['of a transaction token', { typ: 'txntoken+jwt' }, {}],
    ['of an access token', { typ: 'at+jwt' }, {}],
    ['of a transactional access token', { typ: 'txnat+jwt' }, {}],
    ['of a DPoP proof', { typ: 'dpop+jwt' }, {}],
    ['for a list of audiences', {}, { aud: ['ISSUER', 'https://other.example'] }],
    ['for the token endpoint', {}, { aud: 'ISSUER/token' }],
    ['for the PAR endpoint', {}, { aud: 'ISSUER/request' }],
    ['for ten years', {}, { exp: now + 315_360_000 }],
    ['without jti', {}, { jti: undefined }],
    ['without iat', {}, { iat: undefined }],
    ['with a jti that is an object', {}, { jti: { not: '' } }],
    ['with crit', { crit: ['x'], x: 1 }, {}],
    ['with a key of its own', { jwk: { kty: 'EC' }, kid: 'x' }, {}],
  ])('an assertion %s is refused by every route of the engine', async (_, header, claims) => {
    const text = (value: unknown): unknown =>
      JSON.parse(JSON.stringify(value).replaceAll('ISSUER', world.issuer)) as unknown;
    const changed = Object.fromEntries(
      Object.entries(claims).map(([name, value]) => [name, value === undefined ? undefined : text(value)]),
    );
    const forms: [string, Form][] = [
      ['/request', { response_type: 'code', client_id: world.a1.id, redirect_uri: CALLBACK }],
      ['/token', { grant_type: 'refresh_token', refresh_token: 'x' }],
      ['/token', { grant_type: 'authorization_code', code: 'x', redirect_uri: CALLBACK }],
      ['/revoke', { token: 'opaque' }],
    ];
    for (const [path, form] of forms) {
      const client_assertion = await assertionWith(changed, header);
      const answer = await world.post(path, { ...form, client_assertion, client_assertion_type: BEARER });
      expect([path, answer.status, (answer.body as { error: string }).error]).toEqual([path, 401, 'invalid_client']);
      expectNoSecret([answer.text]);
    }
  });
  const assertionWith = (claims: Record<string, unknown>, header: Record<string, unknown>): Promise<string> =>
    Promise.resolve(
      forge(
        world.a1.key.privateKey,
        { alg: 'ES256', kid: 'agt_a1-key', typ: 'client-authentication+jwt', ...header },
        { ...assertionClaims(world.issuer, world.a1), jti: marked(), ...claims },
      ),
    );

  it('nobody registers anything, and nothing says that it could be done', async () => {
    for (const path of ['/reg', '/register', '/registration', '/connect/register', '/clients']) {
      const answer = await request(`${world.issuer}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          redirect_uris: ['http://evil.example/cb'],
          grant_types: ['urn:ietf:params:oauth:grant-type:token-exchange'],
        }),
      });
      expect([path, answer.status]).toEqual([path, 404]);
    }
    for (const place of ['oauth-authorization-server', 'openid-configuration']) {
      const { body, text } = await request(`${world.issuer}/.well-known/${place}`, {});
      expect(body).toMatchObject({
        response_types_supported: ['code'],
        grant_types_supported: [
          'authorization_code',
          'refresh_token',
          'urn:ietf:params:oauth:grant-type:token-exchange',
        ],
        code_challenge_methods_supported: ['S256'],
      });
      for (const word of [
        'registration_endpoint',
        'implicit',
        '"none"',
        '"plain"',
        'HS256',
        'fragment',
        'device_',
        'ciba',
      ])
        expect(text).not.toContain(word);
    }
  });

  it.each(['token', 'id_token', 'code token', 'code id_token', 'none', ''])(
    'the response type "%s" does not exist',
    async (response_type) => {
      const query = new URLSearchParams({
        client_id: world.a1.id,
        redirect_uri: CALLBACK,
        response_type,
        scope: 'repo:read',
        state: 's',
        nonce: 'n',
      });
      const { headers, text } = await request(`${world.issuer}/auth?${query.toString()}`, {});
      const where = headers.get('location') ?? '';
      expect(where === '' || where.startsWith(`${CALLBACK}?`)).toBe(true);
      for (const given of ['code=', 'access_token', 'id_token=', '#']) expect(where).not.toContain(given);
      expect(text).not.toContain('access_token');
    },
  );

  it('a request without scope gets what the agent may have, and a person is asked', async () => {
    const code = await world.codeFor(world.a1, { scope: '' });
    const { access_token } = (await world.post('/token', await world.codeForm(code, world.a1))).body as Tokens;
    expect(decodeJwt(access_token)['scope']).toBe('repo:read repo:write');
  });

  it('a pushed request without PKCE, and a challenge in plain, are refused', async () => {
    for (const challenge of [
      {},
      { code_challenge: 'x'.repeat(43) },
      { code_challenge: 'x'.repeat(43), code_challenge_method: 'plain' },
    ]) {
      const form: Form = {
        response_type: 'code',
        client_id: world.a1.id,
        redirect_uri: CALLBACK,
        ...challenge,
        ...(await bearerAssertion(world.issuer, world.a1)),
      };
      const answer = await world.post('/request', form);
      expect([answer.status, (answer.body as { error: string }).error]).toEqual([400, 'invalid_request']);
    }
  });
});

/** STYLE E12: what jose accepts with every option set. */
describe('E12 what a JWT library lets through', () => {
  const text = (claims: Record<string, unknown>): string => JSON.stringify(claims);
  const cases: [string, (claims: Record<string, unknown>) => string][] = [
    ['exp beyond all numbers', (claims) => text({ ...claims, exp: 0 }).replace('"exp":0', '"exp":1e400')],
    ['an object as sub', (claims) => text({ ...claims, sub: { not: '' } })],
    ['a __proto__ claim', (claims) => text(claims).replace(/}$/, ',"__proto__":{"sub":"admin"}}')],
    ['a key twice', (claims) => text(claims).replace(/}$/, ',"sub":"admin"}')],
    ['another audience beside us', (claims) => text({ ...claims, aud: [claims['aud'], 'https://other.example'] })],
    ['1,001 nested actors', (claims) => text(claims).replace(/}$/, `,"act":${nested(1_001, '{}', 'act')}}`)],
  ];

  it.each(cases)('%s is refused of a company, of the caller and of ourselves', async (_, spoil) => {
    const company = spoil({
      iss: 'https://company.example',
      sub: CANARY,
      aud: world.issuer,
      client_id: 'agt_a1',
      scope: 'repo:read',
      iat: seconds(),
      exp: seconds() + 60,
      jti: marked(),
    });
    const subject_token = forge(
      world.companyKey.privateKey,
      { alg: 'ES256', kid: 'company-1', typ: 'at+jwt' },
      company,
    );
    await expectRefused(world, () => world.exchange({ subject_token }), {
      status: 400,
      error: 'invalid_request',
      description: 'subject_token is not acceptable',
      reason: 'subject_invalid',
    });

    const mine = (): string => spoil({ ...assertionClaims(world.issuer, world.a1), jti: marked() });
    const actor = {
      actor_token: forge(world.a1.key.privateKey, { alg: 'ES256', kid: 'agt_a1-key' }, mine()),
      actor_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    };
    await expectRefused(world, () => world.exchange(actor), {
      status: 400,
      error: 'invalid_request',
      description: 'actor_token is not acceptable',
      reason: 'actor_invalid',
    });

    const forged = (): Form => ({
      client_assertion: forge(
        world.a1.key.privateKey,
        { alg: 'ES256', kid: 'agt_a1-key', typ: 'client-authentication+jwt' },
        mine(),
      ),
      client_assertion_type: BEARER,
    });
    await expectRefused(world, () => world.exchange(forged()), {
      status: 401,
      error: 'invalid_client',
      reason: /^assertion_/,
      unauthenticated: true,
    });
    const engine = await world.post('/token', { grant_type: 'refresh_token', refresh_token: 'x', ...forged() });
    expect([engine.status, (engine.body as { error: string }).error]).toEqual([401, 'invalid_client']);
    expect(({} as { sub?: unknown }).sub).toBeUndefined();
  });

  it('a signature in a second spelling is refused, by the engine too', async () => {
    const good = await assertion(world.issuer, world.a1);
    for (const other of [`${good}=`, `${good}==`, good.replace(/\.(?=[^.]*$)/, '. ')]) {
      for (const form of [{ grant_type: 'refresh_token', refresh_token: 'x' }, {}]) {
        const answer = await world.exchange({ ...form, client_assertion: other });
        expect([answer.status, (answer.body as { error: string }).error]).toEqual([401, 'invalid_client']);
      }
    }
  });

  it.each(['/token', '/request', '/revoke'])(
    'an assertion whose header is nested 5,000 deep, rightly signed, is failed authentication of the engine at %s',
    async (path) => {
      const deep = (name: string): Form => {
        const header = `{"alg":"ES256","kid":"agt_a1-key","${name}":${'['.repeat(5_000)}${']'.repeat(5_000)}}`;
        const claims = assertionClaims(world.issuer, world.a1);
        return { client_assertion: forge(world.a1.key.privateKey, header, claims), client_assertion_type: BEARER };
      };
      const asked = { response_type: 'code', client_id: world.a1.id, redirect_uri: CALLBACK, token: 'x' };
      for (const name of ['typ', 'x'])
        for (const form of [deep(name), { ...deep(name), request: deep(name)['client_assertion'] }]) {
          const answer = await world.post(path, { ...asked, grant_type: 'refresh_token', refresh_token: 'x', ...form });
          expect([answer.status, answer.body]).toEqual([
            401,
            { error: 'invalid_client', error_description: 'client authentication failed' },
          ]);
          expect(answer.headers.get('cache-control')).toBe('no-store');
        }
      const request = deep('typ')['client_assertion'];
      const credentials = await bearerAssertion(world.issuer, world.a1);
      const answer = await world.post('/request', { ...asked, ...credentials, token: undefined, request });
      expect([answer.status, (answer.body as { error: string }).error]).toEqual([400, 'request_not_supported']);
      expect(world.faults).toEqual([]);
    },
  );

  it('a form in another charset than UTF-8 is not read twice', async () => {
    const form = new URLSearchParams({ client_id: world.a1.id, client_assertion: 'a.b.c' }).toString();
    const answer = await request(`${world.issuer}/request`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded; charset=utf-16le' },
      body: Buffer.from(form, 'utf16le'),
    });
    expect([answer.status, answer.body]).toEqual([
      400,
      { error: 'invalid_request', error_description: 'the body must be a form in UTF-8 of at most 65536 bytes' },
    ]);
  });

  it('a token of 5 MB or of 20,001 levels is refused before it is parsed, by the engine too', async () => {
    const deep = forge(world.a1.key.privateKey, { alg: 'ES256' }, `{"a":${nested(20_001)}}`);
    for (const client_assertion of [deep, 'e'.repeat(5_000_000)]) {
      for (const form of [{ grant_type: 'refresh_token', refresh_token: 'x' }, {}]) {
        expect((await world.exchange({ ...form, client_assertion })).status).toBe(413);
      }
    }
    expect((await world.exchange()).status).toBe(200);
  });

  it('a person’s own token is what was consented to, and nothing that a claim added', async () => {
    const { access_token } = await world.tokensFor(world.a1, {
      scope: 'repo:read',
      claims: '{"id_token":{"admin":null}}',
      resource: world.issuer,
    });
    const claims = decodeJwt(access_token);
    expect(claims).toMatchObject({ aud: world.issuer, client_id: 'agt_a1', scope: 'repo:read' });
    expect(tokenOf(await world.exchange({ subject_token: access_token }))).toEqual(expect.any(String));
  });
});
