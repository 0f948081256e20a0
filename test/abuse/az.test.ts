import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { type AskingWorld, startAskingWorld } from '../support/asking-world.js';
import { Browser as PlainBrowser } from '../support/browser.js';
import { hasChromium, inChromium, launch, ON_A_PHONE, visit } from '../support/chromium.js';
import { ALICE, BOB, close, type Employee, listen } from '../support/company.js';
import { change } from './sign-in.js';

/** A site of somebody else, whose pages each test writes, and all that was asked of it. */
let evil: string;
let content = '';
const visits: string[] = [];
let site: Server;
/** The agent on the person's own machine, and where it waits for the code. */
let agent: Server;
let callbackOf: string;
let world: AskingWorld;
let browser: Browser | undefined;
beforeAll(async () => {
  world = await startAskingWorld();
  site = createServer((request, response) => {
    if (request.url !== '/favicon.ico') visits.push(request.url ?? '');
    response.setHeader('content-type', 'text/html');
    response.end(content);
  });
  evil = await listen(site);
  agent = createServer((_request, response) => response.end('back at the agent'));
  callbackOf = `${await listen(agent)}/callback`;
  await change(world, world.a1.id, (one) => ({ ...one, redirect_uris: [callbackOf] }));
  if (hasChromium) browser = await launch();
}, 60_000);
afterAll(async () => {
  await browser?.close();
  await close(site);
  await close(agent);
  await world.close();
  expect(world.faults).toEqual([]);
});

const somebody = async (): Promise<Page> => {
  if (browser === undefined) throw new Error('no Chromium');
  return (await visit(browser, ON_A_PHONE)).page;
};

const link = (more: Record<string, string> = {}): string => {
  const query = new URLSearchParams({
    ...{ client_id: world.a1.id, redirect_uri: callbackOf, response_type: 'code', state: 'state', scope: 'repo:read' },
    ...{
      code_challenge: createHash('sha256').update('v'.repeat(43)).digest('base64url'),
      code_challenge_method: 'S256',
    },
    ...more,
  });
  return `${world.issuer}/auth?${query.toString()}`;
};
const titleOf = async (page: Page): Promise<string | null> => page.textContent('h1');
const atCompany = async (page: Page): Promise<void> => {
  const button = page.locator('button:has-text("Sign in at The Company")');
  if ((await button.count()) > 0) await button.click();
  await page.waitForSelector('[name=password]');
};
const enter = async (page: Page, { email, password }: Employee): Promise<void> => {
  await page.fill('[name=email]', email);
  await page.fill('[name=password]', password);
  await page.click('button');
};
/** The engine's cookie of a sign-in. */
const sessionOf = async (context: BrowserContext): Promise<string | undefined> =>
  (await context.cookies(world.issuer)).find(({ name }) => name.endsWith('writ_session'))?.value;
/** Whether this browser is somebody at Writ, at either of its two doors. */
const isNobody = async (page: Page): Promise<boolean> => {
  await page.goto(world.place);
  return (await titleOf(page)) === 'Sign in to Writ';
};

inChromium('the code flow, where the browser is the attacker’s or led by one', () => {
  it.each<[string, () => string]>([
    ['another host', () => 'https://evil.example/callback'],
    ['another site of the same machine', () => `${evil}/callback`],
    ['a host that only begins like it', () => callbackOf.replace('/callback', '.evil.example/callback')],
    ['a user name before another host', () => callbackOf.replace('/callback', '@evil.example/callback')],
    ['a path that climbs', () => `${callbackOf}/..;/evil`],
    ['backslashes', () => callbackOf.replace('/callback', '\\\\@evil.example/callback')],
    ['a script', () => 'javascript:alert(1)'],
    ['a fragment', () => `${callbackOf}#evil`],
  ])('AZ-01, AZ-02 never sends it to %s', async (_what, redirectUri) => {
    const page = await somebody();
    const answer = await page.goto(link({ redirect_uri: redirectUri() }));
    expect([answer?.status(), new URL(page.url()).origin]).toEqual([400, new URL(world.issuer).origin]);
    await page.context().close();
  });

  it('AZ-04 answers by the query alone: no form is posted for anybody', async () => {
    const page = await somebody();
    await page.goto(link({ response_mode: 'form_post.jwt' }));
    expect(page.url().split('&')[0]).toBe(`${callbackOf}?error=unsupported_response_mode`);
    expect(await page.locator('form').count()).toBe(0);
    await page.context().close();
  });

  it('AZ-14 a sign-in that somebody else began goes on in no other browser, and the id of a session is another after it', async () => {
    const [attacker, victim] = [await somebody(), await somebody()];
    await attacker.goto(link());
    await atCompany(attacker);
    await enter(attacker, BOB);
    await attacker.waitForURL(/\/interaction\//);
    const begun = attacker.url();
    const answer = await victim.goto(begun);
    expect([answer?.status(), await titleOf(victim)]).toEqual([400, 'This page is not valid any more']);
    await victim.goto(link());
    const before = await sessionOf(victim.context());
    await atCompany(victim);
    await enter(victim, ALICE);
    await victim.waitForURL(/\/interaction\//);
    await victim.click('button[value=allow]');
    await victim.waitForURL(`${callbackOf}**`);
    const after = await sessionOf(victim.context());
    expect(after).toBeDefined();
    expect(after).not.toBe(before);
    for (const page of [attacker, victim]) await page.context().close();
  });

  it('AZ-16 what the company is asked in one browser is not answered for it in another', async () => {
    const [attacker, victim] = [await somebody(), await somebody()];
    const upstream: string[] = [];
    attacker.on('request', (request) => {
      if (request.url().startsWith(`${world.company.issuer}/auth?`)) upstream.push(request.url());
    });
    await attacker.goto(link());
    await atCompany(attacker);
    await victim.goto(upstream[0] ?? '');
    await enter(victim, ALICE);
    await victim.waitForURL(/\/interaction\/callback\//);
    expect(await titleOf(victim)).toBe('This page is not valid any more');
    expect(await isNobody(victim)).toBe(true);
    await attacker.goto(link({ prompt: 'none' }));
    expect(attacker.url()).toContain('error=login_required');
    for (const page of [attacker, victim]) await page.context().close();
  });

  it('AZ-20 nobody is signed in as somebody else by an address that another site sends them to', async () => {
    const [attacker, victim] = [new PlainBrowser(), await somebody()];
    const form = await attacker.get(link());
    const { email, password } = BOB;
    const stopped = await attacker.submit(form, { email, password }, `${world.issuer}/interaction/callback/company`);
    const callback = stopped.url;
    expect(new URL(callback).searchParams.has('code')).toBe(true);
    content = `<script>location = ${JSON.stringify(callback)}</script>`;
    await victim.goto(evil);
    await victim.waitForURL(/interaction/);
    expect(await titleOf(victim)).toBe('This page is not valid any more');
    expect(await isNobody(victim)).toBe(true);
    await victim.context().close();
  });

  it.each(['//evil', '/\\evil', '\\\\evil', 'https://evil'])(
    'AZ-20 and whoever signs in by a form of another site that says to %s is sent nowhere else',
    async (start) => {
      const page = await somebody();
      const { host } = new URL(evil);
      const to = start.replace('evil', host);
      content = `<form method="post" action="${world.place}/sign-in"><input name="provider" value="company">
        <input name="to" value="${to}"><input name="return_to" value="${to}"></form><script>document.forms[0].submit()</script>`;
      visits.length = 0;
      await page.goto(evil);
      await page.waitForURL(`${world.issuer}/**`);
      expect(visits).toEqual(['/']);
      expect(await titleOf(page)).toBe('Sign in to Writ');
      expect(await page.locator('[role=alert]').textContent()).toContain('did not come from this page');
      expect(await isNobody(page)).toBe(true);
      await page.context().close();
    },
  );
});
