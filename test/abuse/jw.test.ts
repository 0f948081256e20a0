import { createPublicKey, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { CANARY, expectNoSecret, expectRefused, marked, stateOf } from '../support/invariants.js';
import { type Client, RS1, startWorld, type World } from '../support/world.js';
import {
  assertion,
  bearerAssertion,
  type ClientKey,
  type Form,
  makeKey,
  type Reply,
  request,
} from '../support/writ.js';
import {
  assertionClaims,
  encoded,
  forge,
  forgeHmac,
  nested,
  otherSignature,
  raw,
  seconds,
  signature,
} from './forge.js';
import { change, tokenOf } from './sign-in.js';

const JWT = 'urn:ietf:params:oauth:token-type:jwt';
const BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const attacker = makeKey('company-1');

let world: World;
/** Stands where a token says that its keys are; nobody may ever come. */
let visits = 0;
const lure = createServer((_, response) => {
  visits++;
  response.end(JSON.stringify({ keys: [attacker.jwk] }));
});
let lureUrl = '';
beforeAll(async () => {
  world = await startWorld();
  await new Promise<void>((resolve) => lure.listen(0, '127.0.0.1', resolve));
  lureUrl = `http://127.0.0.1:${(lure.address() as AddressInfo).port}/jwks`;
});
afterAll(async () => {
  await new Promise((resolve) => lure.close(resolve));
  await world.close();
  expect(world.faults).toEqual([]);
  expect(visits).toBe(0);
});

type Claims = Record<string, unknown>;
type Ingredients = Readonly<{ key: ClientKey; header: Claims; payload: Claims }>;
/** A way in for a JWT: what a good one is made of, and what has to happen to every other one. */
type Door = Readonly<{ name: string; good(): Promise<Ingredients>; refuse(token: string): Promise<unknown> }>;

const subject: Door = {
  name: 'subject token',
  good: () =>
    Promise.resolve({
      key: world.companyKey,
      header: { alg: 'ES256', kid: 'company-1', typ: 'at+jwt' },
      payload: {
        iss: 'https://company.example',
        sub: CANARY,
        aud: world.issuer,
        client_id: 'agt_a1',
        scope: 'repo:read',
        iat: seconds(),
        exp: seconds() + 300,
        jti: marked(),
      },
    }),
  refuse: (subject_token) =>
    expectRefused(world, () => world.exchange({ subject_token }), {
      status: 400,
      error: 'invalid_request',
      description: 'subject_token is not acceptable',
      reason: 'subject_invalid',
    }),
};
const actor: Door = {
  name: 'actor token',
  good: () =>
    Promise.resolve({
      key: world.a1.key,
      header: { alg: 'ES256', kid: 'agt_a1-key' },
      payload: { ...assertionClaims(world.issuer, world.a1), sub: 'agt_a1/run-1', jti: marked() },
    }),
  refuse: (actor_token) =>
    expectRefused(world, () => world.exchange({ actor_token, actor_token_type: JWT }), {
      status: 400,
      error: 'invalid_request',
      description: 'actor_token is not acceptable',
      reason: 'actor_invalid',
    }),
};
const clientAssertion: Door = {
  name: 'client assertion',
  good: () =>
    Promise.resolve({
      key: world.a1.key,
      header: { alg: 'ES256', kid: 'agt_a1-key', typ: 'client-authentication+jwt' },
      payload: { ...assertionClaims(world.issuer, world.a1), jti: marked() },
    }),
  refuse: async (client_assertion) => {
    const wanted = {
      status: 401,
      error: 'invalid_client',
      description: 'client authentication failed',
      reason: /^(assertion_|unknown_client)/,
      unauthenticated: true,
    };
    await expectRefused(world, () => world.exchange({ client_assertion }), wanted);
    for (const path of ['/introspect', '/revoke'])
      await expectRefused(
        world,
        () => world.post(path, { client_assertion, client_assertion_type: BEARER, token: 'a.b.c' }),
        wanted,
      );
  },
};
/** A token of ours, taken apart; nobody but us has the key. */
const ours: Door = {
  name: 'token of ours at introspection',
  good: async () => {
    const [header = '', payload = ''] = tokenOf(await world.exchange()).split('.');
    const text = (part: string): Claims => JSON.parse(Buffer.from(part, 'base64url').toString('utf8')) as Claims;
    return { key: attacker, header: text(header), payload: text(payload) };
  },
  refuse: async (token) => {
    await expectInactive(token, world.rs1);
    await expectInactive(token, world.a1);
  },
};
const doors = [subject, actor, clientAssertion];
const everyDoor: readonly (readonly [string, Door])[] = [...doors, ours].map((door) => [door.name, door] as const);
const foreignDoors: readonly (readonly [string, Door])[] = doors.map((door) => [door.name, door] as const);

/** RFC 7662 section 2.2: nothing is said and nothing is written, but the caller's own assertion is spent. */
async function expectInactive(token: string, by: Client): Promise<void> {
  const form = { ...(await bearerAssertion(world.issuer, by)), token };
  const before = await stateOf(world);
  const answer = await world.post('/introspect', form);
  const after = await stateOf(world);
  expect([answer.status, answer.body]).toEqual([200, { active: false }]);
  expect(answer.headers.get('cache-control')).toBe('no-store');
  expect(after.tables?.contents).toEqual(before.tables?.contents);
  expect(after.tables?.leaves).toBe(before.tables?.leaves);
}

const signed = (good: Ingredients, header: Claims, payload: unknown = good.payload): string =>
  forge(good.key.privateKey, { ...good.header, ...header }, payload);
const parts = (token: string): [string, string, string] => token.split('.') as [string, string, string];

describe.each(everyDoor)('%s', (_, door) => {
  it.each<[string, Claims]>([
    ['none', { alg: 'none' }],
    ['None', { alg: 'None' }],
    ['nOnE', { alg: 'nOnE' }],
    ['empty', { alg: '' }],
    ['absent', { alg: undefined }],
    ['null', { alg: null }],
  ])('JW-01 with algorithm %s is refused, with and without a signature', async (__, header) => {
    const token = signed(await door.good(), header);
    const [head, body] = parts(token);
    for (const forged of [token, `${head}.${body}.`, `${head}.${body}`]) await door.refuse(forged);
  });

  it('JW-02 authenticated by a public key as if it were a secret is refused', async () => {
    const good = await door.good();
    const { keys } = (await request(`${world.issuer}/jwks`, {})).body as { keys: Claims[] };
    const jwk = door === ours ? (keys[0] ?? {}) : good.key.jwk;
    const key = createPublicKey({ key: jwk as never, format: 'jwk' });
    const pem = key.export({ type: 'spki', format: 'pem' });
    const secrets = [
      JSON.stringify(jwk),
      JSON.stringify({ keys }),
      pem,
      pem.toString().trim(),
      key.export({ type: 'spki', format: 'der' }),
      '',
    ];
    for (const secret of secrets) {
      for (const alg of ['HS256', 'HS512', 'hs256'])
        await door.refuse(forgeHmac(secret, { ...good.header, alg }, good.payload));
    }
  }, 60_000);

  it.each<[string, unknown]>([
    ['foo', 'foo'],
    ['ES257', 'ES257'],
    ['ES384', 'ES384'],
    ['RS256 for a key of ES256', 'RS256'],
    ['EdDSA for a key of ES256', 'EdDSA'],
    ['small letters', 'es256'],
    ['a space', 'ES256 '],
    ['0', 0],
    ['an object', {}],
    ['a list', ['ES256']],
    ['a name of Object', 'constructor'],
  ])('JW-04 whose header decides by %s is refused', async (__, alg) => {
    await door.refuse(signed(await door.good(), { alg }));
  });

  it('JW-05 that brings its own key is refused, and no address that it names is visited', async () => {
    const good = { ...(await door.good()), key: attacker };
    for (const header of [
      { jwk: attacker.jwk },
      { jwk: attacker.jwk, kid: undefined },
      { jku: lureUrl },
      { x5u: lureUrl, kid: undefined },
      { jku: lureUrl, jwk: attacker.jwk, kid: lureUrl },
      { x5c: ['MIIB'] },
    ])
      await door.refuse(signed(good, header));
  });

  it.each<[string, unknown]>([
    ['a path', '../../../../dev/null'],
    ['SQL', "k1' OR 1=1 --"],
    ['a NUL', 'company-1\u0000'],
    ['an address', 'http://127.0.0.1:1/jwks'],
    ['a prototype', '__proto__'],
    ['a constructor', 'constructor'],
    ['an object', {}],
    ['a number', 1],
    ['nothing', ''],
    ['more than 256 characters', 'k'.repeat(257)],
  ])('JW-07 whose kid is %s is refused', async (__, kid) => {
    await door.refuse(signed(await door.good(), { kid }));
  });

  it.each<[string, Claims]>([
    ['an unknown extension', { crit: ['x'], x: 1 }],
    ['no extension', { crit: [] }],
    ['a name that must not be there', { crit: ['alg'] }],
    ['an extension that is not there', { crit: ['exp'] }],
    ['no list', { crit: 'x' }],
    ['null', { crit: null }],
    ['an unencoded payload', { b64: false, crit: ['b64'] }],
    ['b64 alone', { b64: false }],
    ['b64 that changes nothing', { b64: true, crit: ['b64'] }],
  ])('JW-08 with %s in crit is refused', async (__, header) => {
    await door.refuse(signed(await door.good(), header));
  });

  it.each(['aud', 'sub', 'exp', 'iss', 'jti'])(
    'JW-10 that says %s twice is refused, whichever of them is right',
    async (name) => {
      const good = await door.good();
      const text = JSON.stringify(good.payload);
      const right = JSON.stringify(good.payload[name] ?? 'x');
      for (const twice of [
        text.replace(/}$/, `,"${name}":"evil"}`),
        text.replace(/^{/, `{"${name}":"evil",`),
        text.replace(/}$/, `,"${name}":${right}}`),
        text.replace(/}$/, `,"\\u00${name.charCodeAt(0).toString(16)}${name.slice(1)}":"evil"}`),
      ])
        await door.refuse(signed(good, {}, twice));
      const header = JSON.stringify(good.header).replace(/}$/, ',"alg":"none"}');
      await door.refuse(forge(good.key.privateKey, header, good.payload));
    },
  );

  it.each(['__proto__', 'constructor', 'prototype', '\\u005f_proto__'])(
    'JW-11 with a claim %s is refused, at any depth',
    async (name) => {
      const good = await door.good();
      const text = JSON.stringify(good.payload);
      for (const claim of [`"${name}":{"admin":true}`, `"x":{"y":[{"${name}":{"admin":true}}]}`])
        await door.refuse(signed(good, {}, text.replace(/}$/, `,${claim}}`)));
      expect(({} as { admin?: unknown }).admin).toBeUndefined();
    },
  );

  it.each<[string, (token: string, good: Ingredients) => string]>([
    ['unused bits of the last character', (token) => token.slice(0, -1) + lastTwin(token)],
    ['padding', (token) => `${token}==`],
    ['a space after', (token) => `${token.slice(0, 20)} ${token.slice(20)}`],
    ['a line feed inside', (token) => `${token.slice(0, 20)}\n${token.slice(20)}`],
    ['the other base64 alphabet', (token) => token.replace(/[-_]/, (c) => (c === '-' ? '+' : '/')).replace(/$/, '+')],
    ['a fourth part', (token) => `${token}.x`],
    ['five parts, as if encrypted', (token) => `${token}.x.y`],
    [
      'JSON serialization',
      (token) => JSON.stringify({ payload: parts(token)[1], protected: parts(token)[0], signature: parts(token)[2] }),
    ],
    [
      'a byte order mark',
      (_token, good) => forge(good.key.privateKey, good.header, `\ufeff${JSON.stringify(good.payload)}`),
    ],
    [
      'something after the payload',
      (_token, good) => forge(good.key.privateKey, good.header, `${JSON.stringify(good.payload)}{}`),
    ],
    ['a list for a payload', (_token, good) => forge(good.key.privateKey, good.header, [good.payload])],
    ['a token for a payload', (token, good) => forge(good.key.privateKey, { ...good.header, cty: 'JWT' }, token)],
  ])('JW-14 spelt with %s is refused: a token has one text', async (__, spell) => {
    const good = await door.good();
    await door.refuse(spell(signed(good, {}), good));
  });

  it.each([64, 1_000])('JW-17 of %i levels is refused, in payload and header', async (depth) => {
    const good = await door.good();
    const deep = (members: Claims): string => JSON.stringify(members).replace(/}$/, `,"x":${nested(depth)}}`);
    await door.refuse(forge(good.key.privateKey, good.header, deep(good.payload)));
    await door.refuse(forge(good.key.privateKey, deep(good.header), good.payload));
    await door.refuse(
      forge(
        good.key.privateKey,
        good.header,
        JSON.stringify(good.payload).replace(/}$/, `,"x":${'['.repeat(depth)}${']'.repeat(depth)}}`),
      ),
    );
  });

  it.each<[string, (input: string, key: ClientKey) => Buffer]>([
    ['zeros', () => Buffer.alloc(64)],
    ['nothing', () => Buffer.alloc(0)],
    ['63 bytes', (input, { privateKey }) => signature(privateKey, input).subarray(0, 63)],
    ['65 bytes', (input, { privateKey }) => Buffer.concat([signature(privateKey, input), Buffer.alloc(1)])],
    [
      'r of zero',
      (input, { privateKey }) => Buffer.concat([Buffer.alloc(32), signature(privateKey, input).subarray(32)]),
    ],
    [
      's of zero',
      (input, { privateKey }) => Buffer.concat([signature(privateKey, input).subarray(0, 32), Buffer.alloc(32)]),
    ],
    [
      'r and s of the order',
      () => Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551'.repeat(2), 'hex'),
    ],
    ['all ones', () => Buffer.alloc(64, 0xff)],
    ['a DER sequence of zeros', () => Buffer.from('3006020100020100', 'hex')],
  ])('JW-20 signed with %s is refused', async (__, sign) => {
    const { key, header, payload } = await door.good();
    const input = `${encoded(header)}.${encoded(payload)}`;
    await door.refuse(`${input}.${sign(input, key).toString('base64url')}`);
  });

  it.each<[string, Claims]>([
    ['sub as an object', { sub: { not: '' } }],
    ['sub as a list', { sub: ['a'] }],
    ['sub of 10 KB', { sub: 'a'.repeat(10_240) }],
    ['sub of nothing', { sub: '' }],
    ['sub as a number', { sub: 1 }],
    ['sub with a NUL', { sub: 'alice\u0000' }],
    ['sub with half a character', { sub: 'alice\ud800' }],
    ['jti as an object', { jti: { not: '' } }],
    ['jti as a list', { jti: ['a'] }],
    ['jti of 10 KB', { jti: 'a'.repeat(10_240) }],
    ['jti of nothing', { jti: '' }],
    ['iss as an object', { iss: { startsWith: 'https' } }],
    ['iss with a NUL', { iss: 'https://company.example\u0000' }],
    ['exp as text', { exp: String(seconds() + 60) }],
    ['exp as an object', { exp: { gt: 0 } }],
    ['exp of a fraction', { exp: seconds() + 60.5 }],
    ['exp below zero', { exp: -1 }],
    ['no exp', { exp: undefined }],
    ['no sub', { sub: undefined }],
    ['iat ten minutes from now', { iat: seconds() + 600, exp: seconds() + 660 }],
    ['nbf as text', { nbf: 'now' }],
    ['aud as an object', { aud: { contains: 'x' } }],
    ['no aud', { aud: undefined }],
    ['an empty list as aud', { aud: [] }],
  ])('JW-13, JW-22 with %s is refused', async (__, claims) => {
    const good = await door.good();
    // Nothing is wrong with a `nbf` in an actor token, which has none.
    if (door === actor && 'nbf' in claims) return;
    await door.refuse(signed(good, {}, { ...good.payload, ...claims }));
  });

  it('JW-13 with a number beyond all numbers as exp is refused', async () => {
    const good = await door.good();
    const text = JSON.stringify({ ...good.payload, exp: 0 });
    for (const number of ['1e400', '-0', '9007199254740993', '1e18'])
      await door.refuse(signed(good, {}, text.replace('"exp":0', `"exp":${number}`)));
  });
});

/** The last character of a 64-byte signature has four bits that nobody reads. */
function lastTwin(token: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const at = alphabet.indexOf(token.at(-1) ?? 'A');
  return alphabet[at ^ 1] ?? 'A';
}

describe.each(foreignDoors)('%s for whom', (_, door) => {
  it.each<[string, (issuer: string) => unknown]>([
    ['a prefix', (issuer) => issuer.slice(0, -1)],
    ['something after', (issuer) => `${issuer}.evil.example`],
    ['capitals', (issuer) => issuer.replace('http', 'HTTP')],
    ['a slash', (issuer) => `${issuer}/`],
    ['another port', (issuer) => issuer.replace(/\d$/, (digit) => String((Number(digit) + 1) % 10))],
    ['https', (issuer) => issuer.replace('http:', 'https:')],
    ['the token endpoint', (issuer) => `${issuer}/token`],
    ['a space', (issuer) => ` ${issuer}`],
    ['us and another', (issuer) => [issuer, 'https://other.example']],
    ['another and us', (issuer) => ['https://other.example', issuer]],
    ['us twice', (issuer) => [issuer, issuer]],
    ['us inside a list', (issuer) => [[issuer]]],
    ['an MCP server', () => RS1],
  ])('JW-23 %s is not us', async (__, audience) => {
    const good = await door.good();
    await door.refuse(signed(good, {}, { ...good.payload, aud: audience(world.issuer) }));
  });

  it('is good when nothing is wrong with it', async () => {
    const token = signed(await door.good(), {});
    const form: Form =
      door === subject
        ? { subject_token: token }
        : door === actor
          ? { actor_token: token, actor_token_type: JWT }
          : { client_assertion: token };
    expect((await world.exchange(form)).status).toBe(200);
  });
});

describe('one more signature for the same bytes', () => {
  it('JW-14 does not give an assertion or an actor token a second use', async () => {
    const client_assertion = await assertion(world.issuer, world.a1);
    expect((await world.exchange({ client_assertion })).status).toBe(200);
    await expectRefused(world, () => world.exchange({ client_assertion: otherSignature(client_assertion) }), {
      status: 401,
      error: 'invalid_client',
      description: 'client authentication failed',
      reason: 'replayed',
      spends: 0,
    });
    const good = await actor.good();
    const actor_token = signed(good, {});
    expect((await world.exchange({ actor_token, actor_token_type: JWT })).status).toBe(200);
    await expectRefused(
      world,
      () => world.exchange({ actor_token: otherSignature(actor_token), actor_token_type: JWT }),
      { status: 400, error: 'invalid_request', description: 'actor_token is not acceptable', reason: 'replayed' },
    );
  });

  it('JW-14 does not bring a revoked token back, and does not open a second session', async () => {
    const good = await subject.good();
    const subject_token = signed(good, {}, { ...good.payload, jti: undefined });
    const [one, two] = [
      await world.exchange({ subject_token }),
      await world.exchange({ subject_token: otherSignature(subject_token) }),
    ];
    const session = (reply: Reply): unknown => decodeJwt<{ writ: { session: string } }>(tokenOf(reply)).writ.session;
    expect(session(two)).toBe(session(one));
    const token = tokenOf(one);
    await world.post('/revoke', { ...(await bearerAssertion(world.issuer, world.a1)), token: otherSignature(token) });
    await expectInactive(token, world.rs1);
    await expectInactive(otherSignature(token), world.rs1);
  });
});

describe('size', () => {
  const cost = async (send: () => Promise<Reply>): Promise<number> => {
    const before = process.cpuUsage();
    await send();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1_000;
  };

  it('JW-16 above 16 KB is no token, at every door', async () => {
    for (const door of [subject, actor, clientAssertion, ours]) {
      const good = await door.good();
      await door.refuse(signed(good, {}, { ...good.payload, note: 'x'.repeat(13_000) }));
      await door.refuse(signed(good, { note: 'x'.repeat(13_000) }));
    }
  });

  it.each([1, 5])('JW-16 of %i MB is refused before it is read', async (megabytes) => {
    for (const name of ['subject_token', 'actor_token', 'client_assertion', 'scope', 'authorization_details']) {
      const answer = await world.exchange({ [name]: 'e'.repeat(megabytes * 1_000_000) });
      expect(answer.status).toBe(413);
      expectNoSecret([answer.text]);
      expect((await world.exchange()).status).toBe(200);
    }
  });

  it.each(['Authorization', 'DPoP'])('JW-16 in the header %s is refused by the server itself', async (name) => {
    const answer = await raw(`${world.issuer}/token`, {
      headers: ['Content-Type', 'application/x-www-form-urlencoded', name, 'e'.repeat(40_000)],
    });
    expect(answer.status).toBe(431);
    expect((await world.exchange()).status).toBe(200);
  });

  it('JW-16, JW-17 costs no more than a few good requests', async () => {
    const good = await subject.good();
    const deep = forge(good.key.privateKey, good.header, `{"a":${nested(1_500)}}`);
    const wide = forge(good.key.privateKey, good.header, { ...good.payload, note: 'x'.repeat(11_000) });
    const median = async (send: () => Promise<Reply>): Promise<number> => {
      const costs: number[] = [];
      for (let at = 0; at < 25; at++) costs.push(await cost(send));
      return costs.sort((a, b) => a - b)[12] ?? 0;
    };
    const fine = await median(() => world.exchange());
    // Client and server share this process, and the machine: a loose factor, which a parse without limits exceeds by far.
    for (const subject_token of [deep, wide, `${deep}x`, 'e'.repeat(16_384), '.'.repeat(16_000)])
      expect(await median(() => world.exchange({ subject_token }))).toBeLessThan(3 * fine + 5);
  });
});

describe('assertions of others', () => {
  it('JW-19 an HMAC names no client whose secret would be looked up', async () => {
    for (const client of [world.a1, world.a2, world.rs1]) {
      for (const secret of ['', client.id, JSON.stringify(client.key.jwk), 'undefined', 'null'])
        await clientAssertion.refuse(
          forgeHmac(secret, { alg: 'HS256', kid: client.key.jwk.kid }, assertionClaims(world.issuer, client)),
        );
    }
  }, 60_000);

  it.each([
    'at+jwt',
    'txntoken+jwt',
    'txnat+jwt',
    'dpop+jwt',
    'logout+jwt',
    'secevent+jwt',
    'oauth-authz-req+jwt',
    'client-authentication+JWT+x',
    'JWE',
  ])('one of type %s authenticates nobody', async (typ) => {
    const good = await clientAssertion.good();
    await clientAssertion.refuse(signed(good, { typ }));
  });

  it.each(['client-authentication+jwt', 'dpop+jwt', 'at+jwt'])('one of type %s is no actor token', async (typ) => {
    const good = await actor.good();
    await actor.refuse(signed(good, { typ }));
  });
});

describe('the published keys', () => {
  it('JW-02, JW-25 are public halves only, each with alg, use and kid', async () => {
    const answer = await request(`${world.issuer}/jwks`, {});
    const { keys } = answer.body as { keys: Claims[] };
    expect(keys.length).toBeGreaterThan(0);
    for (const key of keys)
      expect(key).toEqual({
        kty: 'EC',
        crv: 'P-256',
        x: expect.any(String),
        y: expect.any(String),
        kid: expect.any(String),
        alg: 'ES256',
        use: 'sig',
      });
    for (const name of ['"d"', '"p"', '"q"', '"dp"', '"dq"', '"qi"', '"k"', '"oth"', 'PRIVATE'])
      expect(answer.text).not.toContain(name);
  });
});

describe('JW-11 request details', () => {
  it.each([
    '{"__proto__":{"admin":true}}',
    '{"constructor":{"prototype":{"admin":true}}}',
    '{"task":{"__proto__":{"admin":true}}}',
  ])('%s are refused', async (details) => {
    for (const changes of [{ request_details: details }, { request_context: details }])
      await expectRefused(world, () => world.exchange(changes), {
        status: 400,
        error: 'invalid_request',
        reason: 'parameter_malformed',
      });
    await expectRefused(world, () => world.exchange({ authorization_details: `[${details}]` }), {
      status: 400,
      error: 'invalid_authorization_details',
      reason: 'malformed_details',
    });
    expect(({} as { admin?: unknown }).admin).toBeUndefined();
  });

  it('a parameter of such a name is one that nobody knows', async () => {
    const form = { ['__proto__']: 'x', constructor: 'y', toString: 'z', 'a[b]': 'c', 'subject_token[]': 'x' };
    expect((await world.exchange({ ...form, ['__proto__']: 'x' })).status).toBe(200);
  });
});

describe('JW-26 malformed Authorization headers', () => {
  const token = 'application/x-www-form-urlencoded';
  const headers: [string, readonly string[]][] = [
    ['Bearer', ['Authorization', 'Bearer']],
    ['Bearer and spaces', ['Authorization', 'Bearer  ']],
    ['Bearer a,b', ['Authorization', 'Bearer a,b']],
    ['Bearer and a token', ['Authorization', 'Bearer abc']],
    ['two headers', ['Authorization', 'Bearer a', 'Authorization', 'Bearer b']],
    ['non-ASCII', ['Authorization', 'Bearer \u00e9\u00ff']],
    ['non-ASCII Basic', ['Authorization', 'Basic \u00e9\u00ff']],
    ['Basic', ['Authorization', 'Basic']],
    ['nothing', ['Authorization', '']],
    ['a scheme nobody knows', ['Authorization', `${CANARY} x`]],
    ['a quote', ['Authorization', '"']],
    ['an equals sign', ['Authorization', 'Basic =']],
  ];

  it.each(headers)('%s is 401 with a challenge at every door, never 500', async (_, header) => {
    for (const path of ['/token', '/introspect', '/revoke']) {
      await expectRefused(
        world,
        () =>
          raw(`${world.issuer}${path}`, {
            headers: ['Content-Type', token, ...header],
            body: `grant_type=${encodeURIComponent('urn:ietf:params:oauth:grant-type:token-exchange')}&token=a.b.c`,
          }),
        {
          status: 401,
          error: 'invalid_client',
          description: 'client authentication failed',
          reason: 'malformed_credentials',
          unauthenticated: true,
          challenge: 'Basic realm="writ"',
        },
      );
    }
    const admin = await raw(`${world.issuer}/admin/v1/agents`, { method: 'GET', headers: [...header] });
    expect([admin.status, admin.headers.get('www-authenticate')]).toEqual([401, expect.stringMatching(/^Bearer/)]);
  });
});

it('a jti that was seen is spent for that client alone', async () => {
  const jti = randomUUID();
  for (const by of [world.a1, world.rs1]) {
    const client_assertion = await assertion(world.issuer, by, { claims: { jti } });
    const answer = await world.post('/introspect', { client_assertion, client_assertion_type: BEARER, token: 'a.b.c' });
    expect(answer.body).toEqual({ active: false });
  }
});

describe('what fills the attributes of a person', () => {
  it.each<[string, string]>([
    ['a NUL', 'Al\u0000ice'],
    ['half a character', 'Al\ud800ice'],
    ['a character cut in half by the limit', `${'a'.repeat(255)}\u{1f600}b`],
    ['a control character', 'Al\u001b[31mice'],
    ['10 KB', 'a'.repeat(10_000)],
  ])('JW-13 with %s breaks nothing', async (_, name) => {
    await change(
      world,
      'https://company.example',
      (issuer) => ({ ...issuer, claims: { name: 'name', scope: 'scope' } }),
      'issuers',
    );
    const faults = world.faults.length;
    const answer = await world.exchange({ subject_token: await world.personToken(`named ${randomUUID()}`, { name }) });
    expect([[200, 400].includes(answer.status), answer.status]).toEqual([true, answer.status]);
    expect(world.faults.length).toBe(faults);
  });
});
