import { createHash } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { type Client, RS1, tool, tools, ownWorld } from '../support/world.js';
import { bearerAssertion, type Form, type Reply, tokenOf } from '../support/writ.js';

const world = await ownWorld();

const mint = async (changes: Form = {}): Promise<string> => tokenOf(await world.exchange(changes));
const as = async (path: string, by: Client, form: Form): Promise<Reply> =>
  world.post(path, { ...(await bearerAssertion(world.issuer, by)), ...form });
const introspect = (token: string, by: Client, more: Form = {}): Promise<Reply> =>
  as('/introspect', by, { token, ...more });
const INACTIVE = { active: false };

describe('RFC 7662 introspection', () => {
  it('§2.2 answers the server that a token is for with its claims as they stand in the token', async () => {
    const token = await mint();
    const answer = await introspect(token, world.rs1);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(answer.body).toEqual({ active: true, token_type: 'Bearer', ...decodeJwt(token) });
  });

  it('§2.2 tells another server nothing but that it is inactive', async () => {
    const answer = await introspect(await mint(), world.rs2);
    expect(answer.body).toEqual(INACTIVE);
    expect(answer.status).toBe(200);
  });

  it('§2.2 tells an agent nothing, not even of its own token', async () => {
    expect((await introspect(await mint(), world.a1)).body).toEqual(INACTIVE);
  });

  it('§2.1 gives the same answer whatever token_type_hint says', async () => {
    const token = await mint();
    for (const token_type_hint of ['access_token', 'refresh_token', 'nonsense']) {
      expect((await introspect(token, world.rs1, { token_type_hint })).body).toMatchObject({ active: true });
    }
  });

  it('§2.1 refuses a caller that does not authenticate', async () => {
    const answer = await world.post('/introspect', { token: await mint() });
    expect(answer.status).toBe(401);
    expect(answer.body).toEqual({ error: 'invalid_client', error_description: 'client authentication failed' });
  });

  it('refuses a request without token, and one with two', async () => {
    const two = await as('/introspect', world.rs1, { token: ['a.b.c', 'd.e.f'] });
    expect(two.body).toEqual({ error: 'invalid_request', error_description: 'token must be sent once' });
    const none = await as('/introspect', world.rs1, {});
    expect(none.body).toEqual({ error: 'invalid_request', error_description: 'token is missing' });
    expect([none.status, two.status]).toEqual([400, 400]);
  });

  it('finds every cut of a token, and every other token that is not for a server, inactive', async () => {
    const token = await mint();
    const cuts = [
      token.slice(0, -1),
      token.slice(0, 40),
      token.split('.').slice(0, 2).join('.'),
      `${token}A`,
      'x',
      '..',
      decodeProtectedHeader(token).kid ?? '',
    ];
    for (const cut of [...cuts, await world.personToken('alice')])
      expect((await introspect(cut, world.rs1)).body).toEqual(INACTIVE);
  });

  it('tells a server until when a call that began with a token may run on, expired or not', async () => {
    const now = Math.floor(Date.now() / 1000);
    const token = await mint({ subject_token: await world.personToken('runner', { exp: now + 4 }) });
    const claims = decodeJwt(token);
    const life = (claims.exp ?? 0) - (claims.iat ?? 0);
    const running = (by: Client, tool_ = 'read_file'): Promise<Reply> => introspect(token, by, { running: tool_ });
    const early = (await running(world.rs1)).body as { run_until: number };
    expect(early).toEqual({ active: true, token_type: 'Bearer', ...claims, run_until: expect.any(Number) });
    while (Date.now() <= (claims.exp ?? 0) * 1000) await pause(50);
    expect((await introspect(token, world.rs1)).body).toEqual(INACTIVE);
    const late = (await running(world.rs1)).body as { run_until: number };
    expect(late).toEqual({ active: false, jti: claims.jti, run_until: expect.any(Number) });
    expect(Math.abs(late.run_until - life - Date.now() / 1000)).toBeLessThan(3);
    // No use of it, no other tool, no other server, and nothing once its session has ended.
    expect((await introspect(token, world.rs1, { consume: 'read_file' })).body).toEqual(INACTIVE);
    expect((await running(world.rs1, 'write_file')).body).toEqual(INACTIVE);
    for (const other of [world.rs2, world.a1]) expect((await running(other)).body).toEqual(INACTIVE);
    const { session } = claims['writ'] as { session: string };
    await world.admin('POST', `/sessions/${session}/end`, { reason: 'test' });
    expect((await running(world.rs1)).body).toEqual(INACTIVE);
  }, 30_000);

  it('refuses a question about a call that is none', async () => {
    const token = await mint();
    const refused = (error_description: string) => [400, { error: 'invalid_request', error_description }];
    const answers = [
      await introspect(token, world.rs1, { running: 'no tool' }),
      await introspect(token, world.rs1, { running: 'read_file', consume: 'read_file' }),
    ];
    expect(answers.map(({ status, body }) => [status, body])).toEqual([
      refused('running must be a tool name'),
      refused('running and consume are two questions'),
    ]);
  });

  it('lets members of the trust domain see a transaction token, and agents not', async () => {
    const token = await mint({
      resource: undefined,
      audience: 'trust.example',
      authorization_details: undefined,
      scope: 'repo:read',
    });
    expect((await introspect(token, world.rs1)).body).toMatchObject({
      active: true,
      token_type: 'N_A',
      aud: 'trust.example',
    });
    expect((await introspect(token, world.rs2)).body).toMatchObject({ active: true });
    expect((await introspect(token, world.a1)).body).toEqual(INACTIVE);
  });

  it('spends an assertion once for introspection and for the exchange together', async () => {
    const credentials = await bearerAssertion(world.issuer, world.rs1);
    expect((await world.post('/introspect', { ...credentials, token: await mint() })).status).toBe(200);
    for (const path of ['/introspect', '/revoke', '/token']) {
      const again = await world.post(path, {
        ...credentials,
        token: await mint(),
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: await mint(),
        subject_token_type: 'urn:ietf:params:oauth:token-type:txn_access_token',
        audience: 'trust.example',
      });
      expect([again.status, again.body]).toEqual([
        401,
        { error: 'invalid_client', error_description: 'client authentication failed' },
      ]);
    }
  });
});

describe('introspection that consumes', () => {
  it('takes each use once, and answers inactive when none is left', async () => {
    const token = await mint({ authorization_details: tools(tool('read_file', { max_uses: 2 })) });
    const answers = [];
    for (let use = 0; use < 3; use++) answers.push((await introspect(token, world.rs1, { consume: 'read_file' })).body);
    expect(answers).toEqual([
      expect.objectContaining({ active: true }),
      expect.objectContaining({ active: true }),
      INACTIVE,
    ]);
    expect((await introspect(token, world.rs1)).body).toMatchObject({ active: true });
  });

  it('takes no use for a tool that the token does not list, or for a server that it is not for', async () => {
    const token = await mint({ authorization_details: tools(tool('read_file', { max_uses: 1 })) });
    expect((await introspect(token, world.rs1, { consume: 'write_file' })).body).toEqual(INACTIVE);
    expect((await introspect(token, world.rs2, { consume: 'read_file' })).body).toEqual(INACTIVE);
    expect((await introspect(token, world.rs1, { consume: 'read_file' })).body).toMatchObject({ active: true });
  });

  it('lets one of twenty at once have the only use', async () => {
    const token = await mint({ authorization_details: tools(tool('write_file')) });
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => introspect(token, world.rs1, { consume: 'write_file' })),
    );
    expect(answers.filter(({ body }) => (body as { active: boolean }).active)).toHaveLength(1);
  });
});

describe('the record of a use', () => {
  const consume = (token: string): Promise<Reply> => introspect(token, world.rs1, { consume: 'write_file' });
  type Use = Readonly<{ kind: string; facts: object; outcome: object }>;
  const recordsOf = async (token: string): Promise<readonly Use[]> => {
    const { txn } = decodeJwt<{ txn: string }>(token);
    const { body } = await world.admin('GET', `/log?txn=${txn}&kind=introspection`);
    return (body as { items: readonly Use[] }).items;
  };
  const FAIL = `
    CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '53100'; END $$`;

  it('names who used what, in its session, and a use that was refused is recorded with why', async () => {
    const token = await mint({ authorization_details: tools(tool('write_file')) });
    await consume(token);
    await consume(token);
    await as('/revoke', world.a1, { token });
    await consume(token);
    const { jti, writ } = decodeJwt<{ writ: { session: string } }>(token);
    const facts = {
      what: 'use',
      request: expect.stringMatching(/^req_/),
      trace: null,
      client: 'srv_one',
      token: createHash('sha256')
        .update(jti ?? '')
        .digest('base64url'),
      tool: 'write_file',
      max_uses: 1,
    };
    const outcome = { session: writ.session, sequence: null, seen: 0 };
    expect((await recordsOf(token)).map((record) => [record.facts, record.outcome])).toEqual([
      [facts, { decision: 'done', reason: 'used', ...outcome }],
      [facts, { decision: 'refuse', reason: 'no_use_left', ...outcome }],
      [facts, { decision: 'refuse', reason: 'not_live', ...outcome }],
    ]);
  });

  it('is of the same statement: what cannot be recorded is not used', async () => {
    const { prisma } = world.writ.database;
    const token = await mint({ authorization_details: tools(tool('write_file')) });
    await prisma.$executeRawUnsafe(FAIL);
    await prisma.$executeRawUnsafe('CREATE TRIGGER t BEFORE INSERT ON log_leaf FOR EACH ROW EXECUTE FUNCTION fail()');
    const failed = await consume(token);
    await prisma.$executeRawUnsafe('DROP TRIGGER t ON log_leaf');
    expect([failed.status, failed.headers.get('retry-after')]).toEqual([503, '1']);
    expect(world.faults.splice(0)).toMatchObject([{ code: 'database_unavailable' }]);
    expect(await recordsOf(token)).toEqual([]);
    expect((await consume(token)).body).toMatchObject({ active: true });
  });

  it('is written for uses alone: a plain question leaves none', async () => {
    const token = await mint({ authorization_details: tools(tool('write_file')) });
    await introspect(token, world.rs1);
    expect(await recordsOf(token)).toEqual([]);
  });
});

describe('RFC 7009 revocation', () => {
  it('§2.1 ends a token at once for everybody, when its client says so', async () => {
    const token = await mint();
    const answer = await as('/revoke', world.a1, { token, token_type_hint: 'refresh_token' });
    expect([answer.status, answer.text]).toEqual([200, '']);
    expect((await introspect(token, world.rs1)).body).toEqual(INACTIVE);
  });

  it('§2.1 leaves the token of another client alone, and answers as if it were unknown', async () => {
    const token = await mint();
    const [foreign, unknown] = [
      await as('/revoke', world.a2, { token }),
      await as('/revoke', world.a2, { token: 'a.b.c' }),
    ];
    expect([foreign.status, foreign.text]).toEqual([unknown.status, unknown.text]);
    expect((await introspect(token, world.rs1)).body).toMatchObject({ active: true });
  });

  it('ends what descends from the token: nothing is minted from it, and what was is inactive', async () => {
    const received = await mint();
    const forward: Form = {
      subject_token: received,
      subject_token_type: 'urn:ietf:params:oauth:token-type:txn_access_token',
      resource: undefined,
      audience: 'trust.example',
      authorization_details: undefined,
    };
    const { body } = await world.exchange(forward, world.rs1);
    const child = (body as { access_token: string }).access_token;
    await as('/revoke', world.a1, { token: received });
    expect((await introspect(child, world.rs1)).body).toEqual(INACTIVE);
    const after = await world.exchange(forward, world.rs1);
    expect([after.status, after.body]).toEqual([
      400,
      { error: 'invalid_request', error_description: 'subject_token is not acceptable' },
    ]);
  });

  it('refuses a caller that does not authenticate', async () => {
    expect((await world.post('/revoke', { token: await mint() })).status).toBe(401);
  });
});

describe('ending a session', () => {
  it('ends its tokens at once, refuses new ones with what to do, and leaves other sessions alone', async () => {
    const [subject_token, other] = [await world.personToken('alice'), await mint()];
    const token = await mint({ subject_token });
    const { session } = decodeJwt<{ writ: { session: string } }>(token).writ;
    const ended = await world.admin('POST', `/sessions/${session}/end`, { reason: 'test' });
    expect(ended.status).toBe(200);
    expect((await introspect(token, world.rs1)).body).toEqual(INACTIVE);
    expect((await introspect(other, world.rs1)).body).toMatchObject({ active: true });
    const after = await world.exchange({ subject_token });
    expect([after.status, after.body]).toEqual([
      400,
      {
        error: 'transaction_denied',
        error_description: 'the agent session has ended; the person has to authorise again',
        session_state: { status: 'ended', session, reason: 'ended' },
      },
    ]);
  });

  it('numbers what is revoked, and later tokens carry the number', async () => {
    const seen = decodeJwt<{ writ: { seen: number } }>(await mint()).writ.seen;
    await as('/revoke', world.a1, { token: await mint() });
    expect(decodeJwt<{ writ: { seen: number } }>(await mint()).writ.seen).toBe(seen + 1);
  });
});

describe('a registry that changes', () => {
  it('refuses a disabled server as target and as caller, at once', async () => {
    const token = await mint();
    const server = (await world.admin('GET', `/servers/${encodeURIComponent(RS1)}`)).body as Record<string, unknown>;
    await world.admin('PUT', `/servers/${encodeURIComponent(RS1)}`, { ...server, status: 'disabled' });
    expect((await introspect(token, world.rs1)).status).toBe(401);
    expect((await world.exchange()).body).toEqual({
      error: 'invalid_target',
      error_description: 'resource or audience does not name a target that this client may ask for',
    });
    await world.admin('PUT', `/servers/${encodeURIComponent(RS1)}`, { ...server, status: 'active' });
    // It was cut off, at introspection as on the feed: what is granted from now on is good again.
    expect((await introspect(token, world.rs1)).body).toMatchObject({ active: false });
    expect((await introspect(await mint(), world.rs1)).body).toMatchObject({ active: true });
  });
});
