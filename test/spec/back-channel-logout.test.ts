import { createPublicKey, randomUUID, sign } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { leafFlaws } from '../../src/audit/index.js';
import { systemClock } from '../../src/base/index.js';
import { failureLimit } from '../../src/http/index.js';
import { SignInAt } from '../../src/human/index.js';
import { companySession, feedTarget, type FormRequest, untraced } from '../../src/protocol/index.js';
import { companySignOut } from '../../src/oauth/index.js';
import { openEngineStore, openSignOuts } from '../../src/storage/index.js';
import { renewal, type SignInWorld, startNode, startSignInWorld } from '../abuse/sign-in.js';
import { signInFrom } from '../support/asking-world.js';
import { Browser } from '../support/browser.js';
import { ALICE, BOB, type Employee } from '../support/company.js';
import { newKey } from '../support/engine.js';
import {
  bearerAssertion,
  freePort,
  type Reply,
  request,
  sendForm,
  type Tokens,
  tokenOf,
  tokensOf,
} from '../support/writ.js';

let world: SignInWorld;
beforeAll(async () => {
  world = await startSignInWorld();
}, 60_000);
afterAll(async () => {
  const leaves = await world.writ.database.prisma.logLeaf.findMany({ select: { leaf: true } });
  await world.close();
  expect(leaves.flatMap(({ leaf }) => leafFlaws(leaf))).toEqual([]);
});

/** A sign-in with what an agent got through it; `sid` is the company's own session. */
type Held = Readonly<{ browser: Browser; tokens: Tokens; token: string; session: string; person: string; sid: string }>;
async function held(employee: Employee = ALICE, browser = new Browser()): Promise<Held> {
  const wish = { scope: 'openid offline_access repo:read repo:write', prompt: 'consent' };
  const code = await world.codeFor(world.a1, wish, employee, browser);
  const tokens = tokensOf(await world.post('/token', await world.codeForm(code, world.a1)));
  const token = tokenOf(await world.exchange({ subject_token: tokens.access_token }));
  const { sub, writ } = decodeJwt<{ sub: string; writ: { session: string } }>(token);
  return { browser, tokens, token, session: writ.session, person: sub, sid: world.company.lastSession() ?? '' };
}

const URL_OF = (): string => `${world.issuer}/sign-out/company`;
const EVENT = 'http://schemas.openid.net/event/backchannel-logout';
type Spoilt = Readonly<{ claims?: object; header?: object; key?: Parameters<typeof sign>[2] }>;

/** A logout token of the company as section 2.4 wants it; `undefined` takes a member away. */
function logoutToken(about: object, { claims, header, key = world.company.key }: Spoilt = {}): string {
  const now = Math.floor(Date.now() / 1_000);
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const whole = {
    ...{ iss: world.company.issuer, aud: 'writ', iat: now, exp: now + 120, jti: randomUUID(), events: { [EVENT]: {} } },
    ...about,
    ...claims,
  };
  const input = `${encode({ alg: 'RS256', typ: 'logout+jwt', kid: 'company-key', ...header })}.${encode(whole)}`;
  return `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`;
}
const say = (logout_token: string, url = URL_OF()): Promise<Reply> => sendForm(url, { logout_token });

const REFUSED = [400, { error: 'invalid_request', error_description: 'the logout token is not acceptable' }];
const ENDED = [false, 400, 400, 'ended', false];
const ALIVE = [true, 200, 200, 'active', true];

/** The agent's token, the person's token, the refresh token, the session of the agent, and the sign-in. */
async function standing({ token, tokens, session, browser }: Held): Promise<unknown> {
  const introspected = await world.post('/introspect', { ...(await bearerAssertion(world.issuer, world.rs1)), token });
  const exchanged = await world.exchange({ subject_token: tokens.access_token });
  const renewed = await world.post('/token', await renewal(world, tokens.refresh_token));
  const { status } = (await world.admin('GET', `/sessions/${session}`)).body as { status: string };
  const { body } = await browser.get(`${world.issuer}/sign-out`);
  const isActive = (introspected.body as { active: boolean }).active;
  return [isActive, exchanged.status, renewed.status, status, body.includes('<h1>Sign out</h1>')];
}
const revocations = (): Promise<readonly Readonly<{ target: string; number: bigint; revokedBy: string }>[]> =>
  world.writ.database.prisma.revocation.findMany({ orderBy: { number: 'asc' } });

/** A sign-in at Writ's own place, which no agent opened. */
async function atApprovals(employee: Employee) {
  const place = `${world.issuer}/approvals`;
  const browser = new Browser();
  await signInFrom(await browser.get(place), browser, employee);
  const title = async (): Promise<string | undefined> => /<h1>([^<]*)<\/h1>/.exec((await browser.get(place)).body)?.[1];
  return { title, sid: world.company.lastSession() };
}

describe('OpenID Connect Back-Channel Logout 1.0', () => {
  it('§2.5 a person who signs out at the company is signed out here, with what was derived from it', async () => {
    const [mine, other] = [await held(), await held()];
    const page = await mine.browser.get(`${world.company.issuer}/session/end`);
    await mine.browser.submit(page, { logout: 'yes' });
    expect(await standing(mine)).toEqual(ENDED);
    expect(await standing(other)).toEqual(ALIVE);
  });

  it('§2.6 `sid` ends the sign-in of that session, of any age of ours, and no other of the person', async () => {
    const [mine, other] = [await held(), await held()];
    const { status, headers, text } = await say(logoutToken({ sid: mine.sid }));
    expect([status, text, headers.get('cache-control')]).toEqual([200, '', 'no-store']);
    expect(await standing(mine)).toEqual(ENDED);
    expect(await standing(other)).toEqual(ALIVE);
  });

  it('§2.6 `sid` ends the sign-in at /approvals, where calls are approved', async () => {
    const [bobs, mine] = [await atApprovals(BOB), await atApprovals(ALICE)];
    expect([await mine.title(), await bobs.title()]).toEqual(['Approvals', 'Approvals']);
    expect((await say(logoutToken({ sid: mine.sid }))).status).toBe(200);
    expect([await mine.title(), await bobs.title()]).toEqual(['Sign in to Writ', 'Approvals']);
  });

  it('§2.6 `sub` ends all of that person, who may sign in again, and nobody else', async () => {
    const [mine, other, bobs] = [await held(), await held(), await held(BOB)];
    const [hers, his] = [await atApprovals(ALICE), await atApprovals(BOB)];
    const { status, text } = await say(logoutToken({ sub: ALICE.subject }));
    expect([status, text]).toEqual([200, '']);
    expect([await standing(mine), await standing(other)]).toEqual([ENDED, ENDED]);
    expect(await standing(bobs)).toEqual(ALIVE);
    expect([await hers.title(), await his.title()]).toEqual(['Sign in to Writ', 'Approvals']);
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    expect(await standing(await held())).toEqual(ALIVE);
  });

  it('`sid` with `sub` ends that session alone', async () => {
    const [mine, other] = [await held(), await held()];
    expect((await say(logoutToken({ sid: mine.sid, sub: ALICE.subject }))).status).toBe(200);
    expect([await standing(mine), await standing(other)]).toEqual([ENDED, ALIVE]);
  });

  it('ends what came of a sign-in that Writ itself has forgotten meanwhile', async () => {
    const mine = await held();
    await world.writ.database.prisma.engineRecord.deleteMany({ where: { model: 'Session' } });
    await say(logoutToken({ sid: mine.sid }));
    expect(await standing(mine)).toEqual(ENDED);
  });

  it('`sid` with `sub` ends all sign-ins of that person from before we kept which session they are of', async () => {
    const [mine, bobs] = [await held(), await held(BOB)];
    await world.writ.database.prisma.$executeRaw`
      UPDATE engine_record SET payload = payload - 'origin'
      WHERE payload ->> 'accountId' = ${mine.person} AND model IN ('Session', 'Grant', 'RefreshToken', 'AccessToken')`;
    expect((await say(logoutToken({ sid: mine.sid, sub: ALICE.subject }))).status).toBe(200);
    expect([await standing(mine), await standing(bobs)]).toEqual([ENDED, ALIVE]);
  });

  it('`sid` ends what agents got by tokens of the company itself, of that session', async () => {
    const { issuer } = world.company;
    const jwk = createPublicKey(world.company.key).export({ format: 'jwk' });
    const trusted = {
      ...{ issuer, name: 'Company', agents: [world.a1.id] },
      ...{ jwks: { keys: [{ ...jwk, kid: 'company-key', alg: 'RS256', use: 'sig' }] } },
      accepts: [{ token_type: 'urn:ietf:params:oauth:token-type:access_token', typ: 'at+jwt' }],
    };
    expect((await world.admin('POST', '/apply', { issuers: [trusted] })).status).toBe(200);
    const brought = (sid: string): string => {
      const claims = { aud: world.issuer, client_id: world.a1.id, scope: 'repo:read', events: undefined };
      return logoutToken({ sub: 'u-77', sid, ...claims }, { header: { typ: 'at+jwt' } });
    };
    const sids = [randomUUID(), randomUUID()] as const;
    const tokens = [brought(sids[0]), brought(sids[1])] as const;
    const got = [
      tokenOf(await world.exchange({ subject_token: tokens[0] })),
      tokenOf(await world.exchange({ subject_token: tokens[1] })),
    ] as const;
    expect((await say(logoutToken({ sid: sids[0] }))).status).toBe(200);
    const isActive = async (token: string): Promise<boolean> => {
      const form = { ...(await bearerAssertion(world.issuer, world.rs1)), token };
      return ((await world.post('/introspect', form)).body as { active: boolean }).active;
    };
    expect([await isActive(got[0]), await isActive(got[1])]).toEqual([false, true]);
    const again = await world.exchange({ subject_token: tokens[0] });
    expect([again.status, again.body]).toEqual([
      400,
      { error: 'invalid_request', error_description: 'subject_token is not acceptable' },
    ]);
    expect((await world.exchange({ subject_token: tokens[1] })).status).toBe(200);
    const named = (await revocations()).map(({ target }) => target);
    const sessions = got.map((token) => decodeJwt<{ writ: { session: string } }>(token).writ.session);
    expect(sessions.map((session) => named.includes(feedTarget.session(session)))).toEqual([true, false]);
  });

  it('has a number that offline verifiers refuse by, and a record', async () => {
    const mine = await held();
    await say(logoutToken({ sid: mine.sid }));
    const { writ } = decodeJwt<{ writ: { seen: number } }>(mine.token);
    const named = (await revocations()).filter(({ number }) => Number(number) > writ.seen);
    const session = companySession(world.company.issuer, mine.sid);
    expect(named.map(({ target, revokedBy }) => [target.replace(/^(sign-in|grant):.*/, '$1'), revokedBy])).toEqual(
      [`company-session:${session}`, 'sign-in', 'grant', feedTarget.session(mine.session)].map((target) => [
        target,
        'identity-provider:company',
      ]),
    );
    const [leaf] = await world.writ.database.prisma.logLeaf.findMany({
      where: { kind: 'revocation' },
      orderBy: { id: 'desc' },
      take: 1,
    });
    expect((JSON.parse(Buffer.from(leaf?.leaf ?? []).toString('utf8')) as { facts: object }).facts).toEqual({
      what: 'scope',
      kind: 'company_session',
      id: session,
      number: Number(named[0]?.number),
      sessions: 1,
      consents: 1,
      by: 'identity-provider:company',
    });
  });

  it('§2.7 is no error for a session or a person that nobody knows, and keeps such a session out for good', async () => {
    const sid = `unknown-${randomUUID()}`;
    expect((await say(logoutToken({ sid }))).status).toBe(200);
    expect((await say(logoutToken({ sub: 'nobody' }))).status).toBe(200);
    const target = `company-session:${companySession(world.company.issuer, sid)}`;
    expect((await revocations()).filter((one) => one.target === target)).toHaveLength(1);
  });

  it('§2.4 takes a token of the general type or of none, and one whose audience is a list of us alone', async () => {
    for (const spoilt of [{ header: { typ: undefined } }, { header: { typ: 'JWT' } }, { claims: { aud: ['writ'] } }]) {
      const mine = await held();
      expect((await say(logoutToken({ sid: mine.sid }, spoilt))).status).toBe(200);
      expect(await standing(mine)).toEqual(ENDED);
    }
  });

  const now = Math.floor(Date.now() / 1_000);
  it.each<[string, Spoilt]>([
    ['another type', { header: { typ: 'at+jwt' } }],
    ['an ID token, by its type', { header: { typ: 'JWT' }, claims: { events: undefined } }],
    ['an ID token of a sign-in here', { header: { typ: 'JWT' }, claims: { nonce: 'n' } }],
    ['no algorithm', { header: { alg: 'none' } }],
    ['an extension that is critical', { header: { crit: ['exp'] } }],
    ['a key that nobody has', { header: { kid: 'another' } }],
    ['another issuer', { claims: { iss: 'https://evil.example' } }],
    ['no issuer', { claims: { iss: undefined } }],
    ['another audience', { claims: { aud: 'another' } }],
    ['an audience beside us', { claims: { aud: ['writ', 'another'] } }],
    ['no audience', { claims: { aud: undefined } }],
    ['no time', { claims: { iat: undefined } }],
    ['a time to come', { claims: { iat: now + 3_600, exp: now + 3_700 } }],
    ['no end', { claims: { exp: undefined } }],
    ['an end that is over', { claims: { iat: now - 600, exp: now - 300 } }],
    ['an end in years', { claims: { exp: now + 90_000_000 } }],
    ['no id', { claims: { jti: undefined } }],
    ['an id that is none', { claims: { jti: 7 } }],
    ['no events', { claims: { events: undefined } }],
    ['other events', { claims: { events: { 'https://evil.example/event': {} } } }],
    ['an event that is no object', { claims: { events: { [EVENT]: 'yes' } } }],
    ['a nonce', { claims: { nonce: 'n' } }],
    ['an empty nonce', { claims: { nonce: '' } }],
    ['neither `sid` nor `sub`', { claims: { sid: undefined } }],
    ['a `sid` that is none', { claims: { sid: { $ne: '' } } }],
    ['a `sub` that is none', { claims: { sub: ['u-1001'] } }],
  ])('§2.6 refuses %s, and ends nothing', async (_what, spoilt) => {
    const mine = await shared();
    const { status, body, headers } = await say(logoutToken({ sid: mine.sid }, spoilt));
    expect([status, body]).toEqual(REFUSED);
    expect(headers.get('cache-control')).toBe('no-store');
    expect(await isAlive(mine)).toBe(true);
  });
  /** Nothing of it is ended by what is refused. */
  let sharing: Promise<Held> | undefined;
  const shared = (): Promise<Held> => (sharing ??= held());
  const isAlive = async ({ token, browser }: Held): Promise<boolean> => {
    const form = { ...(await bearerAssertion(world.issuer, world.rs1)), token };
    const { active } = (await world.post('/introspect', form)).body as { active: boolean };
    return active && (await browser.get(`${world.issuer}/sign-out`)).body.includes('<h1>Sign out</h1>');
  };

  it('§2.6 refuses a signature by a key of somebody else, and an ID token of the company', async () => {
    const mine = await shared();
    const forged = logoutToken({ sid: mine.sid }).split('.').slice(0, 2).join('.');
    const { key } = { key: newKey() };
    for (const token of [
      `${forged}.${sign('sha256', Buffer.from(forged), key).toString('base64url')}`,
      `${forged}.`,
      logoutToken(
        { sid: mine.sid, sub: ALICE.subject, nonce: 'n' },
        { claims: { events: undefined }, header: { typ: undefined } },
      ),
      'noise',
      'a'.repeat(20_000),
    ])
      expect([(await say(token)).status, (await say(token)).body]).toEqual(REFUSED);
    expect(await isAlive(mine)).toBe(true);
  });

  it.each<[string, () => Promise<Reply>, readonly [number, string]]>([
    ['without a token', () => sendForm(URL_OF(), {}), [400, 'logout_token is missing']],
    ['with two', () => sendForm(URL_OF(), { logout_token: ['a', 'b'] }), [400, 'logout_token must be sent once']],
    [
      'as JSON',
      () => request(URL_OF(), { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' }),
      [400, 'Content-Type must be application/x-www-form-urlencoded'],
    ],
    [
      'in the address',
      () => request(`${URL_OF()}?logout_token=x`, { method: 'POST' }),
      [400, 'parameters belong in the body, not in the URL'],
    ],
    [
      'without end',
      () => sendForm(URL_OF(), { logout_token: 'a'.repeat(70_000) }),
      [413, 'the body may have at most 65536 bytes'],
    ],
  ])('refuses a request %s', async (_what, ask, [status, error_description]) => {
    const answer = await ask();
    expect([answer.status, answer.body]).toEqual([status, { error: 'invalid_request', error_description }]);
    expect(answer.headers.get('cache-control')).toBe('no-store');
  });

  it('RL: a network that keeps sending what is no good is told to wait, whatever it sends then', async () => {
    const deps = {
      signIn: new SignInAt(world.company.identityProvider, `${world.issuer}/interaction/callback/company`),
      signOuts: openSignOuts(world.writ.database, systemClock),
      ...{ clock: systemClock, skewSeconds: 30, failures: failureLimit(2) },
    };
    const from = async (network: string, logout_token: string): Promise<number> => {
      const form = new Map([['logout_token', [logout_token]]]);
      const basis = { header: () => [], requestId: 'req', traceId: undefined, traceparent: undefined };
      const asked: FormRequest = { ...basis, form, network, trace: untraced, isOver: () => false };
      return (await companySignOut(asked, deps)).status;
    };
    const good = (): string => logoutToken({ sid: `limit-${randomUUID()}` });
    expect(await from('10.0.0.1', good())).toBe(200);
    const repeated = good();
    expect([await from('10.0.0.1', repeated), await from('10.0.0.1', repeated)]).toEqual([200, 400]);
    expect([await from('10.0.0.1', 'noise'), await from('10.0.0.1', 'noise')]).toEqual([400, 400]);
    expect([await from('10.0.0.1', good()), await from('10.0.0.2', good())]).toEqual([429, 200]);
  });

  it('is a POST to a provider that there is', async () => {
    expect((await request(URL_OF(), { method: 'GET' })).status).toBe(405);
    expect((await say(logoutToken({ sid: 'x' }), `${world.issuer}/sign-out/another`)).status).toBe(404);
  });

  it('§2.6 the same token again is refused, by its jti', async () => {
    const token = logoutToken({ sid: `once-${randomUUID()}` });
    expect((await say(token)).status).toBe(200);
    const again = await say(token);
    expect([again.status, again.body]).toEqual(REFUSED);
  });
});

describe('a sign-in under way while the company ends its session', () => {
  it('that was interrupted is finished by the same token again, and by that once', async () => {
    const mine = await held(ALICE);
    const { prisma } = world.writ.database;
    await prisma.$executeRawUnsafe(
      `INSERT INTO agent_session (id, run_key, person_id, agent_id, status, last_sequence, opened_at, expires_at)
       SELECT 'ses_many' || n, 'many ' || n, $1, $2, 'active', 1, now() - interval '1 minute', now() + interval '1 hour'
       FROM generate_series(1, 520) AS n`,
      mine.person,
      world.a1.id,
    );
    await prisma.$executeRawUnsafe(
      `CREATE FUNCTION interrupted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         IF EXISTS (SELECT 1 FROM agent_session WHERE id LIKE 'ses_many%' AND ended_at < now()) THEN RAISE EXCEPTION 'interrupted'; END IF;
         RETURN NEW;
       END $$`,
    );
    await prisma.$executeRawUnsafe(
      `CREATE TRIGGER interrupted BEFORE UPDATE ON agent_session FOR EACH ROW WHEN (NEW.status = 'ended') EXECUTE FUNCTION interrupted()`,
    );
    const live = (): Promise<number> =>
      prisma.agentSession.count({ where: { personId: mine.person, status: { not: 'ended' } } });
    const before = await live();
    expect(before).toBeGreaterThan(520);
    const token = logoutToken({ sub: ALICE.subject });
    const broken = await say(token);
    expect(broken.status).toBe(500);
    expect(world.faults.splice(0)).toHaveLength(1);
    await prisma.$executeRawUnsafe('DROP TRIGGER interrupted ON agent_session');
    expect(await live()).toBe(before - 500);
    expect((await say(token)).status).toBe(200);
    expect(await live()).toBe(0);
    const again = await say(token);
    expect([again.status, again.body]).toEqual(REFUSED);
    expect(await standing(mine)).toEqual(ENDED);
    await new Promise((resolve) => setTimeout(resolve, 1_100));
  });

  it('is no sign-in', async () => {
    const mine = await held();
    const { prisma } = world.writ.database;
    const origin = { issuer: world.company.issuer, seen: 0, sessions: [companySession(world.company.issuer, 'late')] };
    const late = {
      ...{ key: 'late', model: 'Session', grant: undefined, uid: 'late', expiresAt: undefined },
      payload: JSON.stringify({ accountId: mine.person, origin }),
    };
    await prisma.engineRecord.create({
      data: { key: 'raced', model: 'Session', uid: 'late', payload: JSON.parse(late.payload) as object },
    });
    await say(logoutToken({ sid: 'late' }));
    expect(await prisma.engineRecord.count({ where: { uid: 'late' } })).toBe(0);
    const { store } = { store: openEngineStore(world.writ.database) };
    await store.put(late);
    expect(await prisma.engineRecord.count({ where: { uid: 'late' } })).toBe(0);
  });
});

describe('an outage of the company', () => {
  it('is 503, and ends nothing', async () => {
    const outage = await startSignInWorld();
    const { issuer, key, identityProvider } = outage.company;
    await outage.company.stop();
    const at = Math.floor(Date.now() / 1_000);
    const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const claims = { iss: issuer, aud: 'writ', iat: at, exp: at + 60, jti: 'j', sid: 's', events: { [EVENT]: {} } };
    const input = `${encode({ alg: 'RS256', kid: 'company-key' })}.${encode(claims)}`;
    const logout_token = `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`;
    const answer = await outage.post(`/sign-out/${identityProvider.id}`, { logout_token });
    expect([answer.status, answer.body, answer.headers.get('retry-after')]).toEqual([
      503,
      {
        error: 'temporarily_unavailable',
        error_description: 'something that Writ depends on is down; try again',
      },
      '1',
    ]);
    expect(await outage.writ.database.prisma.revocation.count()).toBe(0);
    await outage.close().catch(() => undefined);
  }, 60_000);
});

describe('two replicas', () => {
  it('one of two that are told the same at once ends it, with one record', async () => {
    if (world.config.databaseUrl === undefined) return;
    const port = await freePort();
    const replica = await startNode(world, { port, company: world.company });
    const { prisma } = world.writ.database;
    for (let round = 0; round < 10; round++) {
      const sid = `raced-${randomUUID()}`;
      const token = logoutToken({ sid });
      const answers = await Promise.all([say(token), say(token, `http://127.0.0.1:${String(port)}/sign-out/company`)]);
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 400]);
      const leaves = await prisma.logLeaf.findMany({ where: { kind: 'revocation' } });
      const id = companySession(world.company.issuer, sid);
      expect(leaves.filter(({ leaf }) => Buffer.from(leaf).toString('utf8').includes(id))).toHaveLength(1);
    }
    await replica.close();
  }, 60_000);
});
