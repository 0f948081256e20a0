import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { leafFlaws } from '../../src/audit/index.js';
import { sha256 } from '../../src/protocol/index.js';
import { change, renewal, type SignInWorld, startSignInWorld } from '../abuse/sign-in.js';
import { OWNER } from '../support/accountable.js';
import { Browser, type Seen } from '../support/browser.js';
import { ALICE, BOB, type Employee } from '../support/company.js';
import { bearerAssertion, type Reply, request, tokenOf, type Tokens, tokensOf } from '../support/writ.js';

let world: SignInWorld;
beforeAll(async () => {
  world = await startSignInWorld();
  for (const { id } of [world.a1, world.a2])
    await change(world, id, (agent) => ({ ...agent, name: id === world.a1.id ? 'Planner' : 'Writer' }));
  const { prisma } = world.writ.database;
  await prisma.$executeRawUnsafe(`UPDATE person SET attributes = '{"name":"Olivia Owner"}' WHERE id = '${OWNER}'`);
}, 60_000);
afterAll(async () => {
  await world.writ.flush();
  const leaves = await world.writ.database.prisma.logLeaf.findMany({ select: { leaf: true } });
  await world.close();
  expect(leaves.flatMap(({ leaf }) => leafFlaws(leaf))).toEqual([]);
  expect(world.faults).toEqual([]);
});

const place = (): string => `${world.issuer}/approvals`;
const list = (): string => `${place()}/consents`;
const titleOf = ({ body }: Pick<Seen, 'body'>): string | undefined => /<h1>([^<]*)<\/h1>/.exec(body)?.[1];
const alertOf = (body: string): string | undefined => /role="alert"[^>]*>\s*([^<]*?)\s*</.exec(body)?.[1];
const tokenIn = (body: string): string => /name="token" value="([^"]*)"/.exec(body)?.[1] ?? '';
const consentsIn = (body: string): readonly string[] =>
  [...body.matchAll(/action="[^"]*\/approvals\/consents\/([^"]*)"/g)].map(([, id = '']) => id);

async function signedIn(employee: Employee = ALICE): Promise<Browser> {
  const browser = new Browser();
  const atCompany = await browser.submit(await browser.get(place()), {});
  const back = await browser.submit(atCompany, { email: employee.email, password: employee.password });
  expect([back.url, titleOf(back)]).toEqual([place(), 'Approvals']);
  return browser;
}

type Held = Readonly<{ tokens: Tokens; grant: string; token: string; session: string; person: string }>;

/** What an agent holds by a consent of its own for this person. */
async function allowed(employee: Employee = ALICE, parameters: Record<string, string> = {}): Promise<Held> {
  const code = await world.codeFor(world.a1, { prompt: 'consent', ...parameters }, employee, new Browser());
  const tokens = tokensOf(await world.post('/token', await world.codeForm(code, world.a1)));
  const claims = claimsOf(tokens.access_token) as { writ: { grant: string } };
  const token = tokenOf(await world.exchange({ subject_token: tokens.access_token }));
  const { sub, writ } = claimsOf(token) as { sub: string; writ: { session: string } };
  return { tokens, grant: claims.writ.grant, token, session: writ.session, person: sub };
}

const claimsOf = (jwt: string): unknown => JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString());
const STAYS = { scope: 'openid offline_access repo:read repo:write' };

const isActive = async (token: string): Promise<boolean> => {
  const form = { ...(await bearerAssertion(world.issuer, world.rs1)), token };
  return ((await world.post('/introspect', form)).body as { active: boolean }).active;
};
const sessionOf = async (id: string): Promise<unknown> => (await world.admin('GET', `/sessions/${id}`)).body;

type Post = Readonly<{ id: string; form: Record<string, string>; headers: Record<string, string> }>;
const send = ({ id, form, headers }: Post): Promise<Reply> =>
  request(`${list()}/${id}`, { method: 'POST', headers, body: new URLSearchParams(form), redirect: 'manual' });
async function post(browser: Browser, id: string): Promise<Post> {
  const { body } = await browser.get(place());
  return { id, form: { token: tokenIn(body) }, headers: { cookie: browser.cookieHeader(place()) } };
}
const revoke = async (browser: Browser, id: string): Promise<Reply> => send(await post(browser, id));

/** Every consent that is shown, page by page. */
async function all(browser: Browser): Promise<string> {
  let text = '';
  for (let next: string | undefined = list(); next !== undefined;) {
    const { body } = await browser.get(next);
    expect(Buffer.byteLength(body)).toBeLessThan(30_000);
    text += body;
    next = /href="([^"]*consents\?after=[^"]*)"/.exec(body)?.[1];
  }
  return text;
}

describe('what a person has allowed, at /approvals', () => {
  it('says to whom, who answers for it, with what and until when; and nothing of others', async () => {
    const [mine, bobs] = [await allowed(ALICE, STAYS), await allowed(BOB, STAYS)];
    const { body } = await (await signedIn()).get(place());
    expect(body).toContain('What I have allowed');
    expect(consentsIn(body)).toContain(mine.grant);
    expect(consentsIn(body)).not.toContain(bobs.grant);
    const one = body.slice(body.indexOf('What I have allowed'));
    for (const part of ['Planner', 'Olivia Owner', 'It may also go on while you are away.', 'repo:read, repo:write'])
      expect(one).toContain(part);
    expect(body).not.toContain(OWNER);
  });

  it('names the tools by their sentences where only some of them were left', async () => {
    const page = await consentPageFor(STAYS.scope);
    const places = [...page.body.matchAll(/name="tool" value="(\d+)"/g)].map(([, one = '']) => one);
    expect(places.length).toBeGreaterThan(1);
    const [first = ''] = [...page.body.matchAll(/<span>\s*([^<]*?)\s*<span class="small soft"/g)].map(
      ([, one = '']) => one,
    );
    await page.allow([places[0] ?? '']);
    const shown = (await (await signedIn()).get(list())).body;
    expect(/<dt>Only<\/dt>\s*<dd>([^<]*)<\/dd>/.exec(shown)?.[1]).toBe(first);
  });

  /** The consent page of an agent for Alice, and how a part of it is allowed. */
  async function consentPageFor(scope: string): Promise<Seen & { allow(tools: readonly string[]): Promise<void> }> {
    const browser = new Browser();
    const query = new URLSearchParams({
      ...{ client_id: world.a2.id, redirect_uri: 'http://127.0.0.1:7999/callback', response_type: 'code', scope },
      ...{ state: 's', code_challenge: sha256('v'.repeat(43)), code_challenge_method: 'S256', prompt: 'consent' },
    });
    const atCompany = await browser.get(`${world.issuer}/auth?${query.toString()}`);
    const page = await browser.submit(atCompany, { email: ALICE.email, password: ALICE.password });
    const allow = async (tools: readonly string[]): Promise<void> => {
      const [, action = ''] = /<form method="post" action="([^"]*consent)"/.exec(page.body) ?? [];
      const form = new URLSearchParams({ token: tokenIn(page.body), decision: 'allow', lasts: '3600' });
      for (const one of tools) form.append('tool', one);
      const said = await request(action, {
        ...{ method: 'POST', redirect: 'manual', body: form },
        headers: { cookie: browser.cookieHeader(action) },
      });
      expect([said.status, titleOf({ body: said.text })]).toEqual([200, 'One moment']);
    };
    return { ...page, allow };
  }

  it('leaves out what is over: an agent that does not stay signed in, once its token is', async () => {
    const { grant } = await allowed();
    const browser = await signedIn();
    expect(await all(browser)).toContain(grant);
    await world.writ.database.prisma.$executeRawUnsafe(
      `UPDATE engine_record SET payload = jsonb_set(payload, '{iat}', to_jsonb((payload ->> 'iat')::int - 86400)) WHERE grant_id = '${grant}'`,
    );
    expect(await all(browser)).not.toContain(grant);
  });

  it('goes on by links, however much it is', async () => {
    const { grant } = await allowed(BOB, STAYS);
    await world.writ.database.prisma.$executeRawUnsafe(
      `INSERT INTO engine_record (key, model, payload, grant_id, expires_at)
       SELECT 'many' || n, model, jsonb_set(payload, '{iat}', to_jsonb((payload ->> 'iat')::int - n / 3)),
         rpad('many' || n, 43, '_'), expires_at
       FROM engine_record, generate_series(1, 100) AS n WHERE grant_id = '${grant}' AND model = 'Grant'`,
    );
    const browser = await signedIn(BOB);
    const { body } = await browser.get(place());
    expect(Buffer.byteLength(body)).toBeLessThan(30_000);
    expect(body).toContain(`href="${list()}"`);
    const shown = consentsIn(await all(browser));
    expect([shown.length, new Set(shown).size]).toEqual([shown.length, shown.length]);
    for (let n = 1; n <= 100; n++) expect(shown).toContain(`many${String(n)}`.padEnd(43, '_'));
    await world.writ.database.prisma.$executeRawUnsafe(`DELETE FROM engine_record WHERE key LIKE 'many%'`);
  });
});

describe('POST /approvals/consents/:id', () => {
  it('ends at once what came of it, said by the person, on the record; and nothing else', async () => {
    const [taken, kept] = [await allowed(ALICE, STAYS), await allowed(ALICE, STAYS)];
    const browser = await signedIn();
    const done = await revoke(browser, taken.grant);
    expect([done.status, done.headers.get('location')]).toEqual([303, list()]);
    expect([await isActive(taken.token), await isActive(kept.token)]).toEqual([false, true]);
    expect(await sessionOf(taken.session)).toMatchObject({
      ...{ status: 'ended', ended_by: taken.person, ended_reason: 'the person took it back' },
    });
    expect(await sessionOf(kept.session)).toMatchObject({ status: 'active' });
    const renewed = await world.post('/token', await renewal(world, taken.tokens.refresh_token));
    expect([renewed.status, (renewed.body as { error: string }).error]).toEqual([400, 'invalid_grant']);
    expect((await world.exchange({ subject_token: taken.tokens.access_token })).status).toBe(400);
    expect((await world.exchange({ subject_token: kept.tokens.access_token })).status).toBe(200);
    const [record] = await factsOf(taken.grant);
    expect(record).toEqual({
      ...{ what: 'scope', kind: 'consent', id: taken.grant, number: expect.any(Number), by: taken.person },
      ...{ sessions: 1, consents: 1 },
    });
    const shown = consentsIn(await all(browser));
    expect([shown.includes(taken.grant), shown.includes(kept.grant)]).toEqual([false, true]);
  });

  const factsOf = async (grant: string): Promise<readonly unknown[]> =>
    (await world.writ.database.prisma.logLeaf.findMany({ where: { kind: 'revocation' }, select: { leaf: true } }))
      .map(({ leaf }) => (JSON.parse(Buffer.from(leaf).toString()) as { facts: { id?: string } }).facts)
      .filter(({ id }) => id === grant);

  it('says a second time that it has changed, and of two at once one does it', async () => {
    const { grant } = await allowed();
    const [browser, another] = [await signedIn(), await signedIn()];
    const posts = [await post(browser, grant), await post(another, grant)];
    const answers = await Promise.all(posts.map(send));
    expect(answers.map(({ status }) => status).sort()).toEqual([303, 409]);
    expect(await factsOf(grant)).toHaveLength(1);
    const again = await revoke(browser, grant);
    expect([again.status, alertOf(again.text)]).toEqual([
      409,
      'That has changed meanwhile, so nothing was done. This is how it stands now.',
    ]);
  });

  it("takes back nothing of another person's, and answers it as what is gone", async () => {
    const { grant, token } = await allowed(BOB);
    const browser = await signedIn();
    const [theirs, nobodys] = [await revoke(browser, grant), await revoke(browser, 'x'.repeat(43))];
    expect([theirs.status, theirs.text]).toEqual([409, nobodys.text]);
    expect(await isActive(token)).toBe(true);
    expect(await factsOf(grant)).toEqual([]);
  });

  it.each<[string, (post: Post, token: string) => Post]>([
    ['without its token', (whole) => ({ ...whole, form: {} })],
    ['with a token that is none', (whole) => ({ ...whole, form: { token: 'forged' } })],
    ["with another sign-in's token", (whole, token) => ({ ...whole, form: { token } })],
    ['of another site', (whole) => ({ ...whole, headers: { ...whole.headers, 'sec-fetch-site': 'cross-site' } })],
    ['of a foreign origin', (whole) => ({ ...whole, headers: { ...whole.headers, origin: 'https://evil.example' } })],
    ['as text/plain', (whole) => ({ ...whole, headers: { ...whole.headers, 'content-type': 'text/plain' } })],
  ])('changes nothing by a form %s (AP-13)', async (_what, spoil) => {
    const { grant, token } = await allowed();
    const browser = await signedIn();
    const other = tokenIn((await (await signedIn()).get(place())).body);
    const refused = await send(spoil(await post(browser, grant), other));
    expect([refused.status, alertOf(refused.text)]).toEqual([
      400,
      'That did not come from this page as it is now, so nothing has changed. Please choose here.',
    ]);
    expect(await isActive(token)).toBe(true);
  });

  it('is no GET, and asks whoever is not signed in to sign in first', async () => {
    const { grant, token } = await allowed();
    const got = await request(`${list()}/${grant}`, {});
    expect([got.status, got.headers.get('allow')]).toEqual([405, 'POST']);
    const { form } = await post(await signedIn(), grant);
    const refused = await send({ id: grant, form, headers: {} });
    expect(titleOf({ body: refused.text })).toBe('Sign in to Writ');
    expect(titleOf({ body: (await request(list(), {})).text })).toBe('Sign in to Writ');
    expect(await isActive(token)).toBe(true);
  });
});
