import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Browser, chromium, type Page } from 'playwright-core';
import { authorizationOf, type LocalWorld, RETURN, startLocalWorld } from '../support/local-world.js';

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

const world: LocalWorld | undefined = hasChromium ? await startLocalWorld() : undefined;
let browser: Browser | undefined;
beforeAll(async () => {
  if (hasChromium) browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
}, 60_000);
afterAll(() => browser?.close());

type Visit = Readonly<{ page: Page; complaints: string[]; device: Device }>;
type Device = Readonly<{ verifies(isVerified: boolean): Promise<void>; keys(): Promise<number> }>;

/** A fresh profile whose device keeps passkeys, as the WebAuthn domain of the DevTools protocol plays it. */
async function visit(
  look: Readonly<{ size: Page['viewportSize'] extends () => infer S ? S : never; colours: 'light' | 'dark' }>,
): Promise<Visit> {
  if (browser === undefined) throw new Error(MISSING);
  const context = await browser.newContext({ viewport: look.size, colorScheme: look.colours });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (/Content Security Policy|Refused|TrustedScript/.test(message.text())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  const devtools = await context.newCDPSession(page);
  await devtools.send('WebAuthn.enable');
  const { authenticatorId } = await devtools.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      ...({ protocol: 'ctap2', transport: 'internal', hasResidentKey: true } as const),
      ...{ hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true },
    },
  });
  const device: Device = {
    verifies: async (isUserVerified) => {
      await devtools.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified });
    },
    keys: async () => (await devtools.send('WebAuthn.getCredentials', { authenticatorId })).credentials.length,
  };
  return { page, complaints, device };
}

async function picture(page: Page, name: string): Promise<void> {
  if (PICTURES !== undefined) await page.screenshot({ path: `${PICTURES}/${name}.png`, fullPage: true });
}

async function fits(page: Page): Promise<void> {
  const width = await page.evaluate('document.documentElement.scrollWidth');
  expect(width).toBeLessThanOrEqual(page.viewportSize()?.width ?? 0);
}

async function invitation(): Promise<string> {
  const { body } = (await world?.admin('POST', '/persons', { name: 'Ada Lovelace', email: 'ada@example.com' })) ?? {};
  return (body as { link: string }).link;
}

const link = async (): Promise<string> => (world === undefined ? '' : (await authorizationOf(world)).link);

(hasChromium ? describe : describe.skip)('local accounts, in Chromium', () => {
  it.each(LOOKS)('on a %s in %s colours a person makes a passkey and signs in with it', async (name, colours, size) => {
    const { page, complaints, device } = await visit({ size, colours });
    await page.goto(await invitation());
    await fits(page);
    await picture(page, `enrol-${name}-${colours}`);
    await page.click('button:has-text("Make a passkey")');
    await page.waitForSelector('h1:has-text("Your passkey is ready")');
    expect(await device.keys()).toBe(1);
    await picture(page, `enrolled-${name}-${colours}`);
    await page.goto(await link());
    await fits(page);
    await picture(page, `sign-in-${name}-${colours}`);
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
    const { page, complaints, device } = await visit({ size: LOOKS[0][2], colours: 'light' });
    await device.verifies(false);
    await page.goto(await invitation());
    await page.click('button:has-text("Make a passkey")');
    await page.waitForSelector('[role=alert]:visible');
    expect(await page.textContent('[role=alert]')).toBe('No passkey was used. You can try again.');
    await picture(page, 'enrol-failed-phone-light');
    await device.verifies(true);
    await page.click('button:has-text("Make a passkey")');
    await page.waitForSelector('h1:has-text("Your passkey is ready")');
    expect(complaints).toEqual([]);
    await page.context().close();
  });
});
