import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import type { Browser } from 'playwright-core';
import { type SignInWorld, startSignInWorld } from '../abuse/sign-in.js';
import { hasChromium, inChromium, launch, LOOKS, visit } from '../support/chromium.js';
import { ALICE } from '../support/company.js';
import { tokenOf, tokensOf } from '../support/writ.js';

let world: SignInWorld;
let browser: Browser;
beforeAll(async () => {
  if (!hasChromium) return;
  world = await startSignInWorld();
  browser = await launch();
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

inChromium('/approvals, in Chromium', () => {
  it.each(LOOKS)('on a $name in $colours colours a person without script stops an agent', async (looks) => {
    const session = await acting();
    const { page, complaints, look } = await visit(browser, looks, { javaScriptEnabled: false });
    await page.goto(`${world.issuer}/approvals`);
    expect(await look('approvals-sign-in')).toEqual([]);
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.fill('[name=email]', ALICE.email);
    await page.fill('[name=password]', ALICE.password);
    await page.keyboard.press('Enter');
    await page.waitForSelector('h1:has-text("Approvals")');
    expect(await look('approvals-acting')).toEqual([]);
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
    expect(await look('approvals-ended')).toEqual([]);
    expect(await mine.count()).toBe(0);
    expect(complaints).toEqual([]);
    await page.context().close();
  });
});
