import { createServer, type Server } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser, Locator } from 'playwright-core';
import { type AskingWorld, type Asked, startAskingWorld } from '../support/asking-world.js';
import { Browser as PlainBrowser } from '../support/browser.js';
import { hasChromium, inChromium, launch, ON_A_PHONE, visit, type Visit } from '../support/chromium.js';
import { ALICE, close, listen } from '../support/company.js';
import { request } from '../support/writ.js';

/** A site of somebody else, whose pages each test writes. */
let evil: string;
let page = '';
let site: Server;
let world: AskingWorld;
let browser: Browser | undefined;
beforeAll(async () => {
  world = await startAskingWorld();
  site = createServer((_request, response) => {
    response.setHeader('content-type', 'text/html');
    response.end(page);
  });
  evil = await listen(site);
  if (hasChromium) browser = await launch();
}, 60_000);
afterAll(async () => {
  await browser?.close();
  await close(site);
  await world.close();
});

async function aliceHere(at: string): Promise<Visit> {
  if (browser === undefined) throw new Error('no Chromium');
  const seen = await visit(browser, ON_A_PHONE);
  await seen.page.goto(at);
  await seen.page.click('button:has-text("Sign in at The Company")');
  await seen.page.fill('[name=email]', ALICE.email);
  await seen.page.fill('[name=password]', ALICE.password);
  await seen.page.click('button');
  await seen.page.waitForURL(at);
  return seen;
}

const stateOf = async (asked: Asked): Promise<string> => (await world.held(asked)).state;
let count = 0;
const asks = async (options: Parameters<AskingWorld['ask']>[1] = {}): Promise<Asked> => {
  await world.nothingWaits();
  return world.ask({ path: `/tmp/${String(++count)}` }, options);
};
/** Everything unseen that a form of this page would send. */
async function fieldsOf(form: Locator): Promise<[string, string][]> {
  const fields = await form.locator('input[type=hidden]').all();
  const attribute = async (field: Locator, name: string): Promise<string> => (await field.getAttribute(name)) ?? '';
  return Promise.all(
    fields.map(async (field): Promise<[string, string]> => [
      await attribute(field, 'name'),
      await attribute(field, 'value'),
    ]),
  );
}

inChromium('in the browser of somebody who is signed in', () => {
  it.each([
    ['urlencoded', 'application/x-www-form-urlencoded'],
    ['plain text', 'text/plain'],
  ])('AP-13 the form of another site approves nothing, even with every field of ours (%s)', async (_what, enctype) => {
    const asked = await asks();
    const { page: mine } = await aliceHere(asked.page);
    const fields = await fieldsOf(mine.locator('form').first());
    expect(fields.map(([name]) => name)).toContain('shown');
    const inputs = fields.map(([name, value]) => `<input name="${name}" value="${value}">`).join('');
    page = `<form method="post" enctype="${enctype}" action="${asked.page}">${inputs}<input name="action" value="approve"></form><script>document.forms[0].submit()</script>`;
    await mine.goto(evil);
    await mine.waitForURL(asked.page);
    expect(await mine.textContent('h1')).toBe('Sign in to Writ');
    expect(await stateOf(asked)).toBe('asked');
    await mine.context().close();
  });

  it('AP-13 nor does a script of another site, with the cookies of the person', async () => {
    const asked = await asks();
    const { page: mine } = await aliceHere(asked.page);
    const fields = await fieldsOf(mine.locator('form').first());
    const body = new URLSearchParams([...fields, ['action', 'approve']]).toString();
    page = `<p id="done"></p><script>fetch(${JSON.stringify(asked.page)}, { method: 'POST', mode: 'no-cors', credentials: 'include',
      headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: ${JSON.stringify(body)} })
      .finally(() => { document.getElementById('done').textContent = 'done'; })</script>`;
    await mine.goto(evil);
    await mine.waitForSelector('#done:has-text("done")');
    expect(await stateOf(asked)).toBe('asked');
    await mine.context().close();
  });

  it('AP-14 no page of ours is shown in a frame of another site', async () => {
    const asked = await asks();
    const { page: mine } = await aliceHere(asked.page);
    const pages = ['', `/${asked.id}`, '/passkey'].map((path) => `${world.place}${path}`);
    const others = [`${world.issuer}/sign-out`, `${world.issuer}/auth?x=y`];
    page = [...pages, ...others].map((url) => `<iframe src="${url}"></iframe>`).join('');
    await mine.goto(evil);
    await mine.waitForLoadState('load');
    const shown = mine.frames().filter((frame) => frame !== mine.mainFrame());
    expect(shown).toHaveLength(pages.length + others.length);
    for (const frame of shown) {
      for (let tried = 0; tried < 100 && ['', 'about:blank'].includes(frame.url()); tried++)
        await mine.waitForTimeout(50);
      expect(frame.url()).toBe('chrome-error://chromewebdata/');
    }
    await mine.context().close();
  });

  it('AP-20 what only looks at a link answers nothing: pictures, prefetches, pages that open it', async () => {
    const asked = await asks();
    const { page: mine } = await aliceHere(asked.page);
    const link = `${asked.page}?action=approve&amp;bypass_approval_prompt=true`;
    page = `<link rel="prefetch" href="${link}"><img src="${link}" alt=""><script>window.open(${JSON.stringify(asked.page)})</script>`;
    await mine.goto(evil);
    await mine.waitForLoadState('networkidle');
    await mine.goto(`${asked.page}?action=approve&bypass_approval_prompt=true`);
    expect(await mine.textContent('h1')).toBe('Approve this one call?');
    expect(await stateOf(asked)).toBe('asked');
    await mine.context().close();
  });

  it('AP-25 who did not start it sees who asks, from where and when, and cannot approve without the number', async () => {
    const asked = await asks({ name: 'delete_repo' });
    const { page: mine } = await aliceHere(`${world.place}/passkey`);
    await world.forgetPasskeys();
    await mine.goto(`${world.place}/passkey`);
    await mine.click('button:has-text("Make a passkey")');
    await mine.waitForSelector('h1:has-text("Your passkey is ready")');
    await mine.goto(asked.page);
    const text = (await mine.textContent('main')) ?? '';
    for (const part of ['Planner', 'agt_a1', 'Network', '127.0.0.1', 'Asked at']) expect(text).toContain(part);
    // Times, what was asked and the address have digits of their own.
    const plain = text.replaceAll(
      /\d{4}-\d\d-\d\d \d\d:\d\d UTC|"\/tmp\/\d+"|127\.0\.0\.1|mcp1|agt_a1|\d+ (?:seconds|minutes|days)/g,
      '',
    );
    expect(plain).not.toContain(asked.number);
    await mine.click('button:has-text("Approve once with your passkey")');
    expect(await mine.locator('[name=number]:invalid').count()).toBe(1);
    expect(await stateOf(asked)).toBe('asked');
    await mine.fill('[name=number]', asked.number === '42' ? '43' : '42');
    await mine.click('button:has-text("Approve once with your passkey")');
    await mine.waitForSelector('h1:has-text("Denied, for the number was wrong")');
    expect(await stateOf(asked)).toBe('refused');
    await mine.context().close();
  });

  it('AP-23 a passkey asked for on one page approves no other call, though a script there puts its answer elsewhere', async () => {
    await world.nothingWaits();
    const [wanted, harmless] = [
      await world.ask({ repo: 'wanted' }, { name: 'delete_repo' }),
      await world.ask({ repo: 'harmless' }, { name: 'delete_repo' }),
    ];
    await world.forgetPasskeys();
    const { page: mine } = await aliceHere(`${world.place}/passkey`);
    await mine.click('button:has-text("Make a passkey")');
    await mine.waitForSelector('h1:has-text("Your passkey is ready")');
    await mine.goto(wanted.page);
    const fields = await fieldsOf(mine.locator('form[data-passkey]'));
    await mine.goto(harmless.page);
    await mine.fill('[name=number]', harmless.number);
    await mine.route(harmless.page, async (route) => {
      const sent = new URLSearchParams(route.request().postData() ?? '');
      const answer = sent.get('answer') ?? '';
      const swapped = new URLSearchParams(fields.filter(([name]) => name !== 'answer'));
      swapped.set('answer', answer);
      swapped.set('number', wanted.number);
      await route.continue({ url: wanted.page, postData: swapped.toString() });
    });
    await mine.click('button:has-text("Approve once with your passkey")');
    await mine.waitForSelector('[role=alert]:visible');
    expect(await mine.textContent('[role=alert]')).toBe(
      'That took too long, or was for another call. Please try again.',
    );
    expect([await stateOf(wanted), await stateOf(harmless)]).toEqual(['asked', 'asked']);
    await mine.context().close();
  });
});

describe('of an agent, or somebody who has what it has', () => {
  it('AP-16 its token, its own credentials and its person’s cookie of the code flow approve nothing', async () => {
    const asked = await asks();
    const its = new PlainBrowser();
    await world.codeFor(world.a1, {}, ALICE, its);
    const tries: Record<string, string>[] = [
      { cookie: its.cookieHeader(asked.page) },
      { authorization: 'Bearer x.y.z' },
      { cookie: its.cookieHeader(asked.page).replaceAll('writ_session', 'writ_approvals') },
    ];
    for (const headers of tries) {
      const form = new URLSearchParams({ action: 'approve', token: 'A'.repeat(43), shown: 'A'.repeat(43) });
      const { text } = await request(asked.page, { method: 'POST', headers, body: form });
      expect(text).toContain('<h1>Sign in to Writ</h1>');
    }
    expect(await stateOf(asked)).toBe('asked');
  });

  it('AP-14 every page forbids frames by both headers', async () => {
    const asked = await asks();
    const alice = await world.signedIn();
    const paths = ['/approvals', `/approvals/${asked.id}`, '/approvals/passkey', '/sign-out', '/auth?x=y'];
    for (const path of paths) {
      const { headers } = await alice.get(`${world.issuer}${path}`);
      expect([path, headers.get('x-frame-options')]).toEqual([path, 'DENY']);
      expect(headers.get('content-security-policy')).toContain("frame-ancestors 'none'");
    }
  });

  it('AP-17 a passkey is made in a sign-in of just now, and what it is needed for is not approved by less', async () => {
    const asked = await asks({ name: 'delete_repo' });
    await world.forgetPasskeys();
    const alice = await world.signedIn();
    await world.ageSignIns(400);
    const page = await alice.get(`${world.place}/passkey`);
    expect([page.status, /<h1>([^<]*)/.exec(page.body)?.[1]]).toEqual([403, 'Sign in to Writ']);
    const shown = await alice.get(asked.page);
    const refused = await alice.submit(shown, { action: 'approve', number: asked.number });
    expect([refused.status, await stateOf(asked)]).toEqual([400, 'asked']);
  });
});
