import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { CANARY, expectIndistinguishable, expectNoSecret, expectRefused, stateOf } from '../support/invariants.js';
import { ACCESS_TOKEN, type Client, RS1, RS2, tool, tools } from '../support/world.js';
import { assertion, bearerAssertion, type Form, type Reply, request, sendForm } from '../support/writ.js';
import { assertionClaims, encoded, forge, otherSignature, seconds } from './forge.js';
import { change, startReplica, startSignInWorld, type SignInWorld, tokenOf, type Tokens } from './sign-in.js';

const TYPE = 'urn:ietf:params:oauth:token-type:';
const INACTIVE = [200, { active: false }];
const toDomain: Form = {
  resource: undefined,
  audience: 'trust.example',
  authorization_details: undefined,
  scope: 'repo:read',
};

let world: SignInWorld;
let replica: Awaited<ReturnType<typeof startReplica>>;
let own: Tokens;
beforeAll(async () => {
  world = await startSignInWorld();
  own = await world.tokensFor(world.a1, { scope: 'openid offline_access repo:read', prompt: 'consent' });
  replica = await startReplica(world);
}, 60_000);
afterAll(async () => {
  await replica.close();
  await world.close();
  expect(world.faults).toEqual([]);
});

const mint = async (changes: Form = {}, by?: Client): Promise<string> => tokenOf(await world.exchange(changes, by));
const ask = async (
  token: string,
  by: Client = world.rs1,
  more: Form = {},
  headers: Record<string, string> = {},
): Promise<Reply> =>
  world.post('/introspect', { ...(await bearerAssertion(world.issuer, by)), token, ...more }, headers);
const askAt = async (url: string, token: string, by: Client): Promise<Reply> =>
  sendForm(`${url}/introspect`, { ...(await bearerAssertion(world.issuer, by)), token });
const revoke = async (token: string, by: Client = world.a1, url = world.issuer): Promise<Reply> =>
  sendForm(`${url}/revoke`, { ...(await bearerAssertion(world.issuer, by)), token });
const isActive = ({ body }: Reply): boolean => (body as { active: boolean }).active;

/** RFC 7662 section 2.2: two words, and nothing beside them in headers, log or database. */
async function expectInactive(send: () => Promise<Reply>): Promise<void> {
  const before = await stateOf(world);
  const answer = await send();
  const after = await stateOf(world);
  expect([answer.status, answer.body]).toEqual(INACTIVE);
  expect(answer.headers.get('cache-control')).toBe('no-store');
  expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
  expect(after.tables?.contents).toEqual(before.tables?.contents);
  expect(after.tables?.leaves).toBe(before.tables?.leaves);
  expectNoSecret([answer.text, JSON.stringify([...answer.headers])]);
}

describe('who may look', () => {
  it('IN-01 nobody but the server that it is for learns anything of a token', async () => {
    const [bearer, domain] = [await mint(), await mint(toDomain)];
    for (const by of [world.rs2, world.a1, world.a2]) await expectInactive(() => ask(bearer, by));
    for (const by of [world.a1, world.a2]) await expectInactive(() => ask(domain, by));
    expect(isActive(await ask(bearer))).toBe(true);
  });

  it('IN-01 what is not yours, not ours, revoked and noise look exactly the same', async () => {
    const [theirs, revoked] = [await mint(), await mint()];
    await revoke(revoked);
    await expectIndistinguishable(
      () => ask(theirs, world.rs2),
      () => ask(revoked),
      () => ask(`${CANARY}.x.y`),
      () => ask(CANARY),
      async () => ask(await world.personToken('alice')),
      () => ask(own.access_token),
    );
  });

  it('IN-01 a server that is renamed to another resource does not inherit its tokens', async () => {
    const token = await mint();
    await change(world, RS1, (server) => ({ ...server, status: 'disabled' }), 'servers');
    try {
      await expectRefused(world, () => ask(token), {
        status: 401,
        error: 'invalid_client',
        description: 'client authentication failed',
        reason: 'unusable_client',
        unauthenticated: true,
        good: () => world.exchange(toDomain),
      });
    } finally {
      await change(world, RS1, (server) => ({ ...server, status: 'active' }), 'servers');
    }
  });

  it('IN-01 taking a use is no way to learn of a token either, and spends nothing of it', async () => {
    const token = await mint({ authorization_details: tools(tool('write_file')) });
    for (const by of [world.rs2, world.a1]) await expectInactive(() => ask(token, by, { consume: 'write_file' }));
    for (const consume of ['read_file', 'WRITE_FILE', 'write_file ', '']) {
      const answer = await ask(token, world.rs1, { consume });
      expect(isActive(answer)).not.toBe(true);
    }
    expect(isActive(await ask(token, world.rs1, { consume: 'write_file' }))).toBe(true);
    expect(isActive(await ask(token, world.rs1, { consume: 'write_file' }))).toBe(false);
  });

  it.each(['application/token-introspection+jwt', 'application/jwt', 'text/html', '*/*'])(
    'IN-02 an answer in the form %s says no more',
    async (accept) => {
      const token = await mint();
      await expectInactive(() => ask(token, world.rs2, {}, { accept }));
      const mine = await ask(token, world.rs1, {}, { accept });
      expect(mine.headers.get('content-type')).toMatch(/^application\/json/);
      expect(mine.body).toEqual({ active: true, token_type: 'Bearer', ...decodeJwt(token) });
    },
  );

  it('IN-03 what is no access token of ours is never active', async () => {
    const proof = forge(
      world.rs1.key.privateKey,
      { alg: 'ES256', typ: 'dpop+jwt', jwk: world.rs1.key.jwk },
      { jti: CANARY, htm: 'POST', htu: `${world.issuer}/introspect`, iat: seconds() },
    );
    const logout = forge(
      world.companyKey.privateKey,
      { alg: 'ES256', kid: 'company-1', typ: 'logout+jwt' },
      {
        iss: 'https://company.example',
        aud: RS1,
        sub: CANARY,
        iat: seconds(),
        exp: seconds() + 60,
        jti: CANARY,
        events: {},
      },
    );
    const others = [
      own.id_token ?? '',
      own.refresh_token ?? '',
      own.access_token,
      await world.personToken('alice', { aud: RS1 }),
      await assertion(world.issuer, world.rs1),
      await assertion(world.issuer, world.a1),
      forge(
        world.a1.key.privateKey,
        { alg: 'ES256', typ: 'txnat+jwt', kid: 'agt_a1-key' },
        { ...assertionClaims(world.issuer, world.a1), aud: RS1 },
      ),
      proof,
      logout,
      await mint({ resource: undefined, audience: 'agt_a2', authorization_details: undefined, scope: 'repo:read' }),
    ];
    for (const token of others)
      for (const by of [world.rs1, world.rs2, world.a1]) await expectInactive(() => ask(token, by));
  });

  it('IN-05 no part of a token is a token', async () => {
    const token = await mint();
    const [header = '', payload = '', tail = ''] = token.split('.');
    const prefixes = Array.from({ length: token.length }, (_, length) => token.slice(0, length)).filter(
      (cut) => cut !== '',
    );
    const shuffled = [
      `${payload}.${header}.${tail}`,
      `${header}..${tail}`,
      `.${payload}.${tail}`,
      `${header}.${payload}.`,
      token.slice(1),
      `${token}.`,
      `${token}${token}`,
      `${header}.${encoded(decodeJwt(token))}.${tail.startsWith('A') ? 'B' : 'A'}${tail.slice(1)}`,
    ];
    const all = [...prefixes, ...shuffled];
    for (let at = 0; at < all.length; at += 32) {
      const answers = await Promise.all(all.slice(at, at + 32).map((cut) => ask(cut)));
      for (const answer of answers) expect([answer.status, answer.body]).toEqual(INACTIVE);
    }
    expect(isActive(await ask(token))).toBe(true);
  }, 120_000);

  it('IN-08 a hint that lies changes nothing, at introspection and at revocation', async () => {
    const hints = [
      'access_token',
      'refresh_token',
      'id_token',
      'txn_token',
      `${TYPE}jwt`,
      '',
      'x'.repeat(1_000),
      CANARY,
    ];
    const token = await mint();
    for (const token_type_hint of hints) {
      expect(isActive(await ask(token, world.rs1, { token_type_hint }))).toBe(true);
      await expectInactive(() => ask(token, world.rs2, { token_type_hint }));
    }
    for (const token_type_hint of hints) {
      const mine = await mint();
      await world.post('/revoke', { ...(await bearerAssertion(world.issuer, world.a1)), token: mine, token_type_hint });
      expect(isActive(await ask(mine))).toBe(false);
    }
  });
});

describe('what ends a token', () => {
  it('IN-07 a revoked token is inactive within a second on every node, whichever heard of it', async () => {
    const made: [string, Client, Client][] = [
      [await mint(), world.a1, world.rs1],
      [await mint(toDomain), world.a1, world.rs2],
      [await mint(), world.a1, world.rs1],
    ];
    for (const [at, [token, owner, reader]] of made.entries()) {
      const nodes = [world.issuer, replica.url];
      for (const url of nodes) expect(isActive(await askAt(url, token, reader))).toBe(true);
      const since = Date.now();
      await revoke(token, owner, nodes[at % 2]);
      for (const url of nodes) expect([url, isActive(await askAt(url, token, reader))]).toEqual([url, false]);
      expect(Date.now() - since).toBeLessThan(1_000);
    }
  });

  it('IN-07 the other signature of a token revokes it too, and does not outlive it', async () => {
    const token = await mint();
    await revoke(otherSignature(token));
    await expectInactive(() => ask(token));
    await expectInactive(() => ask(otherSignature(token)));
  });

  it('IN-07 what another client tries to revoke stays, and it learns nothing', async () => {
    const token = await mint();
    const outsiders = [world.a2, world.rs1, world.rs2];
    await expectIndistinguishable(
      ...outsiders.map((by) => () => revoke(token, by)),
      () => revoke('a.b.c'),
      () => revoke(`${token}x`),
      async () => revoke(await world.personToken('alice')),
    );
    expect(isActive(await ask(token))).toBe(true);
  });

  it('an assertion that was used is recorded at revocation as at introspection', async () => {
    const used = { ...(await bearerAssertion(world.issuer, world.a1)), token: 'a.b.c' };
    expect((await world.post('/revoke', used)).status).toBe(200);
    for (const path of ['/revoke', '/introspect'])
      await expectRefused(world, () => world.post(path, used), {
        status: 401,
        error: 'invalid_client',
        description: 'client authentication failed',
        reason: 'assertion_replayed',
        unauthenticated: true,
      });
  });

  // Cut-offs of a tenant and of a person come with the issue that has them; today: token, session, agent, server's view.
  const cuts = ['token', 'session', 'parent'] as const;
  const combinations = Array.from({ length: 8 }, (_, bits) => cuts.filter((__, at) => (bits >> at) & 1));
  it.each(combinations.map((combination) => [combination.join(' and ') || 'nothing', combination] as const))(
    'IN-04 %s of a chain ended: any of them is enough, and one more does not bring it back',
    async (_, combination) => {
      const parent = await mint({ subject_token: await world.personToken('alice') });
      const child = await mint(
        { ...toDomain, subject_token: parent, subject_token_type: `${TYPE}txn_access_token` },
        world.rs1,
      );
      const { session } = decodeJwt<{ writ: { session: string } }>(child).writ;
      expect(isActive(await ask(child, world.rs2))).toBe(true);
      for (const cut of combination) {
        if (cut === 'token') await revoke(child, world.rs1);
        if (cut === 'parent') await revoke(parent);
        if (cut === 'session') await world.admin('POST', `/sessions/${session}/end`, { reason: 'test' });
      }
      expect(isActive(await ask(child, world.rs2))).toBe(combination.length === 0);
      const ofParent = combination.some((cut) => cut !== 'token');
      expect(isActive(await ask(parent))).toBe(!ofParent);
      const again = await world.exchange(
        { ...toDomain, subject_token: parent, subject_token_type: `${TYPE}txn_access_token` },
        world.rs1,
      );
      expect(again.status).toBe(ofParent ? 400 : 200);
    },
  );

  /** What a person's token said before the agent was cut off counts for nothing: back is who has a younger one. */
  const enableAgain = async (): Promise<void> => {
    await change(world, 'agt_a1', (agent) => ({ ...agent, status: 'active' }));
    while ((await world.exchange()).status !== 200) await new Promise((resolve) => setTimeout(resolve, 250));
  };

  it('IN-04 a token of an agent that is disabled is inactive', async () => {
    const token = await mint();
    await change(world, 'agt_a1', (agent) => ({ ...agent, status: 'disabled' }));
    const seen = await ask(token);
    await enableAgain();
    expect(seen.body).toEqual({ active: false });
  });

  it('IN-04 a hand-over of an agent that is disabled is not exchanged', async () => {
    const handed = await mint({
      resource: undefined,
      audience: 'agt_a2',
      authorization_details: undefined,
      scope: 'repo:read',
    });
    await change(world, 'agt_a1', (agent) => ({ ...agent, status: 'disabled' }));
    const answer = await world.exchange({ subject_token: handed }, world.a2);
    await enableAgain();
    expect([answer.status, answer.body]).toEqual([
      400,
      { error: 'invalid_request', error_description: 'subject_token is not acceptable' },
    ]);
  });

  it('a token is not active after its end, to the second', async () => {
    const token = await mint({ subject_token: await world.personToken('alice', { exp: seconds() + 2 }) });
    expect(isActive(await ask(token))).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, 2_100));
    await expectInactive(() => ask(token));
  });

  it('revoking the grant ends what the person gave: code, refresh token and what came of them', async () => {
    const { access_token, refresh_token } = await world.tokensFor(world.a1, {
      scope: 'openid offline_access repo:read',
      prompt: 'consent',
    });
    const token = await mint({ subject_token: access_token });
    const answer = await revoke(refresh_token ?? '');
    expect(answer.status).toBe(200);
    const after = await world.exchange({ subject_token: access_token });
    expect([after.status, isActive(await ask(token))]).toEqual([400, false]);
  });
});

describe('malformed questions', () => {
  it.each<[string, Form]>([
    ['no token', { token: undefined }],
    ['an empty token', { token: '' }],
    ['two tokens', { token: ['a.b.c', 'd.e.f'] }],
    ['a tool that is none', { token: 'a.b.c', consume: 'no tool' }],
    ['two tools', { token: 'a.b.c', consume: ['x', 'y'] }],
  ])('with %s are refused, the assertion spent', async (_, form) => {
    const answer = await world.post('/introspect', { ...(await bearerAssertion(world.issuer, world.rs1)), ...form });
    expect([answer.status, (answer.body as { error: string }).error]).toEqual([400, 'invalid_request']);
  });

  it('a GET, or a token in the URL, is no question', async () => {
    const token = await mint();
    const got = await request(`${world.issuer}/introspect?token=${token}`, { method: 'GET' });
    expect(got.status).toBe(405);
    const posted = await world.post(`/introspect?token=${token}`, await bearerAssertion(world.issuer, world.rs1));
    expect([posted.status, (posted.body as { error: string }).error]).toEqual([400, 'invalid_request']);
    expectNoSecret([got.text, posted.text]);
  });

  it('an at+jwt for an older server is seen by that server alone', async () => {
    await change(world, 'agt_a1', (agent) => ({
      ...agent,
      allow: [...(agent['allow'] as unknown[]), { resource: RS2, scopes: ['repo:read'], tools: '*' }],
    }));
    const token = await mint({ resource: RS2, authorization_details: tools(tool('read_file', {}, RS2)) });
    await expectInactive(() => ask(token, world.rs1));
    expect(isActive(await ask(token, world.rs2))).toBe(true);
    // RFC 9068 makes it look like a person's token: it is none, and goes nowhere.
    const answer = await world.exchange({ subject_token: token, subject_token_type: ACCESS_TOKEN });
    expect(answer.status).toBe(400);
  });
});
