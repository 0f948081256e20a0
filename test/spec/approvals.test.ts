import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { leafFlaws } from '../../src/audit/index.js';
import { systemClock } from '../../src/base/index.js';
import { openSessions } from '../../src/storage/index.js';
import { type SignInWorld, startSignInWorld } from '../abuse/sign-in.js';
import { OWNER } from '../support/accountable.js';
import { Browser, type Seen } from '../support/browser.js';
import { ALICE, BOB, COMPANY_ACR, type Employee } from '../support/company.js';
import { bearerAssertion, type Reply, request, tokenOf, tokensOf } from '../support/writ.js';

let world: SignInWorld;
beforeAll(async () => {
  world = await startSignInWorld();
}, 60_000);
afterAll(async () => {
  const leaves = await world.writ.database.prisma.logLeaf.findMany({ select: { leaf: true } });
  await world.close();
  expect(leaves.flatMap(({ leaf }) => leafFlaws(leaf))).toEqual([]);
  expect(world.faults).toEqual([]);
});

const titleOf = ({ body }: Pick<Seen, 'body'>): string | undefined => /<h1>([^<]*)<\/h1>/.exec(body)?.[1];
const alertOf = (body: string): string | undefined => /role="alert"[^>]*>\s*([^<]*?)\s*</.exec(body)?.[1];
const place = (): string => `${world.issuer}/approvals`;
const tokenIn = (body: string): string => /name="token" value="([^"]*)"/.exec(body)?.[1] ?? '';

/** Through the form of Writ's own sign-in to the company and back. */
async function signedIn(employee: Employee = ALICE, browser = new Browser()): Promise<Browser> {
  const atCompany = await browser.submit(await browser.get(place()), {});
  expect(atCompany.body).toContain('Sign in to The Company');
  const back = await browser.submit(atCompany, { email: employee.email, password: employee.password });
  expect([back.url, back.status, titleOf(back)]).toEqual([place(), 200, 'Approvals']);
  return browser;
}

/** What an agent holds for this person, each time in a session of its own. */
async function acting(
  employee: Employee = ALICE,
): Promise<Readonly<{ token: string; session: string; person: string }>> {
  const code = await world.codeFor(world.a1, { prompt: 'consent' }, employee, new Browser());
  const tokens = tokensOf(await world.post('/token', await world.codeForm(code, world.a1)));
  const token = tokenOf(await world.exchange({ subject_token: tokens.access_token }));
  const { sub, writ } = decodeJwt<{ sub: string; writ: { session: string } }>(token);
  return { token, session: writ.session, person: sub };
}

const sessionOf = async (id: string): Promise<Record<string, unknown>> =>
  (await world.admin('GET', `/sessions/${id}`)).body as Record<string, unknown>;
const statusOf = async (id: string): Promise<unknown> => (await sessionOf(id))['status'];
const isActive = async (token: string): Promise<boolean> => {
  const form = { ...(await bearerAssertion(world.issuer, world.rs1)), token };
  return ((await world.post('/introspect', form)).body as { active: boolean }).active;
};

type Post = Readonly<{ path: string; form: Record<string, string>; headers: Record<string, string> }>;
const send = ({ path, form, headers }: Post): Promise<Reply> =>
  request(`${place()}${path}`, { method: 'POST', headers, body: new URLSearchParams(form), redirect: 'manual' });

/** The post of a button of the page. */
async function post(browser: Browser, session: string, action: string): Promise<Post> {
  const { body } = await browser.get(place());
  const headers = { cookie: browser.cookieHeader(place()) };
  return { path: `/sessions/${session}`, form: { token: tokenIn(body), action }, headers };
}
const press = async (browser: Browser, session: string, action: string): Promise<Reply> =>
  send(await post(browser, session, action));

/** As if the person had signed in that long ago. */
async function ageSignIns(seconds: number): Promise<void> {
  await world.writ.database.prisma.$executeRawUnsafe(`
    UPDATE engine_record SET payload = jsonb_set(payload, '{verifiedAt}', to_jsonb((payload ->> 'verifiedAt')::int - ${String(seconds)}))
    WHERE payload ? 'verifiedAt'`);
}

describe('signing in at /approvals', () => {
  it('is asked for where nobody has, and changes nothing by itself', async () => {
    const browser = new Browser();
    const shown = await browser.get(place());
    expect([shown.status, titleOf(shown)]).toEqual([200, 'Sign in to Writ']);
    expect(shown.body).toContain(`<form method="post" action="${place()}/sign-in">`);
    expect(shown.body).toContain('Sign in at The Company');
    expect(browser.cookies().map(({ name }) => name)).toEqual(['writ_approvals_browser']);
  });

  it('is not done by the sign-in that an agent asked for (AP-16)', async () => {
    const browser = new Browser();
    await world.codeFor(world.a1, {}, ALICE, browser);
    expect(browser.cookies().map(({ name }) => name)).toContain('writ_session');
    expect(titleOf(await browser.get(place()))).toBe('Sign in to Writ');
    // Nor does its cookie pass as one of ours.
    const id = browser.cookies().find(({ name }) => name === 'writ_session')?.value ?? '';
    const taken = await request(place(), { headers: { cookie: `writ_approvals=${id}` } });
    expect(titleOf({ body: taken.text })).toBe('Sign in to Writ');
  });

  it('asks the company afresh, whoever is signed in there, and says when it did', async () => {
    const browser = await signedIn();
    const asked = browser.history.find((url) => url.startsWith(`${world.company.issuer}/auth?`)) ?? '';
    const { searchParams } = new URL(asked);
    expect([searchParams.get('prompt'), searchParams.get('max_age')]).toEqual(['login', '300']);
    const again = await ownSignInAgain(browser);
    expect([again.url, titleOf(again)]).toEqual([place(), 'Approvals']);
  });

  it('keeps what the company said of the sign-in: its class and its methods (RFC 8176)', async () => {
    await signedIn(BOB);
    const kept = await world.writ.database.prisma.$queryRawUnsafe<object[]>(`
      SELECT payload -> 'acr' AS acr, payload -> 'amr' AS amr FROM engine_record WHERE payload ? 'verifiedAt'`);
    expect(kept.length).toBeGreaterThan(0);
    for (const one of kept) expect(one).toEqual({ acr: COMPANY_ACR, amr: ['pwd'] });
  });

  it('begins a session under a new id each time, and ends the one before', async () => {
    const browser = await signedIn();
    const before = browser.cookieHeader(place());
    await ownSignInAgain(browser);
    expect(browser.cookieHeader(place())).not.toBe(before);
    const old = await request(place(), { headers: { cookie: before } });
    expect(titleOf({ body: old.text })).toBe('Sign in to Writ');
  });

  /** Posts the sign-in form although somebody is signed in. */
  async function ownSignInAgain(browser: Browser): Promise<Seen> {
    const form = `<form action="${place()}/sign-in"><input type="hidden" name="provider" value="company">`;
    const atCompany = await browser.submit({ url: place(), status: 200, headers: new Headers(), body: form }, {});
    expect(atCompany.body).toContain('Sign in to The Company');
    return browser.submit(atCompany, { email: ALICE.email, password: ALICE.password });
  }

  it('is finished in the browser where it began and in no other, once (AZ-14, AZ-16, AZ-20)', async () => {
    const mine = new Browser();
    const atCompany = await mine.submit(await mine.get(place()), {});
    const callback = `${world.issuer}/interaction/callback/`;
    const stopped = await mine.submit(atCompany, { email: BOB.email, password: BOB.password }, callback);
    const other = new Browser();
    await other.get(place());
    const foreign = await other.get(stopped.url);
    expect([foreign.status, titleOf(foreign), alertOf(foreign.body)]).toEqual([
      400,
      'Sign in to Writ',
      'That took too long, or belongs to another browser. Please try again.',
    ]);
    const bare = await new Browser().get(stopped.url);
    expect([bare.status, titleOf(bare)]).toEqual([400, 'This page is not valid any more']);
    expect(mine.cookies().map(({ name }) => name)).not.toContain('writ_approvals');
    expect((await mine.get(stopped.url)).status).toBe(400);
  });

  it.each<[string, Partial<Post>]>([
    ['of another site', { headers: { 'sec-fetch-site': 'cross-site' } }],
    ['of a foreign origin', { headers: { origin: 'https://evil.example' } }],
    ['as text/plain', { headers: { 'content-type': 'text/plain' } }],
    ['to a provider that there is not', { form: { provider: 'moon' } }],
    ['that would return elsewhere', { form: { return_to: '//evil.example' } }],
  ])('is not begun by a form %s (AZ-20)', async (_what, broken) => {
    const browser = new Browser();
    await browser.get(place());
    const whole = { provider: 'company' };
    const reply = await send({
      path: '/sign-in',
      form: broken.form ?? whole,
      headers: { cookie: browser.cookieHeader(place()), ...broken.headers },
    });
    expect([reply.status, reply.headers.get('location'), alertOf(reply.text)]).toEqual([
      400,
      null,
      'That did not come from this page as it is now, so nothing has changed. Please sign in here.',
    ]);
    expect(reply.text).not.toContain('evil.example');
  });

  it('does nothing for a HEAD, and keeps no cookie of it (AP-20)', async () => {
    const head = await request(place(), { method: 'HEAD' });
    expect([head.status, head.headers.getSetCookie(), head.text]).toEqual([200, [], '']);
  });

  it('ends with a sign-out there, and at the word of an administrator', async () => {
    const [here, elsewhere, revoked] = [await signedIn(), await signedIn(BOB), await signedIn(ALICE)];
    const out = await send({ path: '/sign-out', ...(await tokenAndCookie(here)) });
    expect([out.status, out.headers.get('location')]).toEqual([303, place()]);
    expect(titleOf(await here.get(place()))).toBe('Sign in to Writ');
    expect(titleOf(await elsewhere.get(place()))).toBe('Approvals');
    const { person } = await acting(BOB);
    await world.admin('POST', '/revocations', { person, reason: 'test' });
    // Of what comes in the second of a person's cut-off nobody could tell whether it is older.
    await pause(1_100);
    expect(titleOf(await elsewhere.get(place()))).toBe('Sign in to Writ');
    expect(titleOf(await revoked.get(place()))).toBe('Approvals');
  });

  const tokenAndCookie = async (browser: Browser): Promise<Pick<Post, 'form' | 'headers'>> => ({
    form: { token: tokenIn((await browser.get(place())).body) },
    headers: { cookie: browser.cookieHeader(place()) },
  });
});

describe('GET /approvals', () => {
  it('shows what can act for the person, and nothing of others', async () => {
    const [mine, bobs] = [await acting(), await acting(BOB)];
    const browser = await signedIn();
    let [shown, all] = [await browser.get(place()), ''];
    for (let next: string | undefined = place(); next !== undefined;) {
      shown = await browser.get(next);
      expect(shown.body.length).toBeLessThan(30_000);
      all += shown.body;
      next = /href="([^"]*approvals\?after=[^"]*)"/.exec(shown.body)?.[1];
    }
    expect(all).toContain('Alice Archer');
    expect(all).toContain(`action="${place()}/sessions/${mine.session}"`);
    expect(all).not.toContain(bobs.session);
    await press(browser, mine.session, 'end');
    expect((await browser.get(place())).body).not.toContain(mine.session);
    for (const part of [
      'Responsible',
      'Since',
      'Last used',
      'Ends by itself',
      'Purpose',
      'value="pause"',
      'value="end"',
    ])
      expect(all).toContain(part);
  });

  it('goes on by links with many agents, each once, and names who answers for them', async () => {
    const { session } = await acting(BOB);
    const { prisma } = world.writ.database;
    await prisma.$executeRawUnsafe(`UPDATE person SET attributes = '{"name":"Olivia Owner"}' WHERE id = '${OWNER}'`);
    await prisma.$executeRawUnsafe(
      `INSERT INTO agent_session (id, run_key, person_id, agent_id, status, last_sequence, expires_at, purpose)
       SELECT 'ses_' || rpad('many' || n, 22, '_'), 'many' || n, person_id,
         CASE WHEN n % 2 = 0 THEN agent_id ELSE 'agt_' || rpad(n::text, 124, 'x') END, 'active', 1, expires_at, repeat('&', 256)
       FROM agent_session, generate_series(1, 100) AS n WHERE id = '${session}'`,
    );
    const browser = await signedIn(BOB);
    let all = '';
    for (let next: string | undefined = place(); next !== undefined;) {
      const { body } = await browser.get(next);
      expect(Buffer.byteLength(body)).toBeLessThan(30_000);
      all += body;
      next = /href="([^"]*approvals\?after=[^"]*)"/.exec(body)?.[1];
    }
    const shown = [...all.matchAll(/\/approvals\/sessions\/(ses_many\d+)/g)].map(([, id]) => id);
    expect(shown).toHaveLength(100);
    expect(new Set(shown).size).toBe(100);
    expect(all).toContain('Olivia Owner');
    expect(all).not.toContain(OWNER);
    await prisma.$executeRawUnsafe(`DELETE FROM agent_session WHERE run_key LIKE 'many%'`);
  });

  it('is never framed or cached, and has one script of its own and nothing from elsewhere (AP-14)', async () => {
    const { headers } = await (await signedIn()).get(place());
    expect(headers.get('content-security-policy')).toMatch(
      /^default-src 'none'; style-src 'sha256-[^']+'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; manifest-src 'self'; worker-src 'self'; img-src 'self'; script-src 'sha256-[^']+'; require-trusted-types-for 'script'$/,
    );
    expect([headers.get('x-frame-options'), headers.get('cache-control'), headers.get('referrer-policy')]).toEqual([
      'DENY',
      'no-store',
      'no-referrer',
    ]);
  });
});

describe('stopping everything at /approvals', () => {
  it('ends every sign-in of the person there, and all that agents hold in their name, and nobody else', async () => {
    const [mine, bobs] = [await acting(), await acting(BOB)];
    const [browser, another] = [await signedIn(), await signedIn()];
    const { body } = await browser.get(place());
    const form = { token: tokenIn(body), where: 'everywhere' };
    const said = await send({ path: '/sign-out', form, headers: { cookie: browser.cookieHeader(place()) } });
    expect([said.status, said.headers.get('location')]).toEqual([303, place()]);
    for (const one of [browser, another]) expect(titleOf(await one.get(place()))).toBe('Sign in to Writ');
    expect([await isActive(mine.token), await statusOf(mine.session)]).toEqual([false, 'ended']);
    expect([await isActive(bobs.token), await statusOf(bobs.session)]).toEqual([true, 'active']);
    // Tokens tell seconds, and those who come after this are to come after it.
    await pause(1_100);
  });
});

describe('POST /approvals/sessions/:id', () => {
  it('pauses at once, in the name of the person, and lets it go on', async () => {
    const { session, token, person } = await acting();
    const browser = await signedIn();
    const paused = await press(browser, session, 'pause');
    expect([paused.status, paused.headers.get('location')]).toEqual([303, place()]);
    expect(await sessionOf(session)).toMatchObject({
      status: 'paused',
      paused_by: person,
      paused_reason: 'the person paused it',
    });
    expect(await isActive(token)).toBe(false);
    expect((await press(browser, session, 'resume')).status).toBe(303);
    expect(await statusOf(session)).toBe('active');
  });

  it('ends for good, on the record, and a second time says that it has changed', async () => {
    const { session, token, person } = await acting();
    const browser = await signedIn();
    expect((await press(browser, session, 'end')).status).toBe(303);
    expect(await sessionOf(session)).toMatchObject({
      status: 'ended',
      ended_by: person,
      ended_reason: 'the person ended it',
    });
    expect(await isActive(token)).toBe(false);
    const again = await press(browser, session, 'end');
    expect([again.status, alertOf(again.text)]).toEqual([
      409,
      'That has changed meanwhile, so nothing was done. This is how it stands now.',
    ]);
  });

  it('asks for a fresh sign-in before an agent goes on, and not before one stops (AP-17)', async () => {
    const { session } = await acting();
    const browser = await signedIn();
    await ageSignIns(301);
    expect((await press(browser, session, 'pause')).status).toBe(303);
    const refused = await press(browser, session, 'resume');
    expect([refused.status, alertOf(refused.text)]).toEqual([
      403,
      'To let an agent go on, sign in again first. Nothing has changed yet.',
    ]);
    expect(await statusOf(session)).toBe('paused');
  });

  it('does not let go on what an administrator paused', async () => {
    const { session } = await acting();
    const browser = await signedIn();
    await world.admin('POST', `/sessions/${session}/pause`, { reason: 'INC-1' });
    for (const action of ['resume', 'pause']) expect((await press(browser, session, action)).status).toBe(409);
    expect(await sessionOf(session)).toMatchObject({ status: 'paused', paused_reason: 'INC-1' });
  });

  it.each([
    ['for good', {}, null],
    ['for a while', { seconds: 600 }, null],
  ])('is taken over by an administrator who pauses it %s, and does not end earlier', async (_, wish, resumes) => {
    const { session } = await acting();
    const browser = await signedIn();
    await press(browser, session, 'pause');
    const taken = await world.admin('POST', `/sessions/${session}/pause`, { reason: 'INC-2', ...wish });
    expect([taken.status, taken.body]).toEqual([200, { id: session, result: 'paused' }]);
    const kept = { status: 'paused', paused_by: 'admin-token', paused_reason: 'INC-2', resumes_at: resumes };
    expect(await sessionOf(session)).toMatchObject(kept);
    for (const action of ['resume', 'pause']) expect((await press(browser, session, action)).status).toBe(409);
    expect(await sessionOf(session)).toMatchObject(kept);
  });

  it('is refused where the session is another by the time that it is locked', async () => {
    const { session, person } = await acting();
    const change = { by: person, reason: 'the person let it go on' };
    const sessions = openSessions(world.writ.database, systemClock);
    await world.admin('POST', `/sessions/${session}/pause`, { reason: 'INC-3', seconds: 60 });
    expect(await sessions.resume(session, change)).toBe('paused_by_another');
    expect(await sessions.pause(session, { ...change, seconds: undefined })).toBe('already_paused');
    expect(await sessionOf(session)).toMatchObject({
      status: 'paused',
      paused_by: 'admin-token',
      paused_reason: 'INC-3',
    });
  });

  it("answers what is another person's as what was never there", async () => {
    const { session } = await acting(BOB);
    const browser = await signedIn();
    const [theirs, nobodys] = [await press(browser, session, 'end'), await press(browser, 'ses_nobody', 'end')];
    expect([theirs.status, titleOf({ body: theirs.text })]).toEqual([404, 'There is nothing here']);
    expect(theirs.text).toBe(nobodys.text);
    expect(await statusOf(session)).toBe('active');
  });

  it.each<[string, (post: Post, token: string) => Post]>([
    ['without its token', (whole) => ({ ...whole, form: { action: 'end' } })],
    ['with a token that is none', (whole) => ({ ...whole, form: { ...whole.form, token: 'forged' } })],
    ["with another sign-in's token", (whole, token) => ({ ...whole, form: { ...whole.form, token } })],
    ['that does what there is not', (whole) => ({ ...whole, form: { ...whole.form, action: 'approve' } })],
    ['of another site', (whole) => ({ ...whole, headers: { ...whole.headers, 'sec-fetch-site': 'cross-site' } })],
    ['of a neighbour', (whole) => ({ ...whole, headers: { ...whole.headers, 'sec-fetch-site': 'same-site' } })],
    ['of a foreign origin', (whole) => ({ ...whole, headers: { ...whole.headers, origin: 'https://evil.example' } })],
    ['as text/plain', (whole) => ({ ...whole, headers: { ...whole.headers, 'content-type': 'text/plain' } })],
  ])('changes nothing by a form %s (AP-13)', async (_what, spoil) => {
    const { session } = await acting();
    const browser = await signedIn();
    const other = tokenIn((await (await signedIn()).get(place())).body);
    const refused = await send(spoil(await post(browser, session, 'end'), other));
    expect([refused.status, alertOf(refused.text)]).toEqual([
      400,
      'That did not come from this page as it is now, so nothing has changed. Please choose here.',
    ]);
    expect(await statusOf(session)).toBe('active');
  });

  it('is no GET, and an address below that there is not is not found', async () => {
    const { session } = await acting();
    const browser = await signedIn();
    const headers = { cookie: browser.cookieHeader(place()) };
    const got = await request(`${place()}/sessions/${session}?action=end`, { headers });
    expect([got.status, got.headers.get('allow')]).toEqual([405, 'POST']);
    expect((await request(`${place()}/unknown`, { headers })).status).toBe(404);
    expect(await statusOf(session)).toBe('active');
  });
});
