import { afterAll, beforeAll, expect, it } from '@jest/globals';
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
import { authorizationOf, type LocalWorld, RETURN, startLocalWorld } from '../support/local-world.js';

const world: LocalWorld | undefined = hasChromium ? await startLocalWorld() : undefined;
let browser: Browser | undefined;
beforeAll(async () => {
  if (hasChromium) browser = await launch();
}, 60_000);
afterAll(() => browser?.close());

function visit(look: Look): Promise<Visit> {
  if (browser === undefined) throw new Error(MISSING);
  return visitBy(browser, look);
}

async function invitation(): Promise<string> {
  const { body } = (await world?.admin('POST', '/persons', { name: 'Ada Lovelace', email: 'ada@example.com' })) ?? {};
  return (body as { link: string }).link;
}

const link = async (): Promise<string> => (world === undefined ? '' : (await authorizationOf(world)).link);

inChromium('local accounts, in Chromium', () => {
  it.each(LOOKS)('on a $name in $colours colours a person makes a passkey and signs in with it', async (looks) => {
    const { page, complaints, device, look } = await visit(looks);
    await page.goto(await invitation());
    expect(await look('enrol')).toEqual([]);
    await page.click('button:has-text("Make a passkey")');
    await page.waitForSelector('h1:has-text("Your passkey is ready")');
    expect(await device.keys()).toBe(1);
    expect(await look('enrolled')).toEqual([]);
    await page.goto(await link());
    expect(await look('sign-in')).toEqual([]);
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.waitForSelector('h1:has-text("to act for you?")');
    expect(await page.textContent('main')).toContain('Ada Lovelace');
    const back = page.waitForRequest((request) => request.url().startsWith(RETURN));
    await page.click('button:has-text("Allow")');
    expect(new URL((await back).url()).searchParams.get('code')).toMatch(/^[\w-]{43}$/);
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  it('whose device does not verify them is told so, and can try again', async () => {
    const { page, complaints, device, look } = await visit(ON_A_PHONE);
    await device.verifies(false);
    await page.goto(await invitation());
    await page.click('button:has-text("Make a passkey")');
    await page.waitForSelector('[role=alert]:visible');
    expect(await page.textContent('[role=alert]')).toBe('No passkey was used. You can try again.');
    expect(await look('enrol-failed')).toEqual([]);
    await device.verifies(true);
    await page.click('button:has-text("Make a passkey")');
    await page.waitForSelector('h1:has-text("Your passkey is ready")');
    expect(complaints).toEqual([]);
    await page.context().close();
  });
});
