import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { createServer, type Server } from 'node:http';
import type { Browser } from 'playwright-core';
import {
  hasChromium,
  inChromium,
  launch,
  type Look,
  LOOKS,
  MISSING,
  ON_A_PHONE,
  visit as visitBy,
  type Visit,
} from '../support/chromium.js';
import { ALICE, close, listen } from '../support/company.js';
import type { ToolInput } from '../../src/registry/index.js';
import { freshDatabase, type TestDatabase } from '../support/databases.js';
import { authorizationLink, startWrit, TestAgent, type Writ } from '../support/engine.js';
import { reviewedTool } from '../support/tools.js';

const TOOLS: readonly ToolInput[] = [
  reviewedTool('list_files', { scopes: ['files:read'], tier: 'low', action: 'read' }),
  { ...reviewedTool('read_file', { scopes: ['files:read'], tier: 'low', action: 'read' }), sentence: 'Read a file' },
  {
    ...reviewedTool('write_file', { scopes: ['files:write'], tier: 'medium', action: 'write' }),
    sentence: 'Write into a file, over what is there',
  },
  {
    ...reviewedTool('delete_repository', { scopes: ['files:write'], tier: 'critical', action: 'delete' }),
    sentence: 'Delete a whole repository with everything in it',
  },
];

let db: TestDatabase;
let writ: Writ;
let callback: Server;
let redirectUri: string;
let agent: TestAgent;
let browser: Browser | undefined;
beforeAll(async () => {
  if (!hasChromium) return;
  browser = await launch();
  callback = createServer((_request, response) => response.end('back at the agent'));
  redirectUri = `${await listen(callback)}/callback`;
  agent = new TestAgent('agt_planner', {
    redirect_uris: [redirectUri],
    budgets: [
      { unit: 'calls', per: 'session', limit: 200 },
      { unit: 'money', per: 'person', limit: '250.00', currency: 'EUR', window_seconds: 86_400 },
    ],
  });
  db = await freshDatabase('embedded');
  writ = await startWrit(db.database, { agents: [agent.registered], tools: TOOLS });
}, 60_000);
afterAll(async () => {
  if (browser === undefined) return;
  await browser.close();
  await Promise.all([writ.stop(), close(callback)]);
  await db.drop();
});

/** Opens the agent's link and signs in at the company, in a fresh profile. */
async function visit(looks: Look, javaScriptEnabled = true): Promise<Visit> {
  const made = await profile(looks, javaScriptEnabled);
  const { page } = made;
  const { link } = await authorizationLink(writ, agent, {
    redirect_uri: redirectUri,
    scope: 'files:read files:write mail:read offline_access',
    prompt: 'consent',
  });
  await page.goto(link);
  await page.fill('[name=email]', ALICE.email);
  await page.fill('[name=password]', ALICE.password);
  await page.click('button');
  await page.waitForSelector('h1:has-text("to act for you?")');
  return made;
}

function profile(looks: Look, javaScriptEnabled = true): Promise<Visit> {
  if (browser === undefined) throw new Error(MISSING);
  return visitBy(browser, looks, { javaScriptEnabled });
}

inChromium('pages for people, in Chromium', () => {
  it.each(LOOKS)('the consent page fits a $name in $colours colours, and its style is applied', async (looks) => {
    const { page, complaints, look } = await visit(looks);
    expect(await look('consent')).toEqual([]);
    expect(await page.evaluate('getComputedStyle(document.querySelector("main")).maxWidth')).toBe('520px');
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  it.each([
    ['Allow', true, /[?&]code=/],
    ['Allow', false, /[?&]code=/],
    ['Deny', true, /[?&]error=access_denied/],
    ['Deny', false, /[?&]error=access_denied/],
  ] as const)('%s takes the person back to the agent (with script: %s)', async (button, script, wanted) => {
    const { page, complaints } = await visit(ON_A_PHONE, script);
    await page.click(`button:has-text("${button}")`);
    await page.waitForURL(`${redirectUri}?**`);
    expect(page.url()).toMatch(wanted);
    expect(await page.textContent('body')).toBe('back at the agent');
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  it('what the person unticks is not granted, and with nothing left the page asks again', async () => {
    const { page, complaints, look } = await visit(ON_A_PHONE, false);
    const boxes = page.locator('input[name=tool]');
    expect(await boxes.count()).toBe(4);
    for (let place = 0; place < 4; place++) await boxes.nth(place).uncheck();
    await page.click('button:has-text("Allow")');
    expect(await page.textContent('[role=alert]')).toContain('nothing is left');
    expect(await look('consent-nothing-left')).toEqual([]);
    await page.locator('input[name=tool]').nth(2).uncheck();
    await page.locator('input[name=tool]').nth(3).uncheck();
    await page.selectOption('select', '3600');
    await page.click('button:has-text("Allow")');
    await page.waitForURL(`${redirectUri}?code=**`);
    const [kept] = await db.database.prisma.engineRecord.findMany({
      where: { model: 'Grant' },
      orderBy: { expiresAt: 'asc' },
    });
    expect(kept?.payload).toMatchObject({
      resources: { [writ.issuer]: 'files:read' },
      rar: [{ identifier: 'list_files' }, { identifier: 'read_file' }],
    });
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  it.each(LOOKS)(
    'the pages of a sign-out fit a $name in $colours colours, and end the sign-in that the consent page links from',
    async (looks) => {
      const { page, complaints, look } = await visit(looks);
      await page.click('a:has-text("Sign out")');
      expect(await page.textContent('h1')).toBe('Sign out');
      expect(await look('sign-out')).toEqual([]);
      await page.click('button:has-text("Sign out here")');
      expect(await page.textContent('h1')).toBe('You are signed out');
      expect(await look('signed-out')).toEqual([]);
      const cookies = await page.context().cookies(writ.issuer);
      expect(cookies.map(({ name: cookie }) => cookie).filter((cookie) => cookie.startsWith('writ_session'))).toEqual(
        [],
      );
      await page.goto(`${writ.issuer}/sign-out`);
      expect(await page.textContent('h1')).toBe('You are not signed in here');
      expect(await look('not-signed-in')).toEqual([]);
      expect(complaints).toEqual([]);
      await page.context().close();
    },
  );

  it.each(LOOKS)('the error page fits a $name in $colours colours', async (looks) => {
    const { page, look } = await profile(looks);
    const { link } = await authorizationLink(writ, agent, { redirect_uri: 'https://evil.example/' });
    await page.goto(link);
    expect(await look('error')).toEqual([]);
    expect(await page.textContent('h1')).toBe('This request cannot be used');
    expect(await page.content()).not.toContain('evil.example');
    await page.context().close();
  });
});
