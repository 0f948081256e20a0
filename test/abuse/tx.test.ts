import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import pg from 'pg';
import {
  CANARY,
  expectIndistinguishable,
  expectNoSecret,
  expectRefused,
  marked,
  recordsAfter,
  type Wanted,
} from '../support/invariants.js';
import { ACCESS_TOKEN, type Client, EXCHANGE, RS1, startWorld } from '../support/world.js';
import {
  ADMIN_TOKEN,
  assertion,
  bearerAssertion,
  type Form,
  freePort,
  makeKey,
  type Reply,
  request,
  sendForm,
} from '../support/writ.js';
import type { Writ } from '../../src/server.js';
import { forge, nested, seconds } from './forge.js';
import { change, startNode, startSignInWorld, type SignInWorld, tokenOf, type Tokens } from './sign-in.js';

const TYPE = 'urn:ietf:params:oauth:token-type:';
const DOMAIN = 'trust.example';
const PARTNER = 'https://partner.example';
const SUBJECT = 'subject_token is not acceptable';
const ACTOR = 'actor_token is not acceptable';
const TARGET = 'resource or audience does not name a target that this client may ask for';

let world: SignInWorld;
/** The own token of alice that A1 has by the code flow, with what came with it. */
let own: Tokens;
const partnerKey = makeKey('partner-1');
const clientAgents = ['agt_c1', 'agt_c2', 'agt_c3', 'agt_c4', 'agt_c5'];
let chain: readonly Client[];

beforeAll(async () => {
  world = await startSignInWorld();
  await change(
    world,
    'https://company.example',
    (issuer) => ({
      ...issuer,
      accepts: [
        { token_type: ACCESS_TOKEN, typ: 'at+jwt' },
        { token_type: `${TYPE}id_token`, typ: null, scopes: ['repo:read'] },
      ],
      agents: [world.a1.id, world.a2.id, world.ax.id],
    }),
    'issuers',
  );
  chain = clientAgents.map((id) => ({ id, key: makeKey(`${id}-key`) }));
  const a2 = (await world.admin('GET', `/agents/${world.a2.id}`)).body as Record<string, unknown>;
  const applied = await world.admin('POST', '/apply', {
    agents: chain.map(({ id, key }, at) => ({
      ...a2,
      client_id: id,
      authentication: { method: 'private_key_jwt', jwks: { keys: [key.jwk] } },
      hand_over_to: chain[at + 1] === undefined ? [] : [chain[at + 1]?.id],
    })),
    issuers: [
      {
        issuer: PARTNER,
        name: 'Partner',
        jwks: { keys: [partnerKey.jwk] },
        accepts: [{ token_type: ACCESS_TOKEN, typ: 'at+jwt' }],
        agents: [world.a2.id],
      },
    ],
  });
  if (applied.status !== 200) throw new Error(applied.text);
  await change(world, world.a1.id, (agent) => ({ ...agent, hand_over_to: ['agt_a2', 'agt_c1'] }));
  own = await world.tokensFor(world.a1, { scope: 'openid offline_access repo:read repo:write', prompt: 'consent' });
}, 60_000);
afterAll(async () => {
  await world.close();
  expect(world.faults).toEqual([]);
});

/** The happy exchange with these changes, its subject token full of what must never be seen again. */
const attack =
  (changes: Form = {}, by?: Client, headers?: Record<string, string>): (() => Promise<Reply>) =>
  async () =>
    world.exchange({ subject_token: await person(), ...changes }, by, headers);
const person = (claims: Record<string, unknown> = {}, header?: Record<string, unknown>): Promise<string> =>
  world.personToken('alice', { jti: marked(), note: CANARY, ...claims }, header);
const idToken = (claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}): Promise<string> =>
  person(
    { client_id: undefined, scope: undefined, aud: world.a1.id, nonce: CANARY, ...claims },
    { typ: 'JWT', ...header },
  );
const refused = (send: () => Promise<Reply>, wanted: Omit<Wanted, 'status'> & { status?: number }): Promise<Reply> =>
  expectRefused(world, send, { status: 400, ...wanted });
const badSubject = { error: 'invalid_request', description: SUBJECT, reason: 'subject_invalid' } as const;
const badTarget = { error: 'invalid_target', description: TARGET } as const;

const handOver = async (from: Client, to: string, subject_token: string, more: Form = {}): Promise<string> =>
  tokenOf(
    await world.exchange(
      {
        subject_token,
        resource: undefined,
        audience: to,
        authorization_details: undefined,
        scope: 'repo:read',
        ...more,
      },
      from,
    ),
  );
const toDomain: Form = { resource: undefined, audience: DOMAIN, authorization_details: undefined, scope: 'repo:read' };

const actorToken = async (
  by: Client,
  claims: Record<string, unknown> = {},
  header: Record<string, unknown> = {},
): Promise<Form> => ({
  actor_token_type: `${TYPE}jwt`,
  actor_token: await assertion(world.issuer, by, {
    claims: { sub: `${by.id}/run-1`, jti: marked(), ...claims },
    header: { typ: undefined, ...header },
  }),
});

async function sql(text: string, ...values: unknown[]): Promise<void> {
  const client = new pg.Client({ connectionString: world.config.databaseUrl });
  await client.connect();
  try {
    await client.query(text, values);
  } finally {
    await client.end();
  }
}

describe('the subject token', () => {
  it.each<[string, Form]>([
    ['absent', { subject_token: undefined }],
    ['empty', { subject_token: '' }],
    ['only spaces', { subject_token: ' \t ' }],
    [
      'absent, with an actor token to stand in for it',
      { subject_token: undefined, actor_token: 'x', actor_token_type: `${TYPE}jwt` },
    ],
  ])('TX-01 %s is refused, and never becomes a token of the client itself', async (_, changes) => {
    await refused(attack(changes), {
      error: 'invalid_request',
      description: 'subject_token is missing',
      reason: 'parameter_missing',
    });
  });

  it('TX-01 sent twice is refused, whichever of the two is good', async () => {
    const [good, other] = [await person(), await person()];
    for (const subject_token of [
      [good, other],
      [good, ''],
      ['', good],
      [good, good],
    ]) {
      await refused(attack({ subject_token }), {
        error: 'invalid_request',
        description: 'subject_token must be sent once',
        reason: 'parameter_repeated',
      });
    }
  });

  it('TX-01 a grant type sent twice reaches no grant', async () => {
    await refused(attack({ grant_type: [EXCHANGE, 'authorization_code'] }), {
      error: 'invalid_request',
      description: 'grant_type must be sent once',
      reason: 'parameter_repeated',
    });
    const turned = await attack({ grant_type: ['authorization_code', EXCHANGE] })();
    expect([turned.status, turned.text.includes('access_token"')]).toEqual([400, false]);
  });

  it.each<[string, Record<string, unknown>]>([
    ['may_act for the caller', { may_act: { sub: 'agt_a1', iss: 'https://company.example' } }],
    ['may_act for somebody else', { may_act: { sub: 'agt_a2' } }],
    ['may_act that is empty', { may_act: {} }],
    ['may_act that is null', { may_act: null }],
    ['act of its issuer', { act: { sub: 'somebody', iss: 'https://company.example' } }],
    ['act that is null', { act: null }],
  ])('TX-02 with %s and no actor token is refused, not washed clean', async (_, claims) => {
    await refused(attack({ subject_token: await person(claims) }), badSubject);
  });

  it('TX-02 of ours with may_act for another agent is refused, even to the agent that made it', async () => {
    const subject_token = await handOver(world.a1, 'agt_a2', await person());
    await refused(attack({ subject_token }), { ...badSubject, reason: 'may_act_names_another' });
    await refused(attack({ subject_token, ...(await actorToken(world.a1)) }), {
      ...badSubject,
      reason: 'may_act_names_another',
      spends: 2,
    });
  });

  it.each<[string, () => Promise<Form>]>([
    [
      'an access token for another API',
      async () => ({ subject_token: await person({ aud: 'https://api.company.example' }) }),
    ],
    ['an access token for an MCP server', async () => ({ subject_token: await person({ aud: RS1 }) })],
    [
      'an access token for us and another API',
      async () => ({ subject_token: await person({ aud: [world.issuer, 'https://api.company.example'] }) }),
    ],
    ['an access token issued to another agent', async () => ({ subject_token: await person({ client_id: 'agt_a2' }) })],
    [
      'an ID token for another client',
      async () => ({ subject_token: await idToken({ aud: 'webapp' }), subject_token_type: `${TYPE}id_token` }),
    ],
    [
      'an ID token for us and another client',
      async () => ({
        subject_token: await idToken({ aud: [world.a1.id, 'webapp'] }),
        subject_token_type: `${TYPE}id_token`,
      }),
    ],
  ])('TX-04 that is %s is refused', async (_, changes) => {
    await refused(attack(await changes()), badSubject);
  });

  it.each<[string, Record<string, unknown>]>([
    ['aud', { aud: 'agt_a1' }],
    ['azp', { aud: 'agt_a2', azp: 'agt_a1' }],
    ['client_id', { aud: 'agt_a2', client_id: 'agt_a1' }],
    ['azp beside a client_id that is right', { aud: 'agt_a2', client_id: 'agt_a2', azp: 'agt_a1' }],
    ['client_id beside an azp that is right', { aud: 'agt_a2', client_id: 'agt_a1', azp: 'agt_a2' }],
  ])('TX-05 whose %s names another agent is refused to A2', async (_, claims) => {
    const changes: Form = { subject_token: await idToken(claims), subject_token_type: `${TYPE}id_token` };
    await refused(attack(changes, world.a2), badSubject);
  });

  it('TX-05 of ours that was issued to A1 is refused to A2', async () => {
    await refused(attack({ subject_token: own.access_token }, world.a2), {
      ...badSubject,
      reason: 'not_exchangeable_by_caller',
    });
  });

  it('TX-05 the same ID token is good for the agent that it names', async () => {
    const answer = await world.exchange({ subject_token: await idToken(), subject_token_type: `${TYPE}id_token` });
    expect(answer.status).toBe(200);
  });
});

describe('TX-07 token types', () => {
  const types = ['access_token', 'id_token', 'jwt', 'txn_token', 'txn_access_token', 'refresh_token', 'saml1', 'saml2'];
  const unsupported = ['refresh_token', 'saml1', 'saml2'];
  const kinds: [string, string | undefined, () => Promise<string>][] = [
    ["a company's access token", 'access_token', () => person()],
    ["a company's ID token", 'id_token', () => idToken()],
    ["a company's logout token", undefined, () => idToken({ events: LOGOUT, nonce: undefined }, { typ: 'logout+jwt' })],
    ["a company's logout token without its type", undefined, () => idToken({ events: LOGOUT, nonce: undefined })],
    ["a company's introspection answer", undefined, () => idToken({}, { typ: 'token-introspection+jwt' })],
    ['our access token for a person', 'access_token', () => Promise.resolve(own.access_token)],
    ['our ID token', undefined, () => Promise.resolve(own.id_token ?? '')],
    ['our refresh token', undefined, () => Promise.resolve(own.refresh_token ?? '')],
    ['our transaction token', 'txn_token', async () => tokenOf(await world.exchange(toDomain))],
    ['a client assertion', undefined, () => assertion(world.issuer, world.a1)],
    [
      'a client assertion without its type',
      undefined,
      () => assertion(world.issuer, world.a1, { header: { typ: undefined } }),
    ],
    [
      'a DPoP proof',
      undefined,
      () =>
        Promise.resolve(
          forge(
            world.a1.key.privateKey,
            { alg: 'ES256', typ: 'dpop+jwt', jwk: world.a1.key.jwk },
            { jti: marked(), htm: 'POST', htu: `${world.issuer}/token`, iat: seconds() },
          ),
        ),
    ],
    [
      'a SAML assertion',
      undefined,
      () =>
        Promise.resolve(
          Buffer.from('<Assertion xmlns="urn:oasis:names:tc:SAML:2.0:assertion"/>').toString('base64url'),
        ),
    ],
  ];
  const LOGOUT = { 'http://schemas.openid.net/event/backchannel-logout': {} };

  it.each(kinds)(
    '%s passes as what it is and as nothing else',
    async (_, right, make) => {
      for (const type of types) {
        const changes: Form = { subject_token: await make(), subject_token_type: `${TYPE}${type}` };
        if (type === right) expect([type, (await world.exchange(changes)).status]).toEqual([type, 200]);
        else if (unsupported.includes(type))
          await refused(attack(changes), {
            error: 'invalid_request',
            description: 'subject_token_type is not supported',
            reason: 'unsupported_token_type',
          });
        else await refused(attack(changes), badSubject);
      }
    },
    60_000,
  );

  it('our transactional access token goes on from its server alone, and under its own type', async () => {
    const make = async (): Promise<string> => tokenOf(await world.exchange({ subject_token: await person() }));
    for (const type of types) {
      const changes: Form = { ...toDomain, subject_token: await make(), subject_token_type: `${TYPE}${type}` };
      const good = type === 'txn_access_token';
      if (good) expect((await world.exchange(changes, world.rs1)).status).toBe(200);
      if (unsupported.includes(type)) continue;
      await refused(attack(changes, world.rs2), {
        ...badSubject,
        reason: good ? 'not_exchangeable_by_caller' : 'subject_invalid',
      });
      await refused(attack(changes), {
        ...badSubject,
        reason: good ? 'not_exchangeable_by_caller' : 'subject_invalid',
      });
    }
  });
});

describe('the target', () => {
  it.each<[string, Form, string]>([
    [
      'an internal address as audience',
      { ...toDomain, audience: 'https://api.internal/admin' },
      'hand_over_not_allowed',
    ],
    ['our own issuer as audience', { ...toDomain, audience: 'OURS' }, 'hand_over_not_allowed'],
    ['an MCP server as audience', { ...toDomain, audience: RS1 }, 'hand_over_not_allowed'],
    ['the caller itself', { ...toDomain, audience: 'agt_a1' }, 'hand_over_not_allowed'],
    ['the trust domain in other letters', { ...toDomain, audience: 'TRUST.example' }, 'hand_over_not_allowed'],
    ['the trust domain and a dot', { ...toDomain, audience: 'trust.example.' }, 'hand_over_not_allowed'],
    [
      'a resource of another port',
      { resource: `${RS1}:8443`, authorization_details: undefined, scope: 'repo:read' },
      'unknown_target',
    ],
    [
      'a resource with its default port',
      { resource: `${RS1}:443`, authorization_details: undefined, scope: 'repo:read' },
      'unknown_target',
    ],
    [
      'a resource in other letters',
      { resource: RS1.toUpperCase(), authorization_details: undefined, scope: 'repo:read' },
      'unknown_target',
    ],
    [
      'a path below a resource',
      { resource: `${RS1}/../mcp1`, authorization_details: undefined, scope: 'repo:read' },
      'unknown_target',
    ],
    [
      'our own issuer as resource',
      { resource: 'OURS', authorization_details: undefined, scope: 'repo:read' },
      'unknown_target',
    ],
  ])('TX-08 %s is refused in one sentence', async (_, changes, reason) => {
    const named = Object.fromEntries(
      Object.entries(changes).map(([name, value]) => [name, value === 'OURS' ? world.issuer : value]),
    );
    await refused(attack(named), { ...badTarget, reason });
  });

  it('TX-10 that is disabled is refused on every path to it', async () => {
    const handed = await handOver(world.a1, 'agt_a2', await person());
    const domain = tokenOf(await world.exchange({ ...toDomain, subject_token: await person() }));
    const elsewhere = (): Promise<Reply> => world.exchange(toDomain);
    await change(world, RS1, (server) => ({ ...server, status: 'disabled' }), 'servers');
    try {
      const wanted = { ...badTarget, reason: 'unknown_target', good: elsewhere };
      await refused(attack(), wanted);
      await refused(attack({ subject_token: own.access_token }), wanted);
      await refused(attack({ subject_token: handed }, world.a2), wanted);
      await refused(attack({ subject_token: domain, subject_token_type: `${TYPE}txn_token` }), wanted);
      const renewed = await world.post('/token', {
        grant_type: 'refresh_token',
        refresh_token: own.refresh_token,
        ...(await bearerAssertion(world.issuer, world.a1)),
      });
      own = { ...own, ...(renewed.body as Tokens) };
      await refused(attack({ subject_token: own.access_token }), wanted);
    } finally {
      await change(world, RS1, (server) => ({ ...server, status: 'active' }), 'servers');
    }
  });
});

describe('who may bring what', () => {
  const partnerToken = (claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}): string =>
    forge(
      partnerKey.privateKey,
      { alg: 'ES256', kid: 'partner-1', typ: 'at+jwt', ...header },
      {
        iss: PARTNER,
        sub: 'zoe',
        aud: world.issuer,
        client_id: 'agt_a2',
        scope: 'repo:read',
        iat: seconds(),
        exp: seconds() + 300,
        jti: marked(),
        ...claims,
      },
    );

  it('TX-11 an agent without a grant for that issuer is refused: nothing is allowed by default', async () => {
    const wanted = {
      error: 'unauthorized_client',
      description: 'this client may not exchange tokens of that issuer',
      reason: 'issuer_not_allowed',
    };
    await refused(attack({ subject_token: partnerToken({ client_id: 'agt_a1' }) }), wanted);
    await refused(attack({ subject_token: await person() }, chain[0]), wanted);
    await refused(attack({ subject_token: await person(), ...toDomain }, world.rs1), wanted);
  });

  it('TX-13 a token of one issuer never passes for a token of another', async () => {
    for (const subject_token of [
      partnerToken({ iss: 'https://company.example', client_id: 'agt_a1' }),
      partnerToken({ iss: 'https://company.example', client_id: 'agt_a1' }, { kid: 'company-1' }),
      partnerToken({ iss: world.issuer }),
      await person({ iss: PARTNER }),
    ])
      await refused(attack({ subject_token }, world.a2), badSubject);
  });

  it('TX-13 people of two issuers are two people, whatever they call themselves', async () => {
    const ours = decodeJwt(tokenOf(await world.exchange({ subject_token: await person() })));
    const theirs = decodeJwt(
      tokenOf(await world.exchange({ subject_token: partnerToken({ sub: 'alice' }) }, world.a2)),
    );
    expect(theirs.sub).not.toBe(ours.sub);
  });

  it('TX-13, TX-14 what another deployment made is as unknown as noise, as subject and as actor', async () => {
    const other = await startWorld();
    try {
      const foreign = await other.exchange({ ...toDomain, scope: 'repo:read' });
      const subject = { subject_token: tokenOf(foreign), subject_token_type: `${TYPE}txn_token` };
      await refused(attack(subject), badSubject);
      await expectIndistinguishable(
        attack(subject),
        attack({ ...subject, subject_token: 'a.b.c' }),
        attack({ ...subject, subject_token: CANARY }),
      );
      const theirActor = await assertion(world.issuer, other.a1, {
        claims: { jti: marked() },
        header: { typ: undefined },
      });
      await refused(attack({ actor_token: theirActor, actor_token_type: `${TYPE}jwt` }), {
        error: 'invalid_request',
        description: ACTOR,
        reason: 'actor_invalid',
      });
      // Their assertion names our agent's id, by their key: the same id in two deployments is two agents.
      const form = {
        client_assertion: await assertion(world.issuer, other.a1),
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      };
      await expectRefused(world, attack(form), {
        status: 401,
        error: 'invalid_client',
        reason: 'assertion_wrong_signature',
        unauthenticated: true,
      });
    } finally {
      await other.close();
    }
  });

  it.each<[string, () => Promise<string>]>([
    [
      'unsigned',
      () =>
        Promise.resolve(
          `${forge(world.a1.key.privateKey, { alg: 'none' }, { iss: 'agt_a1', sub: 'agt_a1' }).split('.').slice(0, 2).join('.')}.`,
        ),
    ],
    [
      'unsigned, wrapped in a signed one',
      async () =>
        assertion(world.issuer, world.a1, {
          header: { typ: undefined, cty: 'JWT' },
          claims: { jti: marked(), sub: 'agt_a2', jwt: 'eyJhbGciOiJub25lIn0.e30.' },
        }),
    ],
    [
      'of another audience',
      async () => (await actorToken(world.a1, { aud: 'https://other.example' }))['actor_token'] as string,
    ],
  ])('TX-14 an actor token that is %s is refused', async (_, make) => {
    await refused(attack({ actor_token: await make(), actor_token_type: `${TYPE}jwt` }), {
      error: 'invalid_request',
      description: ACTOR,
      reason: 'actor_invalid',
    });
  });

  it('TX-16 a person who was locked out after the start is refused when the token is made', async () => {
    const handed = await handOver(world.a1, 'agt_a2', await world.personToken('mallory'));
    const { sub } = decodeJwt(handed);
    await sql(`UPDATE person SET status = 'disabled' WHERE id = $1`, sub);
    const locked = { ...badSubject, reason: 'person_disabled' };
    await refused(attack({ subject_token: handed }, world.a2), locked);
    await refused(attack({ subject_token: await world.personToken('mallory') }), locked);
    await expectIndistinguishable(
      attack({ subject_token: handed }, world.a2),
      attack({ subject_token: 'a.b.c' }, world.a2),
    );
  });

  it('TX-26 a borrowed actor token is refused: the actor is who is authenticated', async () => {
    const wanted = { error: 'invalid_request', description: ACTOR, reason: 'actor_invalid' };
    await refused(attack(await actorToken(world.a2)), wanted);
    await refused(attack(await actorToken(world.a1, { iss: 'agt_a2', sub: 'agt_a2' })), wanted);
    await refused(attack(await actorToken(world.a1, { sub: 'agt_a2' })), wanted);
    await refused(attack(await actorToken(world.a1, { sub: 'agt_a11' })), wanted);
    await refused(attack(await actorToken(world.a1, { sub: 'agt_a1/../agt_a2' })), wanted);
    await refused(attack({ actor_token: own.access_token, actor_token_type: `${TYPE}jwt` }), wanted);
  });

  it.each<[string, Form, string]>([
    ['without its type', { actor_token: CANARY }, 'actor_token_type is missing'],
    ['with an empty type', { actor_token: CANARY, actor_token_type: '' }, 'actor_token_type is missing'],
    ['that is missing beside its type', { actor_token_type: `${TYPE}jwt` }, 'actor_token is missing'],
    ['that is empty beside its type', { actor_token: '', actor_token_type: `${TYPE}jwt` }, 'actor_token is missing'],
  ])('TX-25 an actor token %s is refused', async (_, changes, description) => {
    await refused(attack(changes), { error: 'invalid_request', description, reason: 'parameter_missing' });
  });

  it('TX-28 the right to exchange opens no door of the administrator', async () => {
    const tokens = [
      own.access_token,
      tokenOf(await world.exchange()),
      tokenOf(await world.exchange(toDomain)),
      await assertion(world.issuer, world.a1),
    ];
    const doors: [string, string][] = [
      ['GET', '/agents'],
      ['POST', '/apply'],
      ['GET', '/log'],
      ['PUT', '/agents/agt_a1'],
      ['POST', '/sessions/ses_x/end'],
      ['POST', '/impersonate'],
    ];
    for (const token of tokens) {
      for (const [method, path] of doors) {
        const headers = { authorization: `Bearer ${token}` };
        const answer = await request(`${world.issuer}/admin/v1${path}`, { method, headers });
        // 401 and not the catalogue's 403: to the admin API an agent's token is nobody's.
        expect([path, answer.status]).toEqual([path, path === '/impersonate' ? 404 : 401]);
        expectNoSecret([answer.text]);
      }
    }
  });
});

describe('TX-17 time', () => {
  // A clock that stands still, so that the edge is exact; the database's own may differ by 30 s.
  let now: number;
  let node: Writ;
  let url: string;
  beforeAll(async () => {
    const port = await freePort();
    now = seconds();
    url = `http://127.0.0.1:${port}/token`;
    node = await startNode(world, { port, clock: { now: () => now } });
  });
  afterAll(() => node.close());
  const send = async (changes: Form): Promise<Reply> => sendForm(url, await world.form(changes));

  // Leeway of 30 s is for a start that others' clocks make; a token is never good after its own end.
  it.each<[string, (at: number) => Record<string, unknown>, number]>([
    ['ends one second from now', (at) => ({ exp: at + 1 }), 200],
    ['ends now', (at) => ({ exp: at }), 400],
    ['ended within the leeway', (at) => ({ exp: at - 29 }), 400],
    ['ended past the leeway', (at) => ({ exp: at - 31 }), 400],
    ['starts at the edge of the leeway', (at) => ({ nbf: at + 30 }), 200],
    ['starts past the leeway', (at) => ({ nbf: at + 31 }), 400],
    ['was made at the edge of the leeway', (at) => ({ iat: at + 30 }), 200],
    ['was made past the leeway', (at) => ({ iat: at + 31 }), 400],
  ])('a subject token that %s', async (_, claims, status) => {
    const answer = await send({ subject_token: await person(claims(now)) });
    expect([answer.status, status === 200 ? '' : answer.body]).toEqual([
      status,
      status === 200 ? '' : { error: 'invalid_request', error_description: SUBJECT },
    ]);
  });

  it.each<[string, (at: number) => Record<string, unknown>, number]>([
    ['ends in a moment', (at) => ({ exp: at + 20, iat: at - 60 }), 200],
    ['ends now', (at) => ({ exp: at, iat: at - 60 }), 400],
    ['ended within the leeway', (at) => ({ exp: at - 29, iat: at - 60 }), 400],
    ['was made at the edge of the leeway', (at) => ({ iat: at + 30, exp: at + 60 }), 200],
    ['was made past the leeway', (at) => ({ iat: at + 31, exp: at + 60 }), 400],
    ['lives longer than 300 s', (at) => ({ iat: at, exp: at + 301 }), 400],
  ])('an actor token that %s', async (_, claims, status) => {
    const answer = await send({ subject_token: await person(), ...(await actorToken(world.a1, claims(now))) });
    expect([answer.status, status === 200 ? '' : answer.body]).toEqual([
      status,
      status === 200 ? '' : { error: 'invalid_request', error_description: ACTOR },
    ]);
  });
});

describe('scope', () => {
  const syntax = {
    error: 'invalid_scope',
    description: 'scope must be scope tokens separated by single spaces',
    reason: 'malformed_scope',
  };
  const wide = { error: 'invalid_scope', reason: 'scope_too_wide' };

  it.each<[string, string]>([
    ['doubled spaces', 'repo:read  repo:write'],
    ['a space before', ' repo:read'],
    ['a space after', 'repo:read '],
    ['a tab', 'repo:read\trepo:write'],
    ['a no-break space', 'repo:read\u00a0repo:write'],
    ['a line feed', 'repo:read\nrepo:write'],
    ['a NUL', 'repo:read\u0000'],
    ['a quote', 'repo:"read"'],
    ['nothing', ''],
    ['10,000 scopes', Array.from({ length: 10_000 }, () => 'a:b').join(' ')],
    ['one scope 257 times', Array.from({ length: 257 }, () => 'repo:read').join(' ')],
  ])('TX-19 with %s is refused', async (_, scope) => {
    await refused(attack({ scope }), syntax);
  });

  it.each([
    'repo:read admin',
    'REPO:READ',
    'repo:*',
    '*',
    'repo:read repo:admin',
    'repo',
    'repo:reade',
    'openid',
    'repo:read offline_access',
  ])('TX-19 %s is wider than what there is, and refused whole', async (scope) => {
    await refused(attack({ scope, authorization_details: undefined }), wide);
  });

  it('TX-19 is never wider than person, agent, server and request together', async () => {
    const all = ['repo:read', 'repo:write', 'repo:admin', 'other:read'];
    const subsets = Array.from({ length: 16 }, (_, bits) => all.filter((__, at) => (bits >> at) & 1));
    for (const held of subsets) {
      const subject_token = await world.personToken('alice', { scope: held.join(' ') });
      for (const asked of ['repo:read', 'repo:read repo:write', 'repo:admin']) {
        const answer = await world.exchange({ subject_token, scope: asked, authorization_details: undefined });
        const may = asked.split(' ').every((scope) => held.includes(scope) && scope !== 'repo:admin');
        if (answer.status !== 200) continue;
        expect([held, asked, may]).toEqual([held, asked, true]);
        const scope = (answer.body as { scope: string }).scope.split(' ');
        expect(scope.every((one) => held.includes(one) && asked.includes(one))).toBe(true);
      }
    }
  });

  it('TX-19 of a transaction token is not wider than what the agent may ask for anywhere', async () => {
    const subject_token = await person({ scope: 'repo:read repo:admin payroll:approve' });
    await refused(attack({ ...toDomain, subject_token, scope: 'repo:admin' }), wide);
    await refused(attack({ ...toDomain, subject_token, scope: 'payroll:approve' }), wide);
    const absent = await world.exchange({ ...toDomain, subject_token, scope: undefined });
    expect(absent.body).toMatchObject({ scope: 'repo:read' });
  });

  it('TX-20 a refresh token is neither asked for, nor brought, nor given', async () => {
    const type = { error: 'invalid_request', reason: 'unsupported_token_type' };
    await refused(attack({ requested_token_type: `${TYPE}refresh_token` }), type);
    await refused(attack({ subject_token: own.refresh_token, subject_token_type: `${TYPE}refresh_token` }), type);
    await refused(attack({ scope: 'repo:read offline_access' }), wide);
    for (const answer of [
      await world.exchange(),
      await world.exchange(toDomain),
      await world.exchange({ subject_token: own.access_token }),
    ]) {
      expect(answer.status).toBe(200);
      expect(answer.text).not.toContain('refresh_token');
      const renewed = await world.post('/token', {
        grant_type: 'refresh_token',
        refresh_token: tokenOf(answer),
        ...(await bearerAssertion(world.issuer, world.a1)),
      });
      expect([renewed.status, renewed.body]).toEqual([
        400,
        { error: 'invalid_grant', error_description: 'grant request is invalid' },
      ]);
    }
  });
});

describe('the chain', () => {
  it('TX-22 deeper than the limit is refused', async () => {
    let held = await handOver(world.a1, 'agt_c1', await person());
    for (const [at, agent] of chain.slice(0, -1).entries())
      held = await handOver(agent, clientAgents[at + 1] ?? '', held);
    await refused(attack({ subject_token: held }, chain.at(-1)), {
      error: 'invalid_request',
      description: 'the delegation chain is longer than 5',
      reason: 'chain_too_long',
    });
    // One less is the limit itself.
    expect(decodeJwt(held)['act']).toMatchObject({ sub: 'agt_c4', act: { act: { act: { act: { sub: 'agt_a1' } } } } });
  });

  it('TX-22 that comes back to an agent is refused', async () => {
    await change(world, 'agt_a2', (agent) => ({ ...agent, hand_over_to: ['agt_a1'] }));
    const back = await handOver(world.a2, 'agt_a1', await handOver(world.a1, 'agt_a2', await person()));
    const loop = {
      error: 'invalid_request',
      description: 'this actor is already in the delegation chain',
      reason: 'actor_loop',
    };
    await refused(attack({ subject_token: back }), loop);
    await refused(
      attack({
        subject_token: back,
        resource: undefined,
        audience: 'agt_a2',
        authorization_details: undefined,
        scope: 'repo:read',
      }),
      loop,
    );
  });

  it('TX-22 that comes back as an instance of the same agent is not a way around', async () => {
    await change(world, 'agt_a2', (agent) => ({ ...agent, hand_over_to: ['agt_a1'] }));
    const back = await handOver(world.a2, 'agt_a1', await handOver(world.a1, 'agt_a2', await person()));
    await refused(attack({ subject_token: back, ...(await actorToken(world.a1)) }), {
      error: 'invalid_request',
      reason: 'actor_loop',
      spends: 2,
    });
  });

  it.each([33, 1_000])('TX-22 of %i nested actors is refused before anything of it is read', async (depth) => {
    const text = JSON.stringify({ iss: 'https://company.example', sub: CANARY }).replace(
      /}$/,
      `,"act":${nested(depth, '{}', 'act')}}`,
    );
    await refused(
      attack({
        subject_token: forge(world.companyKey.privateKey, { alg: 'ES256', kid: 'company-1', typ: 'at+jwt' }, text),
      }),
      badSubject,
    );
  });

  it('TX-22 of 20,000 nested actors costs less than a good request', async () => {
    const text = `{"act":${nested(20_000, '{}', 'a')}}`;
    const subject_token = forge(world.companyKey.privateKey, { alg: 'ES256', kid: 'company-1', typ: 'at+jwt' }, text);
    const answer = await attack({ subject_token })();
    expect([answer.status, (answer.body as { error: string }).error]).toEqual([413, 'invalid_request']);
  });

  it.each<[string, string]>([
    ['sub', '{"sub":"prs_root"}'],
    ['act', '{"act":{"sub":"admin"}}'],
    ['act as a list', '{"act":[{"sub":"admin"}]}'],
    ['act as text', '{"act":"admin"}'],
    ['aud', '{"aud":"https://mcp2.example"}'],
    ['iss', '{"iss":"https://evil.example"}'],
    ['exp', '{"exp":9999999999}'],
    ['cnf', '{"cnf":{"jkt":"x"}}'],
    ['scope', '{"scope":"admin"}'],
    ['writ', '{"writ":{"session":"x"}}'],
    ['tctx', '{"tctx":{}}'],
    ['call_chain', '{"call_chain":[]}'],
    ['__proto__', '{"__proto__":{"task":"x"}}'],
    ['a list', '[]'],
    ['text', '"task"'],
    ['task twice', '{"task":"a","task":"b"}'],
    ['task as an object', '{"task":{"not":""}}'],
  ])('TX-23 request details with %s are refused', async (_, request_details) => {
    await refused(attack({ request_details }), { error: 'invalid_request', reason: 'parameter_malformed' });
    await refused(attack({ request_context: request_details }), {
      error: 'invalid_request',
      reason: 'parameter_malformed',
    });
  });

  it('TX-23 in the token is what Writ saw, whatever parameters claim', async () => {
    const forged = {
      act: '{"sub":"admin"}',
      may_act: '{"sub":"admin"}',
      sub: 'prs_root',
      azp: 'admin',
      client: 'admin',
      iss: 'x',
      aud: 'x',
      cnf: 'x',
      exp: '9999999999',
    };
    const claims = decodeJwt(tokenOf(await world.exchange(forged)));
    expect(claims['act']).toEqual({ sub: 'agt_a1', iss: world.issuer, sub_profile: 'ai_agent' });
    expect(claims.aud).toBe(RS1);
    expect(claims.sub).toMatch(/^prs_/);
    expect(JSON.stringify(claims)).not.toContain('admin');
    const [record] = (await recordsAfter(world, '0', 'exchange')).slice(-1);
    expect(record?.facts['actors']).toEqual([{ sub: 'agt_a1', iss: world.issuer }]);
  });
});

describe('codes and transactions', () => {
  const invalidGrant = [400, { error: 'invalid_grant', error_description: 'grant request is invalid' }];
  const outcome = ({ status, body }: Reply): unknown => [status, body];
  const renew = async (refresh_token: string | undefined, by: Client): Promise<Reply> =>
    world.post('/token', {
      grant_type: 'refresh_token',
      refresh_token,
      ...(await bearerAssertion(world.issuer, by)),
    });
  const offline = { scope: 'openid offline_access repo:read', prompt: 'consent' };

  it('TX-29 a code or a refresh token of A1 is nothing to A2', async () => {
    const code = await world.codeFor(world.a1);
    expect(outcome(await world.post('/token', await world.codeForm(code, world.a2)))).toEqual(invalidGrant);
    const { refresh_token } = await world.tokensFor(world.a1, offline);
    expect(outcome(await renew(refresh_token, world.a2))).toEqual(invalidGrant);
  });

  it('TX-29 a code that A2 has tried is dead for A1 too', async () => {
    const code = await world.codeFor(world.a1);
    await world.post('/token', await world.codeForm(code, world.a2));
    expect(outcome(await world.post('/token', await world.codeForm(code, world.a1)))).toEqual(invalidGrant);
  });

  it('TX-29 a refresh token that A2 has tried is dead for A1 too', async () => {
    const { refresh_token } = await world.tokensFor(world.a1, offline);
    await renew(refresh_token, world.a2);
    expect(outcome(await renew(refresh_token, world.a1))).toEqual(invalidGrant);
  });

  it.each([
    'urn:ietf:params:oauth:grant-type:device_code',
    'urn:openid:params:grant-type:ciba',
    'client_credentials',
    'password',
    'implicit',
  ])('TX-29 the grant %s does not exist', async (grant_type) => {
    const answer = await world.post('/token', {
      grant_type,
      device_code: CANARY,
      auth_req_id: CANARY,
      ...(await bearerAssertion(world.issuer, world.a2)),
    });
    expect([answer.status, (answer.body as { error: string }).error]).toEqual([400, 'unsupported_grant_type']);
  });

  it('TX-31 a transaction is never the client’s to name', async () => {
    const mine = `mine-${randomUUID()}`;
    const named: Form = {
      request_details: JSON.stringify({ txn: mine }),
      request_context: JSON.stringify({ txn: mine }),
      txn: mine,
    };
    const seen = new Set<unknown>();
    for (let at = 0; at < 20; at++)
      seen.add(
        decodeJwt(
          tokenOf(await world.exchange(named, world.a1, { txn: mine, 'txn-token': mine, 'x-request-id': mine })),
        )['txn'],
      );
    expect([seen.size, seen.has(mine)]).toEqual([20, false]);
    const [record] = (await recordsAfter(world, '0', 'exchange')).slice(-1);
    expect(record?.facts['ignored']).toEqual(['request_details.txn', 'request_context.txn']);
    expect(JSON.stringify(record)).not.toContain(mine);
  });

  it('TX-32 a code gives no more at the token endpoint than was consented to', async () => {
    for (const resource of [RS1, 'https://mcp2.example', 'https://evil.example']) {
      const code = await world.codeFor(world.a1);
      const answer = await world.post('/token', { ...(await world.codeForm(code, world.a1)), resource });
      expect([answer.status, (answer.body as { error: string }).error]).toEqual([400, 'invalid_target']);
    }
    const link = await world.codeFor(world.a1, { scope: 'repo:read' });
    const wider = await world.post('/token', {
      ...(await world.codeForm(link, world.a1)),
      scope: 'repo:read repo:write',
    });
    const scope = wider.status === 200 ? decodeJwt(tokenOf(wider))['scope'] : 'refused';
    expect(['refused', 'repo:read']).toContain(scope);
  });

  it('the administrator’s token is no token of the exchange', async () => {
    await refused(attack({ subject_token: ADMIN_TOKEN }), badSubject);
  });
});
