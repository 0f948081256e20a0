import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import { type AskingWorld, startAskingWorld } from '../support/asking-world.js';
import { hasChromium, inChromium, launch, LOOKS, visit } from '../support/chromium.js';
import { ALICE } from '../support/company.js';
import { type LocalWorld, startLocalWorld } from '../support/local-world.js';

const local: LocalWorld | undefined = hasChromium
  ? await startLocalWorld({ env: { WRIT_BREAK_GLASS_PASSWORDS: 'true' } })
  : undefined;
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

const titled = (page: Page, title: string): Promise<unknown> => page.waitForSelector(`h1:has-text("${title}")`);

inChromium('a person’s own places, in Chromium', () => {
  it.each(LOOKS)('what was allowed and what was done, on a $name in $colours colours', async (looks) => {
    await world.nothingWaits();
    await world.codeFor(world.a1, { scope: 'offline_access repo:read repo:write', prompt: 'consent' });
    const asked = await world.ask({ path: `/tmp/${looks.name}/${looks.colours}` });
    const { page, complaints, look } = await visit(browser, looks);
    await page.goto(asked.page);
    await page.click('button:has-text("Sign in at The Company")');
    await page.fill('[name=email]', ALICE.email);
    await page.fill('[name=password]', ALICE.password);
    await page.click('button');
    await page.click('button:has-text("Approve once")');
    await titled(page, 'Approved');
    expect((await world.poll(asked)).status).toBe(200);
    for (const [path, name] of [
      ['', 'own-place'],
      ['/consents', 'own-consents'],
      ['/history', 'own-history'],
    ] as const) {
      const answer = await page.goto(`${world.place}${path}`);
      expect([path, answer?.status()]).toEqual([path, 200]);
      expect(await look(name)).toEqual([]);
    }
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  it.each(LOOKS)('a password for emergencies and its use, on a $name in $colours colours', async (looks) => {
    if (local === undefined) throw new Error('no local accounts');
    const { page, complaints, look } = await visit(browser, looks);
    const email = `grace-${looks.name}-${looks.colours}@example.com`;
    const { body } = await local.admin('POST', '/persons', { name: 'Grace Hopper', email });
    await page.goto((body as { link: string }).link);
    await page.click('button:has-text("Make a passkey")');
    await titled(page, 'Your passkey is ready');
    await page.goto(`${local.issuer}/approvals`);
    await page.click('button:has-text("Sign in with a passkey")');
    await titled(page, 'Approvals');
    await page.click('button:has-text("Make a password")');
    await titled(page, 'Your password for emergencies');
    expect(await look('password')).toEqual([]);
    const password = (await page.locator('dd code').textContent()) ?? '';
    await page.context().clearCookies();
    await page.goto(`${local.issuer}/approvals`);
    await page.click('summary');
    await page.fill('[name=name]', email);
    await page.fill('[name=password]', 'nothing');
    expect(await look('password-sign-in')).toEqual([]);
    await page.keyboard.press('Enter');
    await page.waitForSelector('[role=alert]:visible');
    expect(await look('password-wrong')).toEqual([]);
    await page.fill('[name=name]', email);
    await page.fill('[name=password]', password);
    await page.keyboard.press('Enter');
    await titled(page, 'Approvals');
    expect(await look('password-held')).toEqual([]);
    await page.click('button:has-text("Make ten recovery codes")');
    await titled(page, 'Sign in to Writ');
    expect(await look('password-not-enough')).toEqual([]);
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  it.each(LOOKS)('recovery codes and their use, on a $name in $colours colours', async (looks) => {
    if (local === undefined) throw new Error('no local accounts');
    const { page, complaints, look } = await visit(browser, looks);
    const { body } = await local.admin('POST', '/persons', { name: 'Ada Lovelace', email: 'ada@example.com' });
    await page.goto((body as { link: string }).link);
    await page.click('button:has-text("Make a passkey")');
    await titled(page, 'Your passkey is ready');
    await page.goto(`${local.issuer}/approvals`);
    await page.click('button:has-text("Sign in with a passkey")');
    await titled(page, 'Approvals');
    await page.click('button:has-text("Make ten recovery codes")');
    await titled(page, 'Your recovery codes');
    expect(await look('recovery-codes')).toEqual([]);
    const code = (await page.locator('ol code').first().textContent()) ?? '';
    await page.goto(`${local.issuer}/recover`);
    expect(await look('recover')).toEqual([]);
    await page.fill('[name=code]', 'nothing');
    await page.keyboard.press('Enter');
    await page.waitForSelector('[role=alert]:visible');
    expect(await look('recover-wrong')).toEqual([]);
    await page.fill('[name=code]', code);
    await page.keyboard.press('Enter');
    await titled(page, 'Welcome, Ada Lovelace');
    expect(await look('recovered')).toEqual([]);
    expect(complaints).toEqual([]);
    await page.context().close();
  });
});
