import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createServer, type Server } from 'node:http';
import { type Browser, chromium, type Page } from 'playwright-core';
import { ALICE, close, listen } from '../support/company.js';
import type { ToolInput } from '../../src/registry/index.js';
import { freshDatabase, type TestDatabase } from '../support/databases.js';
import { authorizationLink, startWrit, TestAgent, type Writ } from '../support/engine.js';
import { reviewedTool } from '../support/tools.js';

const CHROMIUM = process.env['WRIT_CHROMIUM'] ?? '/usr/bin/chromium';
const MISSING = `Pages are not looked at: no Chromium at ${CHROMIUM} (WRIT_CHROMIUM names another one).`;
const hasChromium = existsSync(CHROMIUM);
if (!hasChromium && process.env['CI'] === 'true') throw new Error(MISSING);
if (!hasChromium) process.stderr.write(`${MISSING}\n`);

/** With a folder given, every page that is looked at is also kept there as a picture. */
const PICTURES = process.env['WRIT_TEST_PICTURES'];
const SIZES = [
  ['desktop', { width: 1280, height: 900 }],
  ['phone', { width: 390, height: 844 }],
] as const;

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
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
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

type Visit = Readonly<{ page: Page; complaints: string[] }>;

/** Opens the agent's link and signs in at the company, in a fresh profile. */
async function visit(size: Readonly<{ width: number; height: number }>, javaScriptEnabled = true): Promise<Visit> {
  if (browser === undefined) throw new Error(MISSING);
  const context = await browser.newContext({ viewport: size, javaScriptEnabled });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (/Content Security Policy|Refused/.test(message.text())) complaints.push(message.text());
  });
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
  return { page, complaints };
}

async function picture(page: Page, name: string): Promise<void> {
  if (PICTURES !== undefined) await page.screenshot({ path: `${PICTURES}/${name}.png`, fullPage: true });
}

(hasChromium ? describe : describe.skip)('pages for people, in Chromium', () => {
  it.each(SIZES)('the consent page fits a %s and its style is applied', async (name, size) => {
    const { page, complaints } = await visit(size);
    await picture(page, `consent-${name}`);
    const width = await page.evaluate('document.documentElement.scrollWidth');
    expect(width).toBeLessThanOrEqual(size.width);
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
    const { page, complaints } = await visit(SIZES[1][1], script);
    await page.click(`button:has-text("${button}")`);
    await page.waitForURL(`${redirectUri}?**`);
    expect(page.url()).toMatch(wanted);
    expect(await page.textContent('body')).toBe('back at the agent');
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  it('what the person unticks is not granted, and with nothing left the page asks again', async () => {
    const { page, complaints } = await visit(SIZES[1][1], false);
    const boxes = page.locator('input[name=tool]');
    expect(await boxes.count()).toBe(4);
    for (let place = 0; place < 4; place++) await boxes.nth(place).uncheck();
    await page.click('button:has-text("Allow")');
    expect(await page.textContent('[role=alert]')).toContain('nothing is left');
    await picture(page, 'consent-nothing-left-phone');
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

  it.each(SIZES)(
    'the pages of a sign-out fit a %s, and end the sign-in that the consent page links from',
    async (name, size) => {
      const { page, complaints } = await visit(size, false);
      await page.click('a:has-text("Sign out")');
      expect(await page.textContent('h1')).toBe('Sign out');
      await picture(page, `sign-out-${name}`);
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(size.width);
      await page.click('button:has-text("Sign out here")');
      expect(await page.textContent('h1')).toBe('You are signed out');
      await picture(page, `signed-out-${name}`);
      const cookies = await page.context().cookies(writ.issuer);
      expect(cookies.map(({ name: cookie }) => cookie).filter((cookie) => cookie.startsWith('writ_session'))).toEqual(
        [],
      );
      await page.goto(`${writ.issuer}/sign-out`);
      expect(await page.textContent('h1')).toBe('You are not signed in here');
      await picture(page, `not-signed-in-${name}`);
      expect(complaints).toEqual([]);
      await page.context().close();
    },
  );

  it.each(SIZES)('the error page fits a %s', async (name, size) => {
    if (browser === undefined) throw new Error(MISSING);
    const page = await (await browser.newContext({ viewport: size })).newPage();
    const { link } = await authorizationLink(writ, agent, { redirect_uri: 'https://evil.example/' });
    await page.goto(link);
    await picture(page, `error-${name}`);
    expect(await page.textContent('h1')).toBe('This request cannot be used');
    expect(await page.content()).not.toContain('evil.example');
    await page.context().close();
  });
});
