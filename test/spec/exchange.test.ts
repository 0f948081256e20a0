import { randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { createRemoteJWKSet, decodeJwt, jwtVerify, SignJWT } from 'jose';
import { pinOf } from '../support/tools.js';
import { ACCESS_TOKEN, type Client, RS1, RS2, tool, tools, ownWorld } from '../support/world.js';
import { type Form, type Reply, tokenOf } from '../support/writ.js';

const world = await ownWorld();

const refused = (error: string, error_description: string): unknown => ({ error, error_description });
const SUBJECT = refused('invalid_request', 'subject_token is not acceptable');
const TARGET = refused('invalid_target', 'resource or audience does not name a target that this client may ask for');

async function expectRefusal(changes: Form, body: unknown, by?: Client): Promise<void> {
  const answer = await world.exchange(changes, by);
  expect(answer.body).toEqual(body);
  expect(answer.status).toBe(400);
  expectNotKept(answer);
}

/** RFC 6749 section 5.1. */
function expectNotKept({ headers }: Reply): void {
  expect([headers.get('cache-control'), headers.get('pragma')]).toEqual(['no-store', 'no-cache']);
}

describe('RFC 7523 section 3, an assertion that was used', () => {
  it('is failed authentication of the client, and not to be kept', async () => {
    const form = await world.form();
    expect((await world.post('/token', form)).status).toBe(200);
    const again = await world.post('/token', form);
    expect([again.status, again.body]).toEqual([401, refused('invalid_client', 'client authentication failed')]);
    expectNotKept(again);
  });
});

describe('RFC 8693 section 2.2.1, successful response', () => {
  it('answers a transactional access token that jose verifies with nothing but the JWKS', async () => {
    const answer = await world.exchange({ request_details: JSON.stringify({ task: 'T-1', purpose: 'tests' }) });
    expect(answer.body).toEqual({
      access_token: expect.any(String),
      issued_token_type: 'urn:ietf:params:oauth:token-type:txn_access_token',
      token_type: 'Bearer',
      expires_in: 180,
      scope: 'repo:read',
      authorization_details: [tool('read_file', { definition_sha256: pinOf('read_file'), max_uses: 10 })],
    });
    expect(answer.status).toBe(200);
    expectNotKept(answer);
    const keys = createRemoteJWKSet(new URL(`${world.issuer}/jwks`));
    const { payload } = await jwtVerify(tokenOf(answer), keys, {
      issuer: world.issuer,
      audience: RS1,
      typ: 'txnat+jwt',
    });
    expect(payload).toEqual({
      iss: world.issuer,
      aud: RS1,
      sub: expect.stringMatching(/^prs_/),
      client_id: 'agt_a1',
      iat: expect.any(Number),
      exp: (payload.iat ?? 0) + 180,
      jti: expect.any(String),
      txn: expect.any(String),
      scope: 'repo:read',
      authorization_details: [tool('read_file', { definition_sha256: pinOf('read_file'), max_uses: 10 })],
      tctx: { task: 'T-1', purpose: 'tests', call_chain: [{ wl: 'agt_a1' }, { wl: RS1, tool: 'read_file' }] },
      rctx: {},
      act: { sub: 'agt_a1', iss: world.issuer, sub_profile: 'ai_agent' },
      writ: {
        decision: expect.stringMatching(/^dec_/),
        policy: expect.stringMatching(/^sha256:[\w-]{43}$/),
        session: expect.stringMatching(/^ses_/),
        seen: 0,
        leaf: expect.stringMatching(/^[\w-]{43}$/),
      },
    });
  });

  it('gives a server that only knows RFC 9068 an at+jwt with txn', async () => {
    await allow(world.a1.id, RS2, ['repo:read']);
    const answer = await world.exchange({ resource: RS2, authorization_details: tools(tool('read_file', {}, RS2)) });
    const keys = createRemoteJWKSet(new URL(`${world.issuer}/jwks`));
    const { payload } = await jwtVerify(tokenOf(answer), keys, { issuer: world.issuer, audience: RS2, typ: 'at+jwt' });
    expect(answer.body).toMatchObject({ issued_token_type: ACCESS_TOKEN, token_type: 'Bearer' });
    expect(payload['txn']).toEqual(expect.any(String));
  });

  it('carries the digest of the exact arguments, and never the arguments', async () => {
    const answer = await world.exchange({
      authorization_details: tools(tool('delete_repo', { arguments: { repo: 'secret-canary', force: true } })),
    });
    const claims = decodeJwt(tokenOf(answer));
    // Computed apart from our code: printf '{"force":true,"repo":"secret-canary"}' | openssl dgst -sha256 -binary | basenc --base64url
    const arguments_sha256 = 'jnLFckpypd-aB43Mh_u7vNsYrZvjB_oGr2_T11hwyaw';
    expect(claims['authorization_details']).toEqual([
      tool('delete_repo', { arguments_sha256, definition_sha256: pinOf('delete_repo'), max_uses: 1 }),
    ]);
    expect(JSON.stringify(claims)).not.toContain('secret-canary');
  });

  it('takes absent scope as what the named tools need, never as what the server has', async () => {
    expect(
      decodeJwt(tokenOf(await world.exchange({ authorization_details: tools(tool('write_file')) })))['scope'],
    ).toBe('repo:write');
  });

  it('gives a token for no tool at all, without scope, when neither tools nor scope are named', async () => {
    const answer = await world.exchange({ authorization_details: undefined });
    expect(answer.body).toEqual({
      access_token: expect.any(String),
      issued_token_type: 'urn:ietf:params:oauth:token-type:txn_access_token',
      token_type: 'Bearer',
      expires_in: 180,
    });
    expect(decodeJwt(tokenOf(answer))).toMatchObject({ scope: '', aud: RS1 });
    expect(decodeJwt(tokenOf(answer))).not.toHaveProperty('authorization_details');
  });

  it('names one by one the low-tier tools that a scope alone covers', async () => {
    const answer = await world.exchange({ authorization_details: undefined, scope: 'repo:read' });
    expect(answer.body).toMatchObject({
      authorization_details: ['read_file', 'list_files'].map((name) =>
        tool(name, { definition_sha256: pinOf(name), max_uses: 10 }),
      ),
    });
  });

  it('lives no longer than the subject token', async () => {
    const now = Math.floor(Date.now() / 1000);
    const answer = await world.exchange({ subject_token: await world.personToken('alice', { exp: now + 50 }) });
    expect(decodeJwt(tokenOf(answer)).exp).toBe(now + 50);
  });

  it('keeps the person the same from token to token, and the transaction different', async () => {
    const [one, two] = [decodeJwt(tokenOf(await world.exchange())), decodeJwt(tokenOf(await world.exchange()))];
    expect(one.sub).toBe(two.sub);
    expect(one['txn']).not.toBe(two['txn']);
  });

  it('numbers the decisions of one run without a gap', async () => {
    const subject_token = await world.personToken('alice');
    const session = new Set<unknown>();
    for (let turn = 0; turn < 3; turn++) session.add(receiptOf(await world.exchange({ subject_token })).session);
    await world.exchange({ subject_token, scope: 'repo:admin' });
    expect(session.size).toBe(1);
    const log = await world.admin('GET', `/log?session=${String([...session][0])}`);
    const outcomes = (log.body as { items: { outcome: { sequence: number; decision: string } }[] }).items.map(
      ({ outcome }) => [outcome.sequence, outcome.decision],
    );
    expect(outcomes).toEqual([
      [1, 'permit'],
      [2, 'permit'],
      [3, 'permit'],
      [4, 'refuse'],
    ]);
  });
});

describe('RFC 8693 section 2.1, request', () => {
  it.each([
    ['subject_token', { subject_token: undefined }, 'subject_token is missing'],
    ['an empty subject_token', { subject_token: '   ' }, 'subject_token is missing'],
    ['subject_token_type', { subject_token_type: undefined }, 'subject_token_type is missing'],
    ['actor_token_type beside actor_token', { actor_token: 'x' }, 'actor_token_type is missing'],
    [
      'actor_token beside actor_token_type',
      { actor_token_type: 'urn:ietf:params:oauth:token-type:jwt' },
      'actor_token is missing',
    ],
  ])('refuses a request without %s', async (_, changes, description) => {
    await expectRefusal(changes, refused('invalid_request', description));
  });

  it('refuses a parameter that is sent twice', async () => {
    await expectRefusal({ scope: ['repo:read', 'repo:read'] }, refused('invalid_request', 'scope must be sent once'));
  });

  it.each([
    [
      'a refresh token as subject',
      { subject_token_type: 'urn:ietf:params:oauth:token-type:refresh_token' },
      'subject_token_type is not supported',
    ],
    [
      'a SAML assertion',
      { subject_token_type: 'urn:ietf:params:oauth:token-type:saml2' },
      'subject_token_type is not supported',
    ],
    [
      'a refresh token as result',
      { requested_token_type: 'urn:ietf:params:oauth:token-type:refresh_token' },
      'requested_token_type is not supported',
    ],
    [
      'a type that this server does not get',
      { requested_token_type: ACCESS_TOKEN },
      'requested_token_type must be urn:ietf:params:oauth:token-type:txn_access_token for this target',
    ],
  ])('refuses %s', async (_, changes, description) => {
    await expectRefusal(changes, refused('invalid_request', description));
  });

  it.each([
    ['no target', { resource: undefined }],
    ['two resources', { resource: [RS1, RS2] }],
    ['a resource and an audience', { audience: 'trust.example' }],
  ])('RFC 8707: refuses %s', async (_, changes) => {
    await expectRefusal(changes, refused('invalid_target', 'name exactly one target: one resource, or one audience'));
  });

  it.each([
    [
      'an unregistered resource',
      { resource: 'https://evil.example', authorization_details: tools(tool('read_file', {}, 'https://evil.example')) },
    ],
    ['a trailing slash', { resource: `${RS1}/`, authorization_details: tools(tool('read_file', {}, `${RS1}/`)) }],
    [
      'an audience that is nobody',
      {
        resource: undefined,
        audience: 'https://api.internal/admin',
        authorization_details: undefined,
        scope: 'repo:read',
      },
    ],
  ])('RFC 8707: refuses %s with one answer for all', async (_, changes) => {
    await expectRefusal(changes, TARGET);
  });

  it.each([
    ['a scope beyond every ceiling', { scope: 'repo:read admin' }, 'scope is wider than what this server may use here'],
    ['a scope beyond the agent', { scope: 'repo:read repo:admin' }, 'scope is wider than what this agent may use here'],
    [
      'a scope that the tools do not need',
      { scope: 'repo:read repo:write' },
      'scope is wider than what this request may use here',
    ],
    ['a scope of another case', { scope: 'REPO:READ' }, 'scope is wider than what this server may use here'],
    ['doubled spaces', { scope: 'repo:read  repo:write' }, 'scope must be scope tokens separated by single spaces'],
    ['a tab', { scope: 'repo:read\trepo:write' }, 'scope must be scope tokens separated by single spaces'],
    ['an empty scope', { scope: '' }, 'scope must be scope tokens separated by single spaces'],
    [
      'a scope that lacks what the tool needs',
      { scope: 'repo:read', authorization_details: tools(tool('write_file')) },
      'scope lacks what the tool write_file needs',
    ],
    [
      '10,000 scopes',
      {
        scope: Array.from({ length: 10_000 }, (_, n) => `s${n}`)
          .join(' ')
          .slice(0, 40_000),
      },
      'scope must be scope tokens separated by single spaces',
    ],
  ])('refuses %s', async (_, changes, description) => {
    await expectRefusal(changes, refused('invalid_scope', description));
  });

  it('refuses a scope that the person did not give', async () => {
    const subject_token = await world.personToken('alice', { scope: 'repo:write' });
    await expectRefusal(
      { subject_token },
      refused('invalid_scope', 'scope is wider than what this person may use here'),
    );
  });

  it('refuses a subject token of unknown scope instead of taking it as unlimited', async () => {
    await expectRefusal({ subject_token: await world.personToken('alice', { scope: undefined }) }, SUBJECT);
  });
});

describe('RFC 9396 authorization details', () => {
  it.each([
    ['no JSON', '{', 'authorization_details not_json'],
    ['no array', '{}', 'authorization_details is missing, unknown or not of the form that mcp_tool_call wants'],
    [
      'an unknown type',
      JSON.stringify([{ ...tool('read_file'), type: 'other' }]),
      'authorization_details.0.type is missing, unknown or not of the form that mcp_tool_call wants',
    ],
    [
      'an unknown field',
      JSON.stringify([{ ...tool('read_file'), all: true }]),
      'authorization_details.0 is missing, unknown or not of the form that mcp_tool_call wants',
    ],
    [
      'a location beside the resource',
      tools(tool('read_file', {}, RS2)),
      'authorization_details.0.locations must be the requested resource',
    ],
    [
      'a tool twice',
      tools(tool('read_file'), tool('read_file')),
      'authorization_details.1.identifier names a tool twice',
    ],
    [
      'a digest without the arguments',
      tools(tool('delete_repo', { arguments_sha256: 'a'.repeat(43) })),
      'authorization_details.0.arguments must be given; a digest alone is not enough',
    ],
    [
      'a key twice in the arguments',
      '[{"type":"mcp_tool_call","locations":["https://mcp1.example"],"identifier":"delete_repo","arguments":{"a":1,"a":2}}]',
      'authorization_details duplicate_key',
    ],
    [
      'an unsafe number',
      '[{"type":"mcp_tool_call","locations":["https://mcp1.example"],"identifier":"delete_repo","arguments":{"a":9007199254740993}}]',
      'authorization_details unsafe_number',
    ],
    ['an unregistered tool', tools(tool('nope')), 'the tool nope is not granted here'],
    ['a tool that the agent is not given', tools(tool('wipe', { arguments: {} })), 'the tool wipe is not granted here'],
    [
      'two calls in one token above low',
      tools(tool('write_file'), tool('read_file')),
      'the tool write_file needs a token of its own for each call',
    ],
    [
      'a high-tier tool without its arguments',
      tools(tool('delete_repo')),
      'the tool delete_repo needs the exact arguments of the call',
    ],
    ['two uses above low', tools(tool('write_file', { max_uses: 2 })), 'max_uses of write_file is more than it allows'],
    [
      'too many uses of a low-tier tool',
      tools(tool('read_file', { max_uses: 101 })),
      'max_uses of read_file is more than it allows',
    ],
  ])('refuses %s', async (_, authorization_details, description) => {
    await expectRefusal({ authorization_details }, refused('invalid_authorization_details', description));
  });
});

describe('the record of a refusal', () => {
  it('names a target only when it has the form of one: a token that was pasted there is kept as a digest', async () => {
    const pasted = await world.personToken('alice');
    await expectRefusal(
      { resource: undefined, audience: pasted.slice(0, 400), authorization_details: undefined, scope: 'repo:read' },
      TARGET,
    );
    const { items } = (await world.admin('GET', '/log?limit=200')).body as { items: { facts: { target?: unknown } }[] };
    expect(items.at(-1)?.facts.target).toEqual({ kind: 'agent', sha256: expect.stringMatching(/^[\w-]{43}$/) });
    expect(JSON.stringify(items)).not.toContain(pasted.slice(0, 40));
  });
});

describe('request_details and request_context', () => {
  it('ignores a transaction id of the client, says so in the log, and makes its own', async () => {
    const answer = await world.exchange({ request_details: JSON.stringify({ txn: 'mine' }) });
    const { txn } = decodeJwt<{ txn: string }>(tokenOf(answer));
    expect(txn).not.toBe('mine');
    const log = await world.admin('GET', `/log?txn=${encodeURIComponent(txn)}`);
    expect(log.body).toMatchObject({ items: [{ facts: { ignored: ['request_details.txn'] } }] });
  });

  it.each(['sub', 'act', 'aud', 'iss', 'exp', 'cnf', 'scope', 'risk', 'approval'])(
    'refuses the reserved name %s in request_details',
    async (name) => {
      await expectRefusal(
        { request_details: JSON.stringify({ [name]: 'x' }) },
        refused(
          'invalid_request',
          'request_details may hold task (1 to 128 characters) and purpose (1 to 256) only, without control characters',
        ),
      );
    },
  );

  it('refuses any context that the client asserts', async () => {
    await expectRefusal(
      { request_context: JSON.stringify({ req_ip: '1.2.3.4' }) },
      refused(
        'invalid_request',
        'request_context must be empty: Writ takes the context of a request from the request itself',
      ),
    );
  });
});

describe('RFC 8693 section 4.1, delegation and hand-over', () => {
  const handOver = async (subject_token: string): Promise<Reply> =>
    world.exchange({
      subject_token,
      resource: undefined,
      audience: 'agt_a2',
      authorization_details: undefined,
      scope: 'repo:read',
    });

  it('hands over to a sub-agent by a token that only it can exchange, and nests the chain', async () => {
    const handed = await handOver(await world.personToken('alice'));
    expect(handed.body).toMatchObject({ issued_token_type: ACCESS_TOKEN, token_type: 'N_A', scope: 'repo:read' });
    const held = decodeJwt(tokenOf(handed));
    expect(held).toMatchObject({
      aud: world.issuer,
      client_id: 'agt_a1',
      may_act: { sub: 'agt_a2', iss: world.issuer },
    });
    const answer = await world.exchange({ subject_token: tokenOf(handed) }, world.a2);
    expect(decodeJwt(tokenOf(answer))).toMatchObject({
      client_id: 'agt_a2',
      txn: held['txn'],
      sub: held.sub,
      act: { sub: 'agt_a2', iss: world.issuer, act: { sub: 'agt_a1', iss: world.issuer } },
      tctx: { call_chain: [{ wl: 'agt_a1' }, { wl: 'agt_a2' }, { wl: RS1, tool: 'read_file' }] },
    });
    expect(decodeJwt(tokenOf(answer))).not.toHaveProperty('may_act');
    const session = async (id: unknown): Promise<unknown> => (await world.admin('GET', `/sessions/${String(id)}`)).body;
    expect(await session(receiptOf(answer).session)).toMatchObject({
      agent: 'agt_a2',
      parent: receiptOf(handed).session,
    });
    const second = await world.exchange({ subject_token: tokenOf(handed) }, world.a2);
    expect(receiptOf(second).session).toBe(receiptOf(answer).session);
  });

  it('refuses the agent that handed over: it is not named in may_act', async () => {
    await expectRefusal({ subject_token: tokenOf(await handOver(await world.personToken('alice'))) }, SUBJECT);
  });

  it('refuses a hand-over to an agent that the registry does not name', async () => {
    await expectRefusal(
      { resource: undefined, audience: 'agt_ax', authorization_details: undefined, scope: 'repo:read' },
      TARGET,
    );
  });

  it('refuses a scope beyond what was handed over', async () => {
    const subject_token = tokenOf(await handOver(await world.personToken('alice')));
    await expectRefusal(
      { subject_token, authorization_details: tools(tool('write_file')) },
      refused('invalid_scope', 'scope is wider than what this person may use here'),
      world.a2,
    );
  });

  it('refuses a loop A1, A2, A1', async () => {
    await change(world.a2.id, (agent) => ({ ...agent, hand_over_to: [world.a1.id] }));
    const handed = tokenOf(await handOver(await world.personToken('alice')));
    const back = await world.exchange(
      {
        subject_token: handed,
        resource: undefined,
        audience: 'agt_a1',
        authorization_details: undefined,
        scope: 'repo:read',
      },
      world.a2,
    );
    await expectRefusal(
      { subject_token: tokenOf(back) },
      refused('invalid_request', 'this actor is already in the delegation chain'),
    );
  });
});

describe('actor_token', () => {
  const actorToken = async (
    by: Client,
    claims: Record<string, unknown> = {},
    header: Record<string, unknown> = {},
  ): Promise<Form> => {
    const now = Math.floor(Date.now() / 1000);
    const payload = {
      iss: by.id,
      sub: `${by.id}/run-7`,
      aud: world.issuer,
      jti: randomUUID(),
      iat: now,
      exp: now + 60,
      ...claims,
    };
    return {
      actor_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      actor_token: await new SignJWT(payload)
        .setProtectedHeader({ alg: 'ES256', kid: by.key.jwk.kid ?? '', ...header })
        .sign(by.key.privateKey),
    };
  };
  const ACTOR = refused('invalid_request', 'actor_token is not acceptable');

  it('names an instance that the caller vouches for as the current actor', async () => {
    const answer = await world.exchange(await actorToken(world.a1));
    expect(decodeJwt(tokenOf(answer))).toMatchObject({ act: { sub: 'agt_a1/run-7' }, client_id: 'agt_a1' });
  });

  it('refuses the actor token of another client', async () => {
    await expectRefusal(await actorToken(world.a2), ACTOR);
  });

  it('refuses an actor that is not of the caller, that has actors itself, or that is a client assertion', async () => {
    await expectRefusal(await actorToken(world.a1, { sub: 'agt_a2' }), ACTOR);
    await expectRefusal(await actorToken(world.a1, { act: { sub: 'x', iss: 'y' } }), ACTOR);
    await expectRefusal(await actorToken(world.a1, {}, { typ: 'client-authentication+jwt' }), ACTOR);
  });

  it('refuses an actor token that was used before', async () => {
    const used = await actorToken(world.a1);
    expect((await world.exchange(used)).status).toBe(200);
    await expectRefusal(used, ACTOR);
  });
});

describe('transaction tokens', () => {
  const domain: Form = { resource: undefined, audience: 'trust.example', authorization_details: undefined };

  it('turns an access token that a server received into a transaction token of the same transaction', async () => {
    const received = tokenOf(await world.exchange());
    const answer = await world.exchange(
      {
        ...domain,
        subject_token: received,
        subject_token_type: 'urn:ietf:params:oauth:token-type:txn_access_token',
        requested_token_type: 'urn:ietf:params:oauth:token-type:txn_token',
      },
      world.rs1,
    );
    expect(answer.body).toMatchObject({
      token_type: 'N_A',
      issued_token_type: 'urn:ietf:params:oauth:token-type:txn_token',
      expires_in: 60,
      scope: 'repo:read',
    });
    const [before, after] = [decodeJwt(received), decodeJwt(tokenOf(answer))];
    expect(after).toMatchObject({
      aud: 'trust.example',
      req_wl: RS1,
      txn: before['txn'],
      sub: before.sub,
      act: before['act'],
    });
    expect(after).not.toHaveProperty('client_id');
    expect(answer.body).not.toHaveProperty('refresh_token');
  });

  it('refuses a token that was made for another server', async () => {
    const subject_token = tokenOf(await world.exchange());
    await expectRefusal(
      { ...domain, subject_token, subject_token_type: 'urn:ietf:params:oauth:token-type:txn_access_token' },
      SUBJECT,
      world.rs2,
    );
  });

  it('refuses the agent that it was issued to: a transaction only goes forward', async () => {
    const subject_token = tokenOf(await world.exchange());
    await expectRefusal(
      { subject_token, subject_token_type: 'urn:ietf:params:oauth:token-type:txn_access_token' },
      SUBJECT,
    );
  });

  it('lets a replacement keep txn, sub and aud, and only narrow', async () => {
    const first = tokenOf(await world.exchange({ ...domain, scope: 'repo:read repo:write' }));
    const as: Form = {
      ...domain,
      subject_token: first,
      subject_token_type: 'urn:ietf:params:oauth:token-type:txn_token',
    };
    const answer = await world.exchange({ ...as, scope: 'repo:read' }, world.rs2);
    const [before, after] = [decodeJwt(first), decodeJwt(tokenOf(answer))];
    expect(after).toMatchObject({ txn: before['txn'], sub: before.sub, aud: before.aud, scope: 'repo:read' });
    await expectRefusal(
      { ...as, scope: 'repo:admin' },
      refused('invalid_scope', 'scope is wider than what this person may use here'),
      world.rs2,
    );
  });
});

describe('who may exchange what', () => {
  it.each([
    ['another issuer', { iss: 'https://evil.example' }],
    ['another audience', { aud: 'https://other.example' }],
    ['several audiences', { aud: ['https://other.example', 'x'] }],
    ['another client of that issuer', { client_id: 'agt_ax' }],
    ['a chain that only it vouches for', { act: { sub: 'x', iss: 'y' } }],
    ['may_act', { may_act: { sub: 'agt_a1', iss: 'https://company.example' } }],
    ['an end in the past', { exp: Math.floor(Date.now() / 1000) - 31 }],
    ['a start in the future', { nbf: Math.floor(Date.now() / 1000) + 90 }],
    ['no subject', { sub: undefined }],
    ['an object as subject', { sub: { not: '' } }],
  ])('refuses a trusted issuer’s token with %s, in one sentence for all', async (_, claims) => {
    await expectRefusal({ subject_token: await world.personToken('alice', claims) }, SUBJECT);
  });

  it('refuses a token of another type than it is declared or accepted as', async () => {
    await expectRefusal({ subject_token: await world.personToken('alice', {}, { typ: 'JWT' }) }, SUBJECT);
    await expectRefusal({ subject_token_type: 'urn:ietf:params:oauth:token-type:id_token' }, SUBJECT);
  });

  it('refuses an agent that the issuer does not name', async () => {
    await expectRefusal(
      {},
      refused('unauthorized_client', 'this client may not exchange tokens of that issuer'),
      world.a2,
    );
  });
});

const receiptOf = (answer: Reply): { session: string } =>
  decodeJwt<{ writ: { session: string } }>(tokenOf(answer)).writ;

async function change(id: string, edit: (agent: Record<string, unknown>) => Record<string, unknown>): Promise<void> {
  const agent = (await world.admin('GET', `/agents/${id}`)).body as Record<string, unknown>;
  const answer = await world.admin('PUT', `/agents/${id}`, edit(agent));
  if (answer.status >= 300) throw new Error(answer.text);
}

const allow = (id: string, resource: string, scopes: string[]): Promise<void> =>
  change(id, (agent) => ({ ...agent, allow: [...(agent['allow'] as unknown[]), { resource, scopes, tools: '*' }] }));
