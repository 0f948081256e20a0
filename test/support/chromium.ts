import { existsSync } from 'node:fs';
import { describe } from '@jest/globals';
import axe from 'axe-core';
import { type Browser, chromium, type Page } from 'playwright-core';

const CHROMIUM = process.env['WRIT_CHROMIUM'] ?? '/usr/bin/chromium';
export const MISSING = `Pages are not looked at: no Chromium at ${CHROMIUM} (WRIT_CHROMIUM names another one).`;
export const hasChromium = existsSync(CHROMIUM);
if (!hasChromium && process.env['CI'] === 'true') throw new Error(MISSING);
if (!hasChromium) process.stderr.write(`${MISSING}\n`);

/** A group of tests that need it. Where CI is, it is there or nothing passes. */
export const inChromium = hasChromium ? describe : describe.skip;

/** With a folder given, every page that is looked at is also kept there as a picture. */
const PICTURES = process.env['WRIT_TEST_PICTURES'];

export type Look = Readonly<{
  name: string;
  colours: 'light' | 'dark';
  size: Readonly<{ width: number; height: number }>;
}>;

const [PHONE, DESKTOP] = [
  { width: 390, height: 844 },
  { width: 1280, height: 900 },
];
export const LOOKS: readonly Look[] = [
  { name: 'phone', colours: 'light', size: PHONE },
  { name: 'phone', colours: 'dark', size: PHONE },
  { name: 'desktop', colours: 'light', size: DESKTOP },
  { name: 'desktop', colours: 'dark', size: DESKTOP },
];
export const ON_A_PHONE: Look = { name: 'phone', colours: 'light', size: PHONE };

export const launch = (): Promise<Browser> => chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });

export type Visit = Readonly<{
  page: Page;
  /** What the content security policy, or a script, complained of. */
  complaints: string[];
  device: Readonly<{ verifies(isVerified: boolean): Promise<void>; keys(): Promise<number> }>;
  /** Fits the screen, breaks no rule of WCAG 2.2 AA that a program can see, and is kept as a picture under this name. */
  look(what: string): Promise<readonly string[]>;
}>;

/** A fresh profile whose device keeps passkeys, as the WebAuthn domain of the DevTools protocol plays it. */
export async function visit(
  browser: Browser,
  { name, colours, size }: Look,
  { javaScriptEnabled = true }: Readonly<{ javaScriptEnabled?: boolean }> = {},
): Promise<Visit> {
  const context = await browser.newContext({ viewport: size, colorScheme: colours, javaScriptEnabled });
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
  return {
    ...{ page, complaints },
    device: {
      verifies: async (isUserVerified) => {
        await devtools.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified });
      },
      keys: async () => (await devtools.send('WebAuthn.getCredentials', { authenticatorId })).credentials.length,
    },
    look: async (what) => {
      if (PICTURES !== undefined)
        await page.screenshot({ path: `${PICTURES}/${what}-${name}-${colours}.png`, fullPage: true });
      const width = Number(await page.evaluate('document.documentElement.scrollWidth'));
      const wide = width > size.width ? [`${what} is ${String(width)} wide`] : [];
      return javaScriptEnabled ? [...wide, ...(await flawsOf(page))] : wide;
    },
  };
}

/** What axe finds, by its rule and where. */
async function flawsOf(page: Page): Promise<readonly string[]> {
  await page.evaluate(axe.source);
  const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
  const { violations } = await page.evaluate<axe.AxeResults>(`axe.run(document, { runOnly: ${JSON.stringify(tags)} })`);
  return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${page.url()} ${id}: ${html}`));
}
