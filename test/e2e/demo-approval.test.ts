import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Browser } from 'playwright-core';
import type { Waiting } from '../../src/sdk/agent/index.js';
import { connect } from '../../scripts/demo/agents.js';
import { Browser as PlainBrowser } from '../../scripts/demo/browser.js';
import { ALICE } from '../../scripts/demo/company.js';
import { type House, openHouse } from '../../scripts/demo/house.js';
import { signIn } from '../../scripts/demo/sign-in.js';
import { hasChromium, inChromium, launch, ON_A_PHONE, visit } from '../support/chromium.js';
import { Receiver, Subscriber } from '../support/push-service.js';

let house: House;
let browser: Browser;
let service: Receiver;
const faults: unknown[] = [];
beforeAll(async () => {
  if (!hasChromium) return;
  [house, browser, service] = await Promise.all([
    openHouse((thrown) => faults.push(thrown)),
    launch(),
    Receiver.start(),
  ]);
}, 60_000);
afterAll(async () => {
  if (!hasChromium) return;
  await browser.close();
  await house.close();
  await service.stop();
  expect(faults).toEqual([]);
});

/** What is there within five seconds. */
async function soon<T>(find: () => Promise<T | undefined> | T | undefined): Promise<T> {
  for (let tried = 0; tried < 100; tried++) {
    const found = await find();
    if (found !== undefined) return found;
    await pause(50);
  }
  throw new Error('it did not come');
}

type Message = Readonly<{ title: string; body: string; path: string; tag: string }>;

type Notice = Readonly<{ title: string; body: string; tag: string; data: string }>;
const SHOWN = `self.registration.getNotifications().then(([one]) =>
  one && { title: one.title, body: one.body, tag: one.tag, data: one.data })`;

inChromium('from ask to approved call, in the demo, on a phone', () => {
  it('the phone is told, opens the page, and by a number and a passkey the tool runs', async () => {
    const { page, complaints, device, look } = await visit(browser, ON_A_PHONE);
    const context = page.context();
    await context.grantPermissions(['notifications'], { origin: house.issuer });
    // This machine reaches no push service, so the browser's is played here (RFC 8030); what it would deliver comes by the DevTools.
    const subscriber = new Subscriber();
    const subscription = subscriber.subscription(`${service.url}/push`);
    await page.addInitScript(
      `PushManager.prototype.subscribe = async function ({ applicationServerKey }) {
         if (applicationServerKey.length !== 65) throw new TypeError('no key');
         return ${subscription};
       };`,
    );
    await page.goto(`${house.issuer}/approvals/passkey`);
    await page.click('button:has-text("Sign in at The Company")');
    await page.fill('[name=email]', ALICE.email);
    await page.fill('[name=password]', ALICE.password);
    await page.click('button');
    await page.click('button:has-text("Make a passkey")');
    await page.waitForSelector('h1:has-text("Your passkey is ready")');
    expect(await device.keys()).toBe(1);
    await page.click('a:has-text("To what waits")');
    const devtools = await context.newCDPSession(page);
    await devtools.send('ServiceWorker.enable');
    const registered = new Promise<string>((resolve) => {
      devtools.on('ServiceWorker.workerRegistrationUpdated', ({ registrations }) => {
        for (const { registrationId, scopeURL } of registrations)
          if (scopeURL === `${house.issuer}/approvals/`) resolve(registrationId);
      });
    });
    await page.click('button:has-text("Tell me on this device")');
    await page.waitForSelector('text=A browser, by');
    expect(await look('told')).toEqual([]);
    const registrationId = await registered;

    const { issuer, redirectUri, keys } = house;
    const agent = { issuer, clientId: 'agt_planner', key: keys.planner, redirectUri };
    const { accessToken } = await signIn(agent, ALICE, new PlainBrowser());
    const shown: Waiting[] = [];
    const mcp = await connect(
      house.patient((waiting) => shown.push(waiting)),
      house.files.resource,
      accessToken,
    );
    const call = mcp.callTool({ name: 'delete_file', arguments: { path: 'drafts/week-46.md' } });
    const message = subscriber.read((await soon(() => service.received[0])).body) as Message;
    expect(message).toEqual({
      title: 'Planner asks for your approval',
      body: expect.stringMatching(
        /^delete_file \(Files\)\. High risk\. Without an answer it is denied at \d\d:\d\d UTC\.$/,
      ),
      path: expect.stringMatching(/^\/approvals\/apr_[\w-]{22}$/),
      tag: 'agt_planner',
    });
    expect(JSON.stringify(message)).not.toContain('week-46');

    await devtools.send('ServiceWorker.deliverPushMessage', {
      origin: house.issuer,
      registrationId,
      data: JSON.stringify(message),
    });
    const worker = context.serviceWorkers().find((one) => one.url().endsWith('/approvals/sw.js'));
    const notice = await soon(() => worker?.evaluate<Notice | undefined>(SHOWN));
    expect(notice).toEqual({ title: message.title, body: message.body, tag: message.tag, data: message.path });

    // The first tap, on the notification; headless, it opens no window by itself.
    await page.goto(`${house.issuer}${notice.data}`);
    expect(await page.textContent('main')).toContain('"drafts/week-46.md"');
    expect(await look('demo-approval')).toEqual([]);
    await page.fill('[name=number]', shown[0]?.number ?? '');
    // The second one.
    await page.click('button:has-text("Approve once with your passkey")');
    await page.waitForSelector('h1:has-text("Approved")');
    expect(await call).toMatchObject({ content: [{ text: 'Deleted drafts/week-46.md.' }] });
    await mcp.close();
    expect(complaints).toEqual([]);
    await context.close();
  }, 60_000);
});
