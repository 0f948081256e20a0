import { createHmac, sign as rawSign } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { createVerifier, type Reason, VerifierError } from '../../src/sdk/verifier/index.js';
import { newKey, TestIssuer } from '../support/issuer.js';

const RESOURCE = 'https://mcp1.example/files';
let issuer: TestIssuer;
beforeAll(async () => {
  issuer = await TestIssuer.start();
});
afterAll(() => issuer.close());

const verifier = () => createVerifier({ issuer: issuer.url, resource: RESOURCE });
const claims = (change: Record<string, unknown> = {}) => issuer.claims(RESOURCE, change);
const part = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

/** Every refusal looks the same from outside; only the reason, for the log, differs. */
async function expectRefusal(token: string, reason: Reason, check = verifier()): Promise<void> {
  const error: unknown = await check.verifyAccessToken(token).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(VerifierError);
  expect(error).toMatchObject({ code: 'invalid_token', reason });
  expect((error as VerifierError).toResponseObject()).toEqual({
    error: 'invalid_token',
    error_description: 'The access token is missing, invalid, expired or not for this server.',
  });
}

/** Signs any payload text, valid JSON or not, with the issuer's real key. */
function signText(payload: string, header: unknown = { alg: 'ES256', kid: 'k1', typ: 'txnat+jwt' }): string {
  const input = `${part(header)}.${part(payload)}`;
  const key = issuer.signingKey.privateKey as unknown as Parameters<typeof rawSign>[2];
  return `${input}.${rawSign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' } as never).toString('base64url')}`;
}

describe('a token that is good', () => {
  it('is turned into bearer information with the delegation in plain words', async () => {
    const now = Math.floor(Date.now() / 1000);
    const act = {
      sub: 'agt_writer',
      iss: issuer.url,
      sub_profile: 'ai_agent',
      act: { sub: 'agt_planner', iss: issuer.url },
    };
    const token = await issuer.sign(claims({ iat: now, exp: now + 180, jti: 'j1', client_id: 'agt_writer', act }));
    expect(await verifier().verifyAccessToken(token)).toEqual({
      token,
      clientId: 'agt_writer',
      scopes: ['files:read'],
      expiresAt: now + 180,
      resource: new URL(RESOURCE),
      extra: {
        writ: {
          person: 'prs_alice',
          actors: [
            { id: 'agt_writer', issuer: issuer.url, profile: 'ai_agent' },
            { id: 'agt_planner', issuer: issuer.url, profile: undefined },
          ],
          client: 'agt_writer',
          transaction: 'txn_1',
          session: 'ses_1',
          decision: 'dec_1',
          approval: undefined,
          task: 'T-1182',
          purpose: 'publish-report',
          scopes: ['files:read'],
          details: [],
          tokenId: 'j1',
          issuedAt: now,
          expiresAt: now + 180,
          acr: undefined,
          amr: undefined,
          authTime: undefined,
          localUses: false,
          dpopBound: false,
        },
      },
    });
  });

  it('gives a delegation that nobody can change on its way to the tool', async () => {
    const { extra } = await verifier().verifyAccessToken(await issuer.sign(claims()));
    expect(() => Object.assign(extra.writ, { person: 'prs_bob' })).toThrow(TypeError);
    expect(() => Object.assign(extra.writ.actors[0] ?? {}, { id: 'agt_other' })).toThrow(TypeError);
  });

  it('may spell its type in upper case and with the media type prefix', async () => {
    await expect(
      verifier().verifyAccessToken(await issuer.sign(claims(), { typ: 'application/TXNAT+JWT' })),
    ).resolves.toMatchObject({ clientId: 'agt_planner' });
  });

  it('may be an instance of the client', async () => {
    const act = { sub: 'agt_planner/run-7', iss: issuer.url };
    await expect(verifier().verifyAccessToken(await issuer.sign(claims({ act })))).resolves.toMatchObject({
      clientId: 'agt_planner',
    });
  });

  it('is an at+jwt only where the server takes that shape', async () => {
    const token = await issuer.sign(claims(), { typ: 'at+jwt' });
    await expectRefusal(token, 'wrong_type');
    const compatible = createVerifier({ issuer: issuer.url, resource: RESOURCE, shapes: ['at+jwt'] });
    await expect(compatible.verifyAccessToken(token)).resolves.toMatchObject({ clientId: 'agt_planner' });
  });
});

describe('JW: a token whose signature or header is not right', () => {
  it.each(['none', 'None', 'nOnE', '', undefined])('JW-01 is refused with alg %p', async (alg) => {
    await expectRefusal(`${part({ alg, typ: 'txnat+jwt', kid: 'k1' })}.${part(claims())}.`, 'malformed_token');
    await expectRefusal(`${part({ alg, typ: 'txnat+jwt', kid: 'k1' })}.${part(claims())}.AAAA`, 'malformed_token');
  });

  it('JW-02 is refused when the public key was used as an HMAC secret', async () => {
    const input = `${part({ alg: 'HS256', typ: 'txnat+jwt', kid: 'k1' })}.${part(claims())}`;
    for (const secret of [JSON.stringify(issuer.jwks.keys[0]), issuer.jwks.keys[0]?.x ?? '']) {
      await expectRefusal(
        `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`,
        'malformed_token',
      );
    }
  });

  it.each(['foo', 'ES257', 0, {}, 'HS256', 'ES384'])('JW-04 is refused with alg %p', async (alg) => {
    await expectRefusal(signText(JSON.stringify(claims()), { alg, typ: 'txnat+jwt', kid: 'k1' }), 'malformed_token');
  });

  it('JW-05 is refused when it brings its own key', async () => {
    const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
    const header = {
      alg: 'ES256',
      typ: 'txnat+jwt',
      kid: 'k1',
      jwk: await exportJWK(publicKey),
      jku: `${issuer.url}/jwks`,
    };
    await expectRefusal(await new SignJWT(claims()).setProtectedHeader(header).sign(privateKey), 'bad_signature');
  });

  it.each(['../../dev/null', "k1' OR 1=1", 'k1\u0000', '__proto__', 'constructor', 'K1'])(
    'JW-07 is refused with kid %p',
    async (kid) => {
      await expectRefusal(await issuer.sign(claims(), { kid }), 'unknown_key');
    },
  );

  it.each([{}, 1, 'k'.repeat(257)])('JW-07 is refused with a kid that is no key id', async (kid) => {
    await expectRefusal(signText(JSON.stringify(claims()), { alg: 'ES256', typ: 'txnat+jwt', kid }), 'malformed_token');
  });

  it('JW-07 is refused without kid', async () => {
    await expectRefusal(signText(JSON.stringify(claims()), { alg: 'ES256', typ: 'txnat+jwt' }), 'unknown_key');
  });

  it.each([{ crit: ['x'], x: 1 }, { crit: [] }, { crit: ['alg'] }, { b64: false }])(
    'JW-08 is refused with %p in its header',
    async (more) => {
      await expectRefusal(
        signText(JSON.stringify(claims()), { alg: 'ES256', typ: 'txnat+jwt', kid: 'k1', ...more }),
        'malformed_token',
      );
    },
  );

  it.each(['iss', 'aud', 'sub', 'exp'])('JW-10 is refused with %s twice', async (name) => {
    const text = JSON.stringify(claims());
    await expectRefusal(
      signText(`${text.slice(0, -1)},${JSON.stringify(name)}:${JSON.stringify(claims()[name])}}`),
      'malformed_token',
    );
  });

  it.each(['__proto__', 'constructor', 'prototype'])('JW-11 is refused with a claim %s', async (name) => {
    const text = JSON.stringify(claims());
    await expectRefusal(signText(`${text.slice(0, -1)},"${name}":{"admin":true}}`), 'malformed_token');
    await expectRefusal(signText(text.replace('"rctx":{', `"rctx":{"${name}":{"admin":true}`)), 'malformed_token');
    expect(Reflect.get({}, 'admin')).toBeUndefined();
  });

  it('JW-14 is refused when an unused bit of its base64url is flipped', async () => {
    const token = await issuer.sign(claims());
    const last = token.at(-1) ?? '';
    const twin = { A: 'B', Q: 'R', g: 'h', w: 'x' }[last];
    expect(twin).toBeDefined();
    await expectRefusal(token.slice(0, -1) + String(twin), 'malformed_token');
  });

  it.each([9_000, 1_000_000, 5_000_000])('JW-16 is refused at %d characters, in no time', async (size) => {
    const token = await issuer.sign(claims());
    const check = verifier();
    await check.verifyAccessToken(token);
    const before = process.cpuUsage();
    await expectRefusal(`${'a'.repeat(size)}.${token}`, 'malformed_token', check);
    expect(process.cpuUsage(before).user).toBeLessThan(200_000);
  });

  it.each([64, 1_000])('JW-17 is refused at %d levels of JSON', async (depth) => {
    await expectRefusal(
      signText(JSON.stringify(claims()).replace('"rctx":{}', `"rctx":${'['.repeat(depth)}${']'.repeat(depth)}`)),
      'malformed_token',
    );
  });

  it('JW-20 is refused with a zero, a short and a DER signature', async () => {
    const [head, body] = (await issuer.sign(claims())).split('.');
    const input = `${String(head)}.${String(body)}`;
    const key = issuer.signingKey.privateKey as unknown as Parameters<typeof rawSign>[2];
    const der = rawSign('sha256', Buffer.from(input), key);
    for (const signature of [Buffer.alloc(64), Buffer.alloc(63, 1), Buffer.alloc(65, 1), der]) {
      await expectRefusal(`${input}.${signature.toString('base64url')}`, 'bad_signature');
    }
  });

  it('is refused when one character of its payload is another', async () => {
    const [head, , tail] = (await issuer.sign(claims())).split('.');
    await expectRefusal(`${String(head)}.${part(claims({ sub: 'prs_mallory' }))}.${String(tail)}`, 'bad_signature');
  });

  it('is refused when another key signed it under the same key id', async () => {
    const { privateKey } = await newKey('k1');
    await expectRefusal(
      await new SignJWT(claims()).setProtectedHeader({ alg: 'ES256', kid: 'k1', typ: 'txnat+jwt' }).sign(privateKey),
      'bad_signature',
    );
  });

  it.each([
    'at+jwt',
    'txntoken+jwt',
    'JWT',
    'dpop+jwt',
    'client-authentication+jwt',
    'secevent+jwt',
    'txnat',
    'application/application/txnat+jwt',
  ])('is refused as a %s', async (typ) => {
    await expectRefusal(await issuer.sign(claims(), { typ }), 'wrong_type');
  });

  it.each(['', ' ', 'a', 'a.b', 'a.b.c', 'a.b.c.d', '..', 'ünïcode.ü.ü'])('is refused as %p', async (token) => {
    await expectRefusal(token, 'malformed_token');
  });
});

describe('JW: a token whose claims are not right', () => {
  const near = [
    'https://mcp1.example',
    'https://mcp1.example/files/',
    'https://mcp1.example/file',
    'https://mcp1.example/FILES',
    'https://mcp1.example:443/files',
    'https://mcp2.example/files',
  ];
  it.each([...near, [RESOURCE, 'https://mcp2.example/files'], [RESOURCE], { a: RESOURCE }, '', null])(
    'JW-23 is refused with aud %j',
    async (aud) => {
      await expectRefusal(await issuer.sign(claims({ aud })), 'wrong_audience');
    },
  );

  it("is refused when it is a person's token, good for the exchange only", async () => {
    const compatible = createVerifier({ issuer: issuer.url, resource: RESOURCE, shapes: ['at+jwt', 'txnat+jwt'] });
    const token = await issuer.sign(claims({ aud: issuer.url, act: undefined, writ: { grant: 'gnt_1' } }), {
      typ: 'at+jwt',
    });
    await expectRefusal(token, 'wrong_audience', compatible);
  });

  it('is refused from another issuer, even with a key that we know', async () => {
    await expectRefusal(await issuer.sign(claims({ iss: 'https://other.example' })), 'wrong_issuer');
    await expectRefusal(await issuer.sign(claims({ iss: `${issuer.url}/` })), 'wrong_issuer');
  });

  it.each([
    ['expired beyond the skew', -300, -31, 'expired'],
    ['JW-22 issued in the future', 60, 120, 'issued_in_the_future'],
    ['living longer than 300 s', 0, 301, 'lives_too_long'],
    ['ending before it begins', 20, 10, 'lives_too_long'],
  ] as const)('is refused when %s', async (_, iat, exp, reason) => {
    const now = Math.floor(Date.now() / 1000);
    await expectRefusal(await issuer.sign(claims({ iat: now + iat, exp: now + exp })), reason);
  });

  it('is accepted within 30 s of skew on both sides', async () => {
    const now = Math.floor(Date.now() / 1000);
    await expect(
      verifier().verifyAccessToken(await issuer.sign(claims({ iat: now - 200, exp: now - 25 }))),
    ).resolves.toBeDefined();
    await expect(
      verifier().verifyAccessToken(await issuer.sign(claims({ iat: now + 25, exp: now + 100 }))),
    ).resolves.toBeDefined();
  });

  it('is refused at its end where no skew is forgiven', async () => {
    const now = Math.floor(Date.now() / 1000);
    const strict = createVerifier({ issuer: issuer.url, resource: RESOURCE, clockSkewSeconds: 0 });
    await expectRefusal(await issuer.sign(claims({ iat: now - 60, exp: now - 1 })), 'expired', strict);
  });

  it.each(['sub', 'client_id', 'iat', 'exp', 'jti', 'txn', 'scope', 'act', 'writ', 'tctx', 'rctx'])(
    'is refused without %s',
    async (name) => {
      await expectRefusal(await issuer.sign(claims({ [name]: undefined })), 'bad_claims');
    },
  );

  it.each(['sub', 'jti', 'client_id', 'txn'])('JW-13 is refused when %s is no short string', async (name) => {
    for (const value of [{ not: '' }, ['a'], 'x'.repeat(10_000), '', null, 7]) {
      await expectRefusal(await issuer.sign(claims({ [name]: value })), 'bad_claims');
    }
  });

  it('is refused with an exp that only a number parser understands', async () => {
    await expectRefusal(signText(JSON.stringify(claims()).replace(/"exp":\d+/, '"exp":1e400')), 'bad_claims');
    await expectRefusal(signText(JSON.stringify(claims()).replace(/"exp":(\d+)/, '"exp":"$1"')), 'bad_claims');
  });

  it('is refused with a claim that nobody defined', async () => {
    await expectRefusal(await issuer.sign(claims({ admin: true })), 'bad_claims');
  });

  it('is refused when its current actor is not the client that asked for it', async () => {
    await expectRefusal(await issuer.sign(claims({ client_id: 'agt_other' })), 'bad_actors');
    await expectRefusal(await issuer.sign(claims({ client_id: 'agt' })), 'bad_actors');
    await expectRefusal(
      await issuer.sign(claims({ act: { sub: 'agt_planner', iss: 'https://other.example' } })),
      'bad_actors',
    );
  });

  it('is refused when an actor has no issuer, or there are more than eight', async () => {
    const nest = (depth: number): Record<string, unknown> => ({
      sub: 'agt_planner',
      iss: issuer.url,
      ...(depth > 1 && { act: nest(depth - 1) }),
    });
    await expect(verifier().verifyAccessToken(await issuer.sign(claims({ act: nest(8) })))).resolves.toBeDefined();
    await expectRefusal(await issuer.sign(claims({ act: nest(9) })), 'bad_actors');
    await expectRefusal(await issuer.sign(claims({ act: { sub: 'agt_planner' } })), 'bad_claims');
  });
});

describe('a token that needs more than a bearer check', () => {
  it('is refused without the guard when it lists tools', async () => {
    await expectRefusal(await issuer.token(RESOURCE, 'read_file'), 'guard_required');
    const check = verifier();
    check.guard();
    await expectRefusal(await issuer.token(RESOURCE, 'read_file'), 'guard_required', check);
  });

  it.each(['', ' '])('is refused without the guard when it is only for connecting (scope %p)', async (scope) => {
    const token = await issuer.sign(claims({ scope }));
    await expect(verifier().verifyAccessToken(token)).rejects.toMatchObject({ code: 'invalid_token' });
    if (scope === '') await expectRefusal(token, 'guard_required');
  });

  it('is refused as a bearer token when it is bound to a key', async () => {
    await expectRefusal(await issuer.sign(claims({ cnf: { jkt: 'A'.repeat(43) } })), 'binding_required');
  });

  it('is refused unbound where the server wants bound tokens', async () => {
    const strict = createVerifier({ issuer: issuer.url, resource: RESOURCE, dpopRequired: true });
    await expectRefusal(await issuer.sign(claims()), 'binding_required', strict);
  });
});

describe('createVerifier refuses to start', () => {
  const good = { issuer: 'https://writ.example', resource: RESOURCE };
  it.each([
    [{ issuer: 'http://writ.example' }, 'issuer must be an https URI'],
    [{ issuer: 'https://writ.example?x' }, 'issuer must be an https URI'],
    [{ resource: 'https://mcp1.example/files/' }, 'resource must be an absolute https URI'],
    [{ resource: 'https://writ.example' }, 'resource the issuer is the audience'],
    [{ jwks: 'http://writ.example/jwks' }, 'jwks'],
    [{ uses: 'writ' as const }, 'introspection is needed'],
    [{ maxLifetimeSeconds: 301 }, 'maxLifetimeSeconds'],
    [{ introspection: { clientId: 'mcp', key: { kty: 'EC' as const, d: 'x' } } }, 'introspection'],
    [{ shapes: [] }, 'shapes'],
  ])('with %j', (change, message) => {
    expect(() => createVerifier({ ...good, ...change })).toThrow(TypeError);
    expect(() => createVerifier({ ...good, ...change })).toThrow(message);
  });
});
