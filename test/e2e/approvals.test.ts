import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { type Browser, chromium } from 'playwright-core';
import { type SignInWorld, startSignInWorld } from '../abuse/sign-in.js';
import { ALICE } from '../support/company.js';
import { tokenOf, tokensOf } from '../support/writ.js';

const CHROMIUM = process.env['WRIT_CHROMIUM'] ?? '/usr/bin/chromium';
const MISSING = `Pages are not looked at: no Chromium at ${CHROMIUM} (WRIT_CHROMIUM names another one).`;
const hasChromium = existsSync(CHROMIUM);
if (!hasChromium && process.env['CI'] === 'true') throw new Error(MISSING);
if (!hasChromium) process.stderr.write(`${MISSING}\n`);

/** With a folder given, every page that is looked at is also kept there as a picture. */
const PICTURES = process.env['WRIT_TEST_PICTURES'];
const LOOKS = [
  ['phone', 'light', { width: 390, height: 844 }],
  ['phone', 'dark', { width: 390, height: 844 }],
  ['desktop', 'light', { width: 1280, height: 900 }],
  ['desktop', 'dark', { width: 1280, height: 900 }],
] as const;

let world: SignInWorld;
let browser: Browser;
beforeAll(async () => {
  if (!hasChromium) return;
  world = await startSignInWorld();
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
}, 60_000);
afterAll(async () => {
  if (!hasChromium) return;
  await browser.close();
  await world.close();
});

async function acting(): Promise<string> {
  const code = await world.codeFor(world.a1, { prompt: 'consent' });
  const tokens = tokensOf(await world.post('/token', await world.codeForm(code, world.a1)));
  const token = tokenOf(await world.exchange({ subject_token: tokens.access_token }));
  return decodeJwt<{ writ: { session: string } }>(token).writ.session;
}

const statusOf = async (session: string): Promise<unknown> =>
  ((await world.admin('GET', `/sessions/${session}`)).body as { status: string }).status;

(hasChromium ? describe : describe.skip)('/approvals, in Chromium', () => {
  it.each(LOOKS)(
    'on a %s in %s colours a person without script stops an agent',
    async (name, colorScheme, viewport) => {
      const session = await acting();
      const context = await browser.newContext({ viewport, colorScheme, javaScriptEnabled: false });
      const page = await context.newPage();
      const complaints: string[] = [];
      page.on('console', (message) => {
        if (/Content Security Policy|Refused/.test(message.text())) complaints.push(message.text());
      });
      const look = async (what: string): Promise<void> => {
        const { width = 0 } = (await page.locator('main').boundingBox()) ?? {};
        expect(width).toBeLessThanOrEqual(viewport.width);
        if (PICTURES !== undefined)
          await page.screenshot({ path: `${PICTURES}/approvals-${what}-${name}-${colorScheme}.png`, fullPage: true });
      };
      await page.goto(`${world.issuer}/approvals`);
      await look('sign-in');
      await page.keyboard.press('Tab');
      await page.keyboard.press('Enter');
      await page.fill('[name=email]', ALICE.email);
      await page.fill('[name=password]', ALICE.password);
      await page.keyboard.press('Enter');
      await page.waitForSelector('h1:has-text("Approvals")');
      await look('acting');
      const mine = page.locator(`form[action$="${session}"]`);
      for (const [button, status] of [
        ['pause', 'paused'],
        ['resume', 'active'],
        ['end', 'ended'],
      ] as const) {
        await mine.locator(`button[value=${button}]`).focus();
        await Promise.all([page.waitForEvent('domcontentloaded'), page.keyboard.press('Enter')]);
        expect(await statusOf(session)).toBe(status);
      }
      await look('ended');
      expect(await mine.count()).toBe(0);
      expect(complaints).toEqual([]);
      await context.close();
    },
  );
});
