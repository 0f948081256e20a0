import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import { type AskingWorld, startAskingWorld } from '../support/asking-world.js';
import { hasChromium, inChromium, launch, LOOKS, ON_A_PHONE, visit } from '../support/chromium.js';
import { ALICE } from '../support/company.js';

let world: AskingWorld;
let browser: Browser;
beforeAll(async () => {
  if (!hasChromium) return;
  world = await startAskingWorld();
  browser = await launch();
}, 60_000);
afterAll(async () => {
  if (!hasChromium) return;
  await browser.close();
  await world.close();
});

/** By the keyboard alone: the one thing on the page that has this name is reached by Tab, and used. */
async function tabTo(page: Page, selector: string): Promise<void> {
  const wanted = page.locator(selector).and(page.locator(':focus'));
  for (let steps = 0; steps < 40; steps++) {
    await page.keyboard.press('Tab');
    if ((await wanted.count()) > 0) return;
  }
  throw new Error(`no Tab leads to ${selector}`);
}

async function use(page: Page, selector: string): Promise<void> {
  await tabTo(page, selector);
  await page.keyboard.press('Enter');
}

async function signIn(page: Page): Promise<void> {
  await use(page, 'button:has-text("Sign in at The Company")');
  await page.fill('[name=email]', ALICE.email);
  await page.fill('[name=password]', ALICE.password);
  await page.keyboard.press('Enter');
  await page.waitForSelector('h1:not(:has-text("Sign in")):not(:has-text("One moment"))');
}

const LONG = `Dear Bob,\n\nplease find the figures below.\u00A0\n${'A line of figures: 1, 2, 3, 5, 8, 13.\n'.repeat(12)}`;

inChromium('approving a call, in Chromium', () => {
  it.each(LOOKS)('on a $name in $colours colours, by the keyboard alone', async (looks) => {
    await world.nothingWaits();
    const { page, complaints, device, look } = await visit(browser, looks);
    const flaws: string[] = [];
    const seen = async (what: string): Promise<void> => {
      flaws.push(...(await look(`approval-${what}`)));
    };
    const plain = await world.ask({
      path: '/home/alice/letters/bob.txt',
      text: LONG,
      mode: { create: true, bits: 420 },
    });
    await page.goto(plain.page);
    await seen('sign-in');
    await signIn(page);
    expect(page.url()).toBe(plain.page);
    await seen('one-call');
    await use(page, 'button:has-text("Approve once")');
    await page.waitForSelector('h1:has-text("Approved")');
    await seen('approved');
    expect((await world.poll(plain)).status).toBe(200);

    const next = await world.ask({
      path: '/home/alice/letters/bob.txt',
      text: 'Dear B\u200Bob',
      at: `rm ${looks.name} ${looks.colours}`,
    });
    const grave = await world.ask({ repo: 'writ' }, { name: 'delete_repo' });
    await use(page, 'a:has-text("All that waits")');
    await page.waitForSelector('h2:has-text("What waits for me")');
    await seen('list');
    await use(page, `a[href="${next.page}"]`);
    await page.waitForSelector('h1:has-text("Approve this one call?")');
    await seen('difference');
    await use(page, 'button:has-text("Deny"):not(:has-text("pause"))');
    await page.waitForSelector('h1:has-text("Denied")');
    await seen('denied');
    expect((await world.held(next)).state).toBe('refused');

    await page.goto(grave.page);
    if ((await page.locator('a:has-text("Make a passkey")').count()) > 0) {
      await seen('passkey-first');
      await use(page, 'a:has-text("Make a passkey")');
      await page.waitForSelector('h1:has-text("Make your passkey")');
      await seen('make-passkey');
    } else {
      // Each look is another device: the person's passkey is made anew.
      await world.forgetPasskeys();
      await page.goto(`${world.place}/passkey`);
    }
    await use(page, 'button:has-text("Make a passkey")');
    await page.waitForSelector('h1:has-text("Your passkey is ready")');
    await seen('passkey-ready');
    expect(await device.keys()).toBe(1);
    await page.goto(grave.page);
    await seen('grave');
    await tabTo(page, '[name=number]');
    await page.keyboard.type(grave.number);
    await use(page, 'button:has-text("Approve once with your passkey")');
    await page.waitForSelector('h1:has-text("Approved")');
    expect((await world.poll(grave)).status).toBe(200);
    expect(complaints).toEqual([]);
    expect(flaws).toEqual([]);
    await page.context().close();
  });

  it('without script all but the passkey works', async () => {
    await world.nothingWaits();
    const asked = await world.ask({ path: '/tmp/plain' });
    const { page, look } = await visit(browser, ON_A_PHONE, { javaScriptEnabled: false });
    await page.goto(asked.page);
    await signIn(page);
    await page.click('button:has-text("Approve once")');
    await page.waitForSelector('h1:has-text("Approved")');
    expect(await look('approval-without-script')).toEqual([]);
    expect((await world.held(asked)).state).toBe('granted');
    await page.context().close();
  });

  it('a device that does not verify its person approves nothing', async () => {
    await world.nothingWaits();
    const asked = await world.ask({ repo: 'writ' }, { name: 'delete_repo' });
    const { page, device, look } = await visit(browser, ON_A_PHONE);
    await world.forgetPasskeys();
    await page.goto(`${world.place}/passkey`);
    await signIn(page);
    await page.click('button:has-text("Make a passkey")');
    await page.waitForSelector('h1:has-text("Your passkey is ready")');
    await device.verifies(false);
    await page.goto(asked.page);
    await page.fill('[name=number]', asked.number);
    await page.click('button:has-text("Approve once with your passkey")');
    await page.waitForSelector('[role=alert]:visible');
    expect(await page.textContent('[role=alert]')).toBe('No passkey was used. You can try again.');
    expect(await look('approval-not-verified')).toEqual([]);
    expect((await world.held(asked)).state).toBe('asked');
    await device.verifies(true);
    await page.click('button:has-text("Approve once with your passkey")');
    await page.waitForSelector('h1:has-text("Approved")');
    await page.context().close();
  });
});
