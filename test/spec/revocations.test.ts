import { beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { sha256, targetsOf, thumbprint, TransactionalAccessToken } from '../../src/protocol/index.js';
import { OWNER } from '../support/accountable.js';
import { COMPANY, ownWorld, RS1, RS2 } from '../support/world.js';
import { answerOf, bearerAssertion, type Reply, tokenOf } from '../support/writ.js';

const world = await ownWorld();
/** {@link OWNER} as their issuer knows them. */
let owner = '';
beforeAll(async () => {
  const { issuer, subject } = await world.writ.database.prisma.person.findUniqueOrThrow({ where: { id: OWNER } });
  owner = `${issuer}#${subject}`;
  const path = '/agents/agt_a2';
  const agent = (await world.admin('GET', path)).body as object;
  await world.admin('PUT', path, { ...agent, owner: OWNER });
});

type Claims = ReturnType<typeof TransactionalAccessToken.parse>;
const claimsOf = (token: string): Claims => decodeJwt<Claims>(token);
const now = (): number => Math.floor(Date.now() / 1000);

/** Of a person who signs in after whatever was cut off before. */
const later = async (person: string): Promise<string> => {
  await world.minutePasses();
  return world.personToken(person);
};
const mint = async (person = 'alice'): Promise<string> =>
  tokenOf(await world.exchange({ subject_token: await later(person) }));
const revoke = (order: object): Promise<Reply> => world.admin('POST', '/revocations', { reason: 'INC-1', ...order });
const isActive = async (token: string): Promise<unknown> => {
  const form = { ...(await bearerAssertion(world.issuer, world.rs1)), token };
  return ((await world.post('/introspect', form)).body as { active: boolean }).active;
};
const revocations = (): Promise<readonly Readonly<{ target: string; number: bigint }>[]> =>
  world.writ.database.prisma.revocation.findMany({ orderBy: { number: 'asc' } });
/** What a verifier that follows the feed does, with the numbers that the feed has. */
const isRefusedOffline = async (token: string): Promise<boolean> => {
  const { writ, ...claims } = TransactionalAccessToken.parse(claimsOf(token));
  const targets = [...targetsOf({ ...claims, writ }), `tool:${claims.aud}#read_file`];
  return (await revocations()).some(({ target, number }) => targets.includes(target) && Number(number) > writ.seen);
};
const standing = async (token: string): Promise<unknown> => [await isActive(token), await isRefusedOffline(token)];
const ENDED = [false, true];
const ALIVE = [true, false];
/** Of ours, and of the engine. */
const ROUTES = [
  ['/revoke', { token: 'unknown' }],
  ['/introspect', { token: 'unknown' }],
  ['/token', { grant_type: 'refresh_token', refresh_token: 'unknown' }],
] as const;
const NOT_ACCEPTABLE = [400, { error: 'invalid_request', error_description: 'subject_token is not acceptable' }];

describe('POST /admin/v1/revocations', () => {
  it.each<[string, (claims: Claims) => string, boolean]>([
    ['agent', () => 'agt_a1', true],
    ['owner', () => OWNER, true],
    ['owner', () => owner, true],
    ['person', ({ sub }) => sub, true],
    ['issuer', () => COMPANY, true],
    ['server', () => RS1, false],
    ['tool', () => `${RS1}#read_file`, false],
    ['session', ({ writ }) => writ.session, true],
    ['transaction', ({ txn }) => txn, false],
    ['token', ({ jti }) => jti, false],
    ['token', ({ jti }) => sha256(jti), false],
  ])('cuts off all from before now by %s, everywhere, and nothing that is granted after it', async (kind, id, ends) => {
    const token = await mint();
    expect(await standing(token)).toEqual(ALIVE);
    const { status, body } = await revoke({ [kind]: id(claimsOf(token)) });
    expect([status, body]).toEqual([
      201,
      {
        number: expect.any(Number),
        target: expect.stringContaining(':'),
        reason: 'INC-1',
        by: 'admin-token',
        at: expect.any(String),
        sessions: ends ? expect.any(Number) : 0,
        consents: 0,
        tokens: 0,
      },
    ]);
    expect(await standing(token)).toEqual(ENDED);
    const ended = (await world.admin('GET', `/sessions/${claimsOf(token).writ.session}`)).body;
    expect(ended).toMatchObject({ status: ends ? 'ended' : 'active' });
    expect(await standing(await mint())).toEqual(ALIVE);
  });

  it.each<[string, () => Promise<string>]>([
    ['agent', () => Promise.resolve('agt_a1')],
    ['issuer', () => Promise.resolve(COMPANY)],
    ['person', async () => claimsOf(await mint('bob')).sub],
  ])('refuses the tokens of people from before it by %s, also those never shown before', async (kind, id) => {
    const [older, unknown] = [
      await world.personToken('bob', { iat: now() - 1 }),
      await world.personToken('nobody-yet', { iat: now() - 1 }),
    ];
    await revoke({ [kind]: await id() });
    expect(answerOf(await world.exchange({ subject_token: older }))).toEqual(NOT_ACCEPTABLE);
    if (kind !== 'person') expect(answerOf(await world.exchange({ subject_token: unknown }))).toEqual(NOT_ACCEPTABLE);
    expect((await world.exchange({ subject_token: await later('bob') })).status).toBe(200);
  });

  it('ends what was made from a token, in other hands too: offline by a number of its own', async () => {
    const subject_token = await later('carol');
    const handed = tokenOf(
      await world.exchange({
        subject_token,
        resource: undefined,
        audience: 'agt_a2',
        authorization_details: undefined,
      }),
    );
    const child = tokenOf(await world.exchange({ subject_token: handed }, world.a2));
    expect(await standing(child)).toEqual(ALIVE);
    expect((await revoke({ token: claimsOf(handed).jti })).body).toMatchObject({ tokens: 1, sessions: 0 });
    expect(await standing(child)).toEqual(ENDED);
    expect(answerOf(await world.exchange({ subject_token: handed }, world.a2))).toEqual(NOT_ACCEPTABLE);
  });

  it('ends what was made from a token that its own client revokes (RFC 7009 section 2.1), offline too', async () => {
    const wish = { resource: undefined, audience: 'agt_a2', authorization_details: undefined };
    const handed = tokenOf(await world.exchange({ subject_token: await later('heidi'), ...wish }));
    const child = tokenOf(await world.exchange({ subject_token: handed }, world.a2));
    expect(await standing(child)).toEqual(ALIVE);
    const form = { ...(await bearerAssertion(world.issuer, world.a1)), token: handed };
    expect((await world.post('/revoke', form)).status).toBe(200);
    expect(await standing(child)).toEqual(ENDED);
  });

  it('ends a person’s token by its `jti`, which is as long as the hash of one, and what the log has by its hash alone', async () => {
    const jti = 'person-s-token-with-43-characters-in-its-id';
    const { number } = (await revoke({ token: jti })).body as { number: number };
    const targets = async (): Promise<readonly string[]> =>
      (await revocations()).filter((one) => Number(one.number) >= number).map(({ target }) => target);
    expect(await targets()).toEqual([`token:${sha256(jti)}`, `token:${jti}`]);
    const { jti: ours } = claimsOf(await mint());
    expect((await revoke({ token: sha256(ours) })).body).toMatchObject({ target: `token:${sha256(ours)}` });
    expect((await targets()).slice(2)).toEqual([`token:${sha256(ours)}`]);
  });

  it('ends what came of the tokens of an issuer that is disabled, also once that is enabled again', async () => {
    const token = await mint('ivan');
    const path = `/issuers/${encodeURIComponent(COMPANY)}`;
    const issuer = (await world.admin('GET', path)).body as object;
    expect((await world.admin('PUT', path, { ...issuer, status: 'disabled' })).status).toBe(200);
    expect(await standing(token)).toEqual(ENDED);
    expect((await world.admin('PUT', path, { ...issuer, status: 'active' })).status).toBe(200);
    expect(await standing(token)).toEqual(ENDED);
    expect(await standing(await mint('ivan'))).toEqual(ALIVE);
  });

  it('ends what a cut-off agent handed on: the token of the sub-agent, and the hand-over itself', async () => {
    const subject_token = await later('carol');
    const wish = { subject_token, resource: undefined, audience: 'agt_a2', authorization_details: undefined };
    const handed = tokenOf(await world.exchange(wish));
    const child = tokenOf(await world.exchange({ subject_token: handed }, world.a2));
    await revoke({ agent: 'agt_a1' });
    expect(await standing(child)).toEqual(ENDED);
    expect(await world.exchange({ subject_token: handed }, world.a2)).toMatchObject({
      status: 400,
      body: { error: 'transaction_denied', session_state: { status: 'ended', reason: 'ended' } },
    });
  });

  it('takes a key from an agent: nothing is got with it any more, and what was is ended', async () => {
    const token = await mint();
    const { body } = await revoke({ agent_key: `agt_a1#${thumbprint(world.a1.key.jwk)}` });
    expect(body).toMatchObject({ target: `agent-key:${thumbprint(world.a1.key.jwk)}`, sessions: 0 });
    expect(await standing(token)).toEqual(ENDED);
    expect(answerOf(await world.exchange({ subject_token: await later('dave') }))).toEqual(NOT_ACCEPTABLE);
    for (const [path, form] of ROUTES) {
      const asA1 = await bearerAssertion(world.issuer, world.a1);
      expect(await world.post(path, { ...asA1, ...form })).toMatchObject({
        status: 401,
        body: { error: 'invalid_client' },
      });
      const asA2 = await bearerAssertion(world.issuer, world.a2);
      expect((await world.post(path, { ...asA2, ...form })).status).not.toBe(401);
    }
    await world.writ.database.prisma.$executeRawUnsafe(`DELETE FROM revocation WHERE target LIKE 'agent-key:%'`);
  });

  it('refuses to take a key from an agent that is none of its own, and writes nothing', async () => {
    const before = await revocations();
    for (const key of [thumbprint(world.a2.key.jwk), 'A'.repeat(43), ''])
      expect(await revoke({ agent_key: `agt_a1#${key}` })).toMatchObject({
        status: 404,
        body: { code: 'not_found', detail: `There is no agent key agt_a1#${key}` },
      });
    expect(await revocations()).toEqual(before);
  });

  it('withdraws a signing key', async () => {
    const token = await mint();
    const { items } = (await world.admin('GET', '/keys')).body as { items: { kid: string; state: string }[] };
    const kid = items.find(({ state }) => state === 'active')?.kid ?? '';
    expect((await revoke({ signing_key: kid })).body).toMatchObject({ target: `key:${kid}`, sessions: 0, consents: 0 });
    expect(await isActive(token)).toBe(false);
    expect((await revoke({ signing_key: 'nobody' })).status).toBe(404);
  });

  it('ends however many sessions there are of an agent, each with its record and number', async () => {
    const { prisma } = world.writ.database;
    await prisma.$executeRawUnsafe(
      `INSERT INTO agent_session (id, run_key, person_id, agent_id, status, last_sequence, expires_at)
       SELECT 'crowd-' || n, 'crowd-' || n, 'prs_1', 'agt_a2', 'active', 1, now() + interval '1 hour'
       FROM generate_series(1, 1200) AS n`,
    );
    const sessions = await prisma.agentSession.count({ where: { agentId: 'agt_a2', status: { not: 'ended' } } });
    expect((await revoke({ agent: 'agt_a2' })).body).toMatchObject({ sessions });
    const [found] = await prisma.$queryRawUnsafe<object[]>(
      `SELECT (SELECT count(*)::int FROM agent_session WHERE id LIKE 'crowd-%' AND status = 'ended') AS ended,
         (SELECT count(*)::int FROM log_leaf WHERE session_id LIKE 'crowd-%' AND sequence = 2) AS records,
         (SELECT count(*)::int FROM revocation WHERE target LIKE 'session:crowd-%') AS numbers`,
    );
    expect(found).toEqual({ ended: 1_200, records: 1_200, numbers: 1_200 });
  });

  it('says what it did in the log, in the same transaction', async () => {
    const token = await mint('erin');
    const { sub, writ } = claimsOf(token);
    const { number } = (await revoke({ person: sub })).body as { number: number };
    const { items } = (await world.admin('GET', '/log?kind=revocation&limit=200')).body as {
      items: { facts: object; outcome: object }[];
    };
    expect(items.at(-1)).toMatchObject({
      facts: { what: 'scope', kind: 'person', id: sub, number, sessions: 1, consents: 0, by: 'admin-token' },
      outcome: { decision: 'done', reason: 'INC-1', session: null },
    });
    const session = (await world.admin('GET', `/log?session=${writ.session}`)).body as { items: object[] };
    expect(session.items.at(-1)).toMatchObject({ kind: 'session', facts: { what: 'ended', by: 'admin-token' } });
  });

  it.each([
    'transaction',
    'session',
    'agent',
    'owner',
    'person',
    'issuer',
    'server',
    'tool',
    'agent_key',
    'signing_key',
  ])('refuses a %s that nobody knows, and writes nothing', async (kind) => {
    const before = await revocations();
    expect(await revoke({ [kind]: 'unknown#it' })).toMatchObject({ status: 404, body: { code: 'not_found' } });
    expect(await revocations()).toEqual(before);
  });

  it('refuses an order of nothing, of two things and without a reason', async () => {
    const orders: readonly [object, readonly string[]][] = [
      [{}, ['body']],
      [{ person: 'prs_1', server: RS2 }, ['person', 'server']],
      [{ agent: 'agt_a1', reason: undefined }, ['reason']],
    ];
    for (const [order, params] of orders) {
      const { status, body } = await revoke(order);
      const {
        code,
        param,
        errors = [{ param }],
      } = body as { code: string; param: string; errors?: { param: string }[] };
      expect([status, code, errors.map((error) => error.param)]).toEqual([400, 'invalid_field', params]);
    }
  });
});

describe('GET /admin/v1/revocations', () => {
  it('lists the newest first, page by page', async () => {
    await revoke({ agent: 'agt_a1' });
    expect((await revoke({ server: RS2 })).body).toMatchObject({ target: `server:${RS2}` });
    const all = await revocations();
    expect(all.slice(-2).map(({ target }) => target)).toEqual([`server:${RS2}`, 'agent:srv_two']);
    type Page = { items: { number: number; target: string }[]; next: string | null };
    const page = async (query: string): Promise<Page> =>
      (await world.admin('GET', `/revocations?${query}`)).body as Page;
    const first = await page('limit=2');
    expect(first.items.map(({ target }) => target)).toEqual(['agent:srv_two', `server:${RS2}`]);
    expect(first.next).toBe(String(first.items[1]?.number));
    const second = await page(`limit=1&after=${first.next}`);
    expect(second.items[0]?.number).toBeLessThan(first.items[1]?.number ?? 0);
    expect((await world.admin('GET', '/revocations?after=x')).status).toBe(400);
  });
});
