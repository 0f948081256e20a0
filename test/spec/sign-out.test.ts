import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { leafFlaws } from '../../src/audit/index.js';
import { feedTarget } from '../../src/protocol/index.js';
import { renewal, type SignInWorld, startReplica, startSignInWorld } from '../abuse/sign-in.js';
import { Browser, type Seen } from '../support/browser.js';
import { ALICE, BOB, type Employee } from '../support/company.js';
import { bearerAssertion, type Reply, request, type Tokens, tokenOf, tokensOf } from '../support/writ.js';

let world: SignInWorld;
beforeAll(async () => {
  world = await startSignInWorld();
}, 60_000);
afterAll(async () => {
  const { prisma } = world.writ.database;
  const leaves = await prisma.logLeaf.findMany({ select: { leaf: true } });
  await world.close();
  expect(leaves.flatMap(({ leaf }) => leafFlaws(leaf))).toEqual([]);
  expect(world.faults).toEqual([]);
});

/** A sign-in with what an agent got through it. */
type Held = Readonly<{ browser: Browser; tokens: Tokens; token: string; session: string; person: string }>;
async function held(employee: Employee = ALICE, browser = new Browser()): Promise<Held> {
  const wish = { scope: 'openid offline_access repo:read repo:write', prompt: 'consent' };
  const code = await world.codeFor(world.a1, wish, employee, browser);
  const tokens = tokensOf(await world.post('/token', await world.codeForm(code, world.a1)));
  const token = tokenOf(await world.exchange({ subject_token: tokens.access_token }));
  const { sub, writ } = decodeJwt<{ sub: string; writ: { session: string } }>(token);
  return { browser, tokens, token, session: writ.session, person: sub };
}

const page = (browser: Browser, url = world.issuer): Promise<Seen> => browser.get(`${url}/sign-out`);
const titleOf = ({ body }: Seen): string | undefined => /<h1>([^<]*)<\/h1>/.exec(body)?.[1];
const isSignedIn = async (browser: Browser): Promise<boolean> => titleOf(await page(browser)) === 'Sign out';
/** Of what comes in the second of a person's cut-off nobody could tell whether it is older. */
async function signOut(browser: Browser, where: string): Promise<Seen> {
  const done = await browser.submit(await page(browser), { where });
  if (where === 'everywhere') await pause(1_100);
  return done;
}

/** Whether the agent's token is active, its person's token is exchanged, its refresh token renewed, and its session lives. */
async function standing({ token, tokens, session }: Held): Promise<unknown> {
  const introspected = await world.post('/introspect', { ...(await bearerAssertion(world.issuer, world.rs1)), token });
  const exchanged = await world.exchange({ subject_token: tokens.access_token });
  const renewed = await world.post('/token', await renewal(world, tokens.refresh_token));
  const { status } = (await world.admin('GET', `/sessions/${session}`)).body as { status: string };
  return [(introspected.body as { active: boolean }).active, exchanged.status, renewed.status, status];
}
const ALIVE = [true, 200, 200, 'active'];
const ENDED = [false, 400, 400, 'ended'];

const revocations = (): Promise<readonly Readonly<{ target: string; number: bigint; revokedBy: string }>[]> =>
  world.writ.database.prisma.revocation.findMany({ orderBy: { number: 'asc' } });
const numbers = async (): Promise<number> => (await revocations()).length;

describe('GET /sign-out', () => {
  it('says who is signed in, lets them choose, and changes nothing', async () => {
    const mine = await held();
    const before = await numbers();
    const shown = await page(mine.browser);
    expect([shown.status, titleOf(shown)]).toEqual([200, 'Sign out']);
    for (const part of ['Alice Archer', 'Sign out here', 'Sign out everywhere', `action="${world.issuer}/sign-out"`])
      expect(shown.body).toContain(part);
    expect(await isSignedIn(mine.browser)).toBe(true);
    expect(await numbers()).toBe(before);
    expect(await standing(mine)).toEqual(ALIVE);
  });

  it('is never framed, cached or fetched from elsewhere', async () => {
    const { headers } = await page((await held()).browser);
    expect(headers.get('content-security-policy')).toMatch(/frame-ancestors 'none'/);
    expect([headers.get('x-frame-options'), headers.get('cache-control'), headers.get('referrer-policy')]).toEqual([
      'DENY',
      'no-store',
      'no-referrer',
    ]);
  });

  it('says so when nobody is signed in', async () => {
    const shown = await page(new Browser());
    expect([shown.status, titleOf(shown)]).toEqual([200, 'You are not signed in here']);
  });

  it('is linked from the page of a consent', async () => {
    const { browser } = await held();
    const query = new URLSearchParams({
      client_id: world.a1.id,
      redirect_uri: 'http://127.0.0.1:7999/callback',
      response_type: 'code',
      code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
      code_challenge_method: 'S256',
      scope: 'repo:read',
    });
    const { body } = await browser.get(`${world.issuer}/auth?${query.toString()}`);
    expect(body).toContain(`<a href="${world.issuer}/sign-out">Sign out</a>`);
  });
});

describe('POST /sign-out', () => {
  it('here ends this sign-in with all that was derived from it, and no other', async () => {
    const [mine, other, bobs] = [await held(), await held(), await held(BOB)];
    const again = await held(ALICE, mine.browser);
    const done = await signOut(mine.browser, 'here');
    expect([done.status, titleOf(done)]).toEqual([200, 'You are signed out']);
    expect(await standing(mine)).toEqual(ENDED);
    expect(await standing(again)).toEqual(ENDED);
    expect(await standing(other)).toEqual(ALIVE);
    expect(await standing(bobs)).toEqual(ALIVE);
    expect([await isSignedIn(mine.browser), await isSignedIn(other.browser)]).toEqual([false, true]);
  });

  it('everywhere ends all of the person, and nobody else', async () => {
    const [mine, other, bobs] = [await held(), await held(), await held(BOB)];
    const done = await signOut(mine.browser, 'everywhere');
    expect([done.status, titleOf(done)]).toEqual([200, 'You are signed out']);
    expect(await standing(mine)).toEqual(ENDED);
    expect(await standing(other)).toEqual(ENDED);
    expect(await standing(bobs)).toEqual(ALIVE);
    expect([await isSignedIn(mine.browser), await isSignedIn(other.browser)]).toEqual([false, false]);
    expect(await isSignedIn(bobs.browser)).toBe(true);
  });

  it.each(['here', 'everywhere'])('%s bars nobody: the person signs in again and agents go on', async (where) => {
    const { browser } = await held();
    await signOut(browser, where);
    expect(await standing(await held(ALICE, browser))).toEqual(ALIVE);
    expect(await isSignedIn(browser)).toBe(true);
  });

  it('clears the cookies of the sign-in, which are worth nothing afterwards', async () => {
    const { browser } = await held();
    const [shown, cookie] = [await page(browser), browser.cookieHeader(`${world.issuer}/sign-out`)];
    expect(cookie).toContain('writ_session=');
    const { headers } = await browser.submit(shown, { where: 'here' });
    const gone = 'path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT; samesite=lax; httponly';
    expect(headers.getSetCookie()).toEqual([`writ_session=; ${gone}`, expect.stringMatching(/^writ_session\.sig=/)]);
    expect(browser.cookies().filter(({ name }) => name.startsWith('writ_session'))).toEqual([]);
    const kept = await request(`${world.issuer}/sign-out`, { headers: { cookie } });
    expect(kept.text).toContain('You are not signed in here');
  });

  it.each(['here', 'everywhere'])('%s has a number that offline verifiers refuse by, and a record', async (where) => {
    const mine = await held();
    await signOut(mine.browser, where);
    const named = (await revocations()).filter(({ revokedBy }) => revokedBy === mine.person);
    expect(named.map(({ target }) => target)).toContain(feedTarget.session(mine.session));
    const { writ } = decodeJwt<{ writ: { seen: number } }>(mine.token);
    const number = named.find(({ target }) => target === feedTarget.session(mine.session))?.number ?? 0n;
    expect(Number(number)).toBeGreaterThan(writ.seen);
    const leaves = await world.writ.database.prisma.logLeaf.findMany({
      where: { kind: 'revocation' },
      orderBy: { id: 'asc' },
    });
    const facts = leaves
      .map(({ leaf }) => (JSON.parse(Buffer.from(leaf).toString('utf8')) as { facts: Record<string, unknown> }).facts)
      .filter(({ by }) => by === mine.person)
      .at(-1);
    expect(facts).toEqual({
      what: 'scope',
      kind: where === 'here' ? 'sign_in' : 'person',
      id: where === 'here' ? expect.any(String) : mine.person,
      number: expect.any(Number),
      sessions: where === 'here' ? 1 : expect.any(Number),
      consents: where === 'here' ? 1 : expect.any(Number),
      by: mine.person,
    });
  });

  /** The form as the page has it, and what one broken thing makes of it. */
  type Post = Readonly<{ form: Record<string, string>; headers: Record<string, string> }>;
  const sent = async (browser: Browser, spoil: (post: Post) => Post): Promise<Reply> => {
    const { body } = await page(browser);
    const token = /name="token" value="([^"]*)"/.exec(body)?.[1] ?? '';
    const whole = {
      form: { token, where: 'here' },
      headers: { cookie: browser.cookieHeader(`${world.issuer}/sign-out`) },
    };
    const { form, headers } = spoil(whole);
    return request(`${world.issuer}/sign-out`, { method: 'POST', headers, body: new URLSearchParams(form) });
  };

  it.each<[string, (post: Post, other: string) => Post]>([
    ['without its token', ({ form, headers }) => ({ form: { where: form['where'] ?? '' }, headers })],
    ['with a token that is none', ({ form, headers }) => ({ form: { ...form, token: 'forged' }, headers })],
    ["with another sign-in's token", ({ form, headers }, token) => ({ form: { ...form, token }, headers })],
    ['that says of no place', ({ form, headers }) => ({ form: { token: form['token'] ?? '' }, headers })],
    ['that says of a place that there is not', ({ form, headers }) => ({ form: { ...form, where: 'moon' }, headers })],
    [
      'from the page of another site',
      ({ form, headers }) => ({ form, headers: { ...headers, 'sec-fetch-site': 'cross-site' } }),
    ],
    ['from a neighbour', ({ form, headers }) => ({ form, headers: { ...headers, 'sec-fetch-site': 'same-site' } })],
    [
      'from a foreign origin',
      ({ form, headers }) => ({ form, headers: { ...headers, origin: 'https://evil.example' } }),
    ],
    ['as what is no form', ({ form, headers }) => ({ form, headers: { ...headers, 'content-type': 'text/plain' } })],
  ])('%s changes nothing, and asks again', async (_what, spoil) => {
    const [mine, other] = [await held(), await held()];
    const token = /name="token" value="([^"]*)"/.exec((await page(other.browser)).body)?.[1] ?? '';
    const before = await numbers();
    const refused = await sent(mine.browser, (post) => spoil(post, token));
    expect([refused.status, refused.text.includes('nothing has changed')]).toEqual([400, true]);
    expect(refused.headers.getSetCookie()).toEqual([]);
    expect(await numbers()).toBe(before);
    expect(await isSignedIn(mine.browser)).toBe(true);
    expect(await standing(mine)).toEqual(ALIVE);
  });

  it('without the cookie changes nothing', async () => {
    const mine = await held();
    const before = await numbers();
    const answer = await sent(mine.browser, ({ form }) => ({ form, headers: {} }));
    expect([answer.status, answer.text.includes('You are not signed in here')]).toEqual([200, true]);
    expect(await numbers()).toBe(before);
    expect(await standing(mine)).toEqual(ALIVE);
  });

  it('sent again changes nothing more', async () => {
    const mine = await held();
    const cookie = mine.browser.cookieHeader(`${world.issuer}/sign-out`);
    const shown = await page(mine.browser);
    await mine.browser.submit(shown, { where: 'here' });
    const before = await numbers();
    const token = /name="token" value="([^"]*)"/.exec(shown.body)?.[1] ?? '';
    const body = new URLSearchParams({ token, where: 'everywhere' });
    const again = await request(`${world.issuer}/sign-out`, { method: 'POST', headers: { cookie }, body });
    expect([again.status, again.text.includes('You are not signed in here')]).toEqual([200, true]);
    expect(await numbers()).toBe(before);
  });

  it('is none of PUT or DELETE', async () => {
    const { browser } = await held();
    const headers = { cookie: browser.cookieHeader(`${world.issuer}/sign-out`) };
    for (const method of ['PUT', 'DELETE'])
      expect((await request(`${world.issuer}/sign-out`, { method, headers })).status).toBe(404);
    expect(await isSignedIn(browser)).toBe(true);
  });
});

describe('what is under way while a sign-in ends', () => {
  const link = (): string => {
    const query = new URLSearchParams({
      client_id: world.a1.id,
      redirect_uri: 'http://127.0.0.1:7999/callback',
      response_type: 'code',
      code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
      code_challenge_method: 'S256',
      scope: 'repo:read',
    });
    return `${world.issuer}/auth?${query.toString()}`;
  };

  it.each<[string, (mine: Held) => Promise<unknown>]>([
    ['here', ({ browser }) => signOut(browser, 'here')],
    ['everywhere', ({ browser }) => signOut(browser, 'everywhere')],
    [
      'by an administrator',
      ({ person }) => world.admin('POST', '/revocations', { person, reason: 'test' }).then(() => pause(1_100)),
    ],
  ])(
    'an authorization saves its sign-in in vain: %s',
    async (_where, end) => {
      for (let round = 0; round < 6; round++) {
        const mine = await held();
        const cookie = mine.browser.cookieHeader(world.issuer);
        const underWay = Array.from({ length: 6 }, () => request(link(), { headers: { cookie } }));
        await Promise.all([...underWay, end(mine)]);
        expect((await request(`${world.issuer}/sign-out`, { headers: { cookie } })).text).toContain('not signed in');
      }
    },
    60_000,
  );

  it('a consent page that is open is of no use any more', async () => {
    const mine = await held();
    const asked = await mine.browser.get(link());
    expect(asked.body).toContain('to act for you?');
    const body = new URLSearchParams({
      token: /name="token" value="([^"]*)"/.exec(asked.body)?.[1] ?? '',
      decision: 'allow',
      tool: '0',
    });
    const action = /<form[^>]*action="([^"]*)"/.exec(asked.body)?.[1] ?? '';
    const cookie = mine.browser.cookieHeader(action);
    await signOut(mine.browser, 'here');
    const late = await request(action, { method: 'POST', headers: { cookie }, body });
    expect([late.status, late.text.includes('This page is not valid any more')]).toEqual([400, true]);
  });

  it('a code that was not redeemed is no good any more', async () => {
    const browser = new Browser();
    const code = await world.codeFor(world.a1, {}, ALICE, browser);
    await signOut(browser, 'here');
    const { status, body } = await world.post('/token', await world.codeForm(code, world.a1));
    expect([status, body]).toEqual([400, { error: 'invalid_grant', error_description: 'grant request is invalid' }]);
  });

  it('a person who is erased is signed in nowhere', async () => {
    const mine = await held(BOB);
    const cookie = mine.browser.cookieHeader(world.issuer);
    const underWay = Array.from({ length: 6 }, () => request(link(), { headers: { cookie } }));
    const [erased] = await Promise.all([world.admin('DELETE', `/persons/${mine.person}`), ...underWay]);
    expect(erased.status).toBeLessThan(300);
    expect((await request(`${world.issuer}/sign-out`, { headers: { cookie } })).text).toContain('not signed in');
  });
});

describe('two replicas', () => {
  it('a sign-out at one is known at the other at once', async () => {
    if (world.config.databaseUrl === undefined) return;
    const replica = await startReplica(world);
    const mine = await held();
    const cookie = mine.browser.cookieHeader(`${world.issuer}/sign-out`);
    const there = await request(`${replica.url}/sign-out`, { headers: { cookie } });
    expect(there.text).toContain('Sign out everywhere');
    await signOut(mine.browser, 'here');
    const after = await request(`${replica.url}/sign-out`, { headers: { cookie } });
    expect(after.text).toContain('You are not signed in here');
    await replica.close();
  });
});
