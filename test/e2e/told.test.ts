import { afterAll, afterEach, beforeAll, expect, it } from '@jest/globals';
import type { Browser, BrowserContext, Page, Worker } from 'playwright-core';
import { type AskingWorld, startAskingWorld } from '../support/asking-world.js';
import { hasChromium, inChromium, launch, ON_A_PHONE, visit } from '../support/chromium.js';
import { ALICE } from '../support/company.js';
import { Subscriber } from '../support/push-service.js';

let world: AskingWorld;
let browser: Browser;
let context: BrowserContext | undefined;
beforeAll(async () => {
  if (!hasChromium) return;
  world = await startAskingWorld();
  browser = await launch();
}, 60_000);
afterEach(async () => {
  await context?.close();
  context = undefined;
});
afterAll(async () => {
  if (!hasChromium) return;
  await browser.close();
  await world.close();
  expect(world.faults).toEqual([]);
});

/** /approvals on a phone, by a person who signed in, in a browser that was changed like this. */
async function approvals(changes = '', { mayShow = true } = {}): Promise<Page> {
  const { page } = await visit(browser, ON_A_PHONE);
  context = page.context();
  if (mayShow) await context.grantPermissions(['notifications'], { origin: world.issuer });
  await page.addInitScript(changes);
  await page.goto(world.place);
  await page.click('button:has-text("Sign in at The Company")');
  await page.fill('[name=email]', ALICE.email);
  await page.fill('[name=password]', ALICE.password);
  await page.keyboard.press('Enter');
  await page.waitForSelector('h2:has-text("How I am told")');
  return page;
}

const BUTTON = 'button:has-text("Tell me on this device")';
const endpoint = (name: string): string => `https://push.example/${name}`;

/** Push API, subscribe(): a browser has one subscription, and gives none by another key while it has it. Here it has one of `key`. */
const withSubscription = (key?: string): string => `{
  let own = ${key === undefined ? 'false' : 'true'} && { options: { applicationServerKey: Uint8Array.from(${key ?? '[]'}).buffer }, unsubscribe: async () => { own = null; return true; } };
  PushManager.prototype.getSubscription = async () => own || null;
  PushManager.prototype.subscribe = async ({ applicationServerKey }) => {
    const given = own && String(new Uint8Array(own.options.applicationServerKey));
    if (given && given !== String(applicationServerKey)) throw new DOMException('another key', 'InvalidStateError');
    return own ? ${new Subscriber().subscription(endpoint('same'))} : ${new Subscriber().subscription(endpoint('new'))};
  };
}`;

async function stop(page: Page): Promise<void> {
  await page.click('button:has-text("Stop telling me here")');
  await page.waitForSelector('text=Nothing tells you of what waits');
}

const alertOf = async (page: Page): Promise<string | null> => {
  await page.waitForSelector('form[data-push] [role=alert]:visible');
  return page.textContent('form[data-push] [role=alert]');
};

inChromium('being told on a device, in Chromium', () => {
  it('begins and ends by one button each', async () => {
    const page = await approvals(withSubscription());
    await page.click(BUTTON);
    await page.waitForSelector('text=A browser, by push.example');
    await stop(page);
  });

  it('begins anew where the browser still has the subscription of an earlier key of the deployment', async () => {
    const page = await approvals(withSubscription('[4, 1, 2]'));
    const sent = page.waitForRequest((request) => request.url().endsWith('/approvals/channels'));
    await page.click(BUTTON);
    expect(new URLSearchParams((await sent).postData() ?? '').get('subscription')).toContain(endpoint('new'));
    await page.waitForSelector('text=A browser, by push.example');
    await stop(page);
  });

  it('is not begun by a person who does not allow it, and the page says what to do', async () => {
    const page = await approvals(`Notification.requestPermission = async () => 'denied';`, { mayShow: false });
    await page.click(BUTTON);
    expect(await alertOf(page)).toBe(
      'This browser is not allowed to show messages. Allow it in its settings, then try again.',
    );
  });

  it('is not begun in a browser that cannot, and the page says so', async () => {
    const page = await approvals('delete window.PushManager;');
    await page.click(BUTTON);
    expect(await alertOf(page)).toBe(
      'This browser cannot show messages. You can add this page to your home screen, or use another browser.',
    );
  });
});

inChromium('the worker, in Chromium', () => {
  /** What is opened when a person taps a message that leads there. */
  const tapped = async (worker: Worker, path: string): Promise<unknown> => {
    const shown = { body: 'b', tag: 'agt_a1', data: path };
    return worker.evaluate(`(async () => {
      await self.registration.showNotification('t', ${JSON.stringify(shown)});
      const [notification] = await self.registration.getNotifications({ tag: 'agt_a1' });
      const opened = [];
      Object.defineProperty(self.clients, 'openWindow', { configurable: true, value: async (to) => opened.push(to) });
      self.dispatchEvent(new NotificationEvent('notificationclick', { notification }));
      return { opened, left: (await self.registration.getNotifications()).length };
    })()`);
  };

  it.each([
    ['the page of a request', '/approvals/apr_AAAAAAAAAAAAAAAAAAAAAA', '/approvals/apr_AAAAAAAAAAAAAAAAAAAAAA'],
    ['another site', 'https://evil.example/approvals/apr_AAAAAAAAAAAAAAAAAAAAAA', '/approvals'],
    ['another site without scheme', '//evil.example', '/approvals'],
    ['a script', 'javascript:alert(1)', '/approvals'],
    ['another page of ours', '/approvals/../admin', '/approvals'],
    ['a page that has a request before it', '/approvals/apr_AAAAAAAAAAAAAAAAAAAAAA?x=1', '/approvals'],
  ])('opens, of a message that leads to %s, the page of one request or the list', async (_what, path, opened) => {
    const page = await approvals(withSubscription());
    const registered = page.context().waitForEvent('serviceworker');
    await page.click(BUTTON);
    const worker = await registered;
    await page.waitForSelector('text=A browser, by push.example');
    expect(await tapped(worker, path)).toEqual({ opened: [opened], left: 0 });
    await stop(page);
  });

  it('says so when the browser ends the subscription by itself, and leads to where it begins anew', async () => {
    const page = await approvals(withSubscription());
    const registered = page.context().waitForEvent('serviceworker');
    await page.click(BUTTON);
    const worker = await registered;
    await page.waitForSelector('text=A browser, by push.example');
    const shown = await worker.evaluate(`(async () => {
      self.dispatchEvent(new ExtendableEvent('pushsubscriptionchange'));
      for (;;) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        const [one] = await self.registration.getNotifications({ tag: 'over' });
        if (one) return { title: one.title, body: one.body, data: one.data };
      }
    })()`);
    expect(shown).toEqual({
      title: 'Writ approvals',
      body: 'This device is told nothing any more: its browser has ended that. Open this page to be told again.',
      data: '',
    });
    expect(await tapped(worker, '')).toMatchObject({ opened: ['/approvals'] });
    await stop(page);
  });
});
