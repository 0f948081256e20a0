import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { type Browser, chromium, type Page } from 'playwright-core';
import { connect } from '../demo/agents.js';
import { Browser as PlainBrowser } from '../demo/browser.js';
import { ALICE, close, listen } from '../demo/company.js';
import { type House, openHouse } from '../demo/house.js';
import { signIn } from '../demo/sign-in.js';
import { median, quantile } from './load.js';
import type { Figures } from './log.js';

const CHROMIUM = process.env['WRIT_CHROMIUM'] ?? '/usr/bin/chromium';
export const hasChromium = existsSync(CHROMIUM);

/** Loads of a page in each round. */
const LOADS = 10;
/** Of a phone, as the pages are made for. */
const VIEWPORT = { width: 390, height: 844 };

/**
 * How long Chromium takes from asking for a page to its load event, on loopback: the pages that people come to in a hurry, of a
 * Writ with one call that waits, and beside each the very bytes of it from a file server that does nothing else.
 */
export async function pageTimes(rounds: number, say: (line: string) => void): Promise<Figures> {
  const faults: unknown[] = [];
  const house = await openHouse((thrown) => faults.push(thrown));
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
  try {
    const places = await placesOf(house, browser);
    const times = new Map<string, Times>();
    // The first round is for the compiler, of both.
    for (const place of places) await loadsOf(place);
    for (let round = 0; round < rounds; round++)
      for (const place of places) {
        const { bytes, ours, plain } = await loadsOf(place);
        const before = times.get(place.name) ?? { ours: [], plain: [] };
        times.set(place.name, { bytes, ours: [...before.ours, ...ours], plain: [...before.plain, ...plain] });
      }
    if (faults.length > 0) throw new Error(`a page had an outage: ${String(faults[0])}`);
    return figuresOf(times, say);
  } finally {
    await browser.close();
    await house.close();
  }
}

type Times = Readonly<{ bytes: number; ours: readonly number[]; plain: readonly number[] }>;

type Place = Readonly<{ name: string; address: string; page: Page }>;

/** Signs Alice in, has an agent ask for a call that waits for her, and says where her pages are. */
async function placesOf(house: House, browser: Browser): Promise<readonly Place[]> {
  const open = async (): Promise<Page> => (await browser.newContext({ viewport: VIEWPORT })).newPage();
  const [page, anonymous] = [await open(), await open()];
  const place = `${house.issuer}/approvals`;
  await page.goto(place);
  await page.click('button:has-text("Sign in at The Company")');
  await page.fill('[name=email]', ALICE.email);
  await page.fill('[name=password]', ALICE.password);
  await page.click('button');
  await page.waitForURL(place);
  const { issuer, redirectUri, keys } = house;
  const agent = { issuer, clientId: 'agt_planner', key: keys.planner, redirectUri };
  const { accessToken } = await signIn(agent, ALICE, new PlainBrowser());
  const waits = new Promise<string>((resolve, reject) => {
    const planner = house.patient(({ approvalUri }) => {
      if (approvalUri !== undefined) resolve(approvalUri);
    });
    connect(planner, house.files.resource, accessToken)
      .then((mcp) => mcp.callTool({ name: 'delete_file', arguments: { path: 'drafts/week-46.md' } }))
      .catch(reject);
  });
  return [
    { name: 'sign_in', address: place, page: anonymous },
    { name: 'one_call', address: await waits, page },
    { name: 'approvals', address: place, page },
    { name: 'consents', address: `${place}/consents`, page },
    { name: 'history', address: `${place}/history`, page },
    { name: 'passkey', address: `${place}/passkey`, page },
  ];
}

/** In turn: the page, and its bytes from somewhere else. */
async function loadsOf({ name, address, page }: Place): Promise<Times> {
  const answer = await page.goto(address);
  if (answer?.status() !== 200) throw new Error(`${name} is answered by ${String(answer?.status())}`);
  const body = await answer.body();
  const headers = await answer.allHeaders();
  const server = createServer((_request, response) => {
    response.setHeader('content-type', 'text/html; charset=utf-8');
    response.setHeader('content-security-policy', headers['content-security-policy'] ?? '');
    response.setHeader('cache-control', 'no-store');
    response.end(body);
  });
  const beside = await listen(server);
  // In a tab of its own: a browser that goes from site to site in one makes a process each time.
  const tab = await page.context().newPage();
  await tab.goto(beside);
  const [ours, plain]: [number[], number[]] = [[], []];
  for (let n = 0; n < LOADS; n++) {
    ours.push(await loadOf(page, address));
    plain.push(await loadOf(tab, beside));
  }
  await tab.close();
  await close(server);
  return { bytes: body.byteLength, ours, plain };
}

/** Milliseconds until its load event. */
async function loadOf(page: Page, address: string): Promise<number> {
  await page.goto(address, { waitUntil: 'load' });
  return page.evaluate<number>(`new Promise((resolve) => setTimeout(() => {
    const [seen] = performance.getEntriesByType('navigation');
    resolve(seen.loadEventEnd - seen.startTime);
  }))`);
}

function figuresOf(times: ReadonlyMap<string, Times>, say: (line: string) => void): Figures {
  const all = [...times].map(([name, { bytes, ours, plain }]) => {
    const [middle, worst, floor] = [
      median(ours),
      quantile(
        [...ours].sort((a, b) => a - b),
        0.95,
      ),
      median(plain),
    ];
    say(
      `page ${name}  ${middle.toFixed(1)} ms, p95 ${worst.toFixed(1)} ms, its bytes alone ${floor.toFixed(1)} ms, ${String(bytes)} bytes`,
    );
    return { name, bytes, middle, worst, ratio: middle / floor };
  });
  const most = (of: (one: (typeof all)[number]) => number): number => Math.max(...all.map(of));
  return {
    ...Object.fromEntries(all.map(({ name, middle }) => [`${name}_ms`, middle])),
    ...{ slowest_ms: most(({ middle }) => middle), slowest_p95_ms: most(({ worst }) => worst) },
    ...{ most_ratio_to_its_bytes: most(({ ratio }) => ratio), most_bytes: most(({ bytes }) => bytes) },
  };
}
