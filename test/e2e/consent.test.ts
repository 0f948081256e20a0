import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createServer, type Server } from 'node:http';
import { type Browser, chromium, type Page } from 'playwright-core';
import { ALICE, close, listen } from '../support/company.js';
import { freshDatabase, type TestDatabase } from '../support/databases.js';
import { authorizationLink, startWrit, TestAgent, type Writ } from '../support/engine.js';

const CHROMIUM = process.env['WRIT_CHROMIUM'] ?? '/usr/bin/chromium';
const MISSING = `Pages are not looked at: no Chromium at ${CHROMIUM} (WRIT_CHROMIUM names another one).`;
const hasChromium = existsSync(CHROMIUM);
if (!hasChromium && process.env['CI'] === 'true') throw new Error(MISSING);
if (!hasChromium) process.stderr.write(`${MISSING}\n`);

/** With a folder given, every page that is looked at is also kept there as a picture. */
const PICTURES = process.env['WRIT_TEST_PICTURES'];
const SIZES = [
  ['desktop', { width: 1280, height: 900 }],
  ['phone', { width: 375, height: 720 }],
] as const;

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
  agent = new TestAgent('agt_planner', { redirect_uris: [redirectUri] });
  db = await freshDatabase('embedded');
  writ = await startWrit(db.database, { agents: [agent.registered] });
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
