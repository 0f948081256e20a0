import { createHash } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { authorize, Browser, type Seen } from '../support/browser.js';
import { ALICE, BOB, startCompany } from '../support/company.js';
import { authorizationLink, obtainCode, REDIRECT_URI, startWrit, TestAgent } from '../support/engine.js';
import { ownEngine } from '../support/own-engine.js';

const agent = new TestAgent('agt_planner');
const rude = new TestAgent('agt_rude', {
  name: '<img src=x onerror=alert(1)>',
  owner: 'Plat\u202Eform "team"',
  purpose: "'><script>alert(1)</script>",
});
const { db, writ } = await ownEngine(agent, rude);

const { email, password } = ALICE;

/** Up to the consent page. */
async function consent(browser: Browser, by = agent, parameters: Record<string, string> = {}): Promise<Seen> {
  const { link } = await authorizationLink(writ, by, parameters);
  const page = await browser.get(link, REDIRECT_URI);
  return page.body.includes('Sign in to The Company') ? browser.submit(page, { email, password }, REDIRECT_URI) : page;
}

const notValid = expect.stringContaining('This page is not valid any more');

describe('the consent page', () => {
  it('MA-09: names agent, owner, purpose, person, servers, scopes and where one returns to', async () => {
    const { body, status } = await consent(new Browser(), agent, {
      scope: 'files:read mail:read offline_access',
      prompt: 'consent',
    });
    expect(status).toBe(200);
    for (const shown of [
      'Allow Planner to act for you?',
      'Alice Archer',
      'alice@company.example',
      'Ada of the platform team',
      'Plans and files reports',
      'agt_planner',
      '127.0.0.1:7999',
      'files:read',
      'mail:read',
      'https://mcp.example/files',
      'https://mcp.example/mail',
      'program on your own computer',
      'go on while you are away',
    ]) {
      expect(body).toContain(shown);
    }
    expect(body).not.toContain('files:write');
  });

  it('shows hostile names as text, with direction marks spelled out', async () => {
    const { body } = await consent(new Browser(), rude);
    expect(body).toContain('&lt;img src=x onerror=alert(1)&gt;');
    expect(body).toContain('Plat[U+202E]form &quot;team&quot;');
    expect(body).not.toMatch(/<script|<img|\u202E/);
  });

  it('may not be framed, cached, referred from or run script', async () => {
    const { headers, body } = await consent(new Browser());
    const style = /<style>(.*)<\/style>/s.exec(body)?.[1] ?? '';
    expect(headers.get('content-security-policy')).toContain(
      `'sha256-${createHash('sha256').update(style).digest('base64')}'`,
    );
    expect(headers.get('content-security-policy')).toMatch(
      /^default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]+'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'$/,
    );
    expect(
      Object.fromEntries(
        ['x-frame-options', 'x-content-type-options', 'referrer-policy', 'cache-control', 'content-type'].map(
          (name) => [name, headers.get(name)],
        ),
      ),
    ).toEqual({
      'x-frame-options': 'DENY',
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-store',
      'content-type': 'text/html; charset=utf-8',
    });
  });

  it('answers a decision by a page that goes on by itself, since a redirect would count as the target of the form', async () => {
    const browser = new Browser();
    const page = await consent(browser);
    const token = /name="token" value="([^"]+)"/.exec(page.body)?.[1] ?? '';
    const cookie = browser.cookieHeader(page.url);
    const response = await fetch(`${page.url}/consent`, {
      method: 'POST',
      redirect: 'manual',
      headers: { cookie },
      body: new URLSearchParams({ token, decision: 'allow' }),
    });
    expect(response.status).toBe(200);
    expect(response.headers.get('location')).toBeNull();
    expect(await response.text()).toContain(`<meta http-equiv="refresh" content="0; url=${writ.issuer}/auth/`);
  });

  it.each([
    ['without its token', {}],
    ['with a made-up token', { token: 'x'.repeat(43) }],
    ['with a token and a decision twice', { token: '', decision: '' }],
  ])('asks again instead of believing a form %s', async (_name, fields) => {
    const browser = new Browser();
    const page = await consent(browser);
    const forged = { ...page, body: page.body.replace(/<input type="hidden"[^>]*>/, '') };
    const answer = await browser.submit(forged, { decision: 'allow', ...fields }, REDIRECT_URI);
    expect(answer.body).toContain('Please read it again');
  });

  it('asks again when what the agent would get has changed meanwhile', async () => {
    const browser = new Browser();
    const page = await consent(browser);
    writ.registry.change([{ ...agent.registered, purpose: 'Something else' }, rude.registered]);
    const answer = await browser.submit(page, { decision: 'allow' }, REDIRECT_URI);
    expect(answer.body).toContain('Something else');
    expect(answer.body).toContain('Please read it again');
    writ.registry.change([agent.registered, rude.registered]);
  });

  it('counts anything but allow as a no', async () => {
    const browser = new Browser();
    const answer = await browser.submit(await consent(browser), { decision: 'maybe' }, REDIRECT_URI);
    expect(new URL(answer.url).searchParams.get('error')).toBe('access_denied');
  });

  it('refuses a form from another site, and one that is too large', async () => {
    const browser = new Browser();
    const page = await consent(browser);
    const token = /name="token" value="([^"]+)"/.exec(page.body)?.[1] ?? '';
    const cookie = browser.cookieHeader(page.url);
    const send = async (
      headers: Record<string, string>,
      extra: Record<string, string> = {},
    ): Promise<[number, string]> => {
      const response = await fetch(`${page.url}/consent`, {
        method: 'POST',
        headers: { cookie, ...headers },
        body: new URLSearchParams({ token, decision: 'allow', ...extra }),
      });
      return [response.status, await response.text()];
    };
    expect(await send({ 'sec-fetch-site': 'cross-site' })).toEqual([400, notValid]);
    expect(await send({}, { more: 'x'.repeat(9_000) })).toEqual([400, notValid]);
    expect(await send({ 'content-type': 'application/json' })).toEqual([400, notValid]);
    expect(await send({ 'sec-fetch-site': 'same-origin' })).toEqual([
      200,
      expect.stringContaining('You are being taken back'),
    ]);
  });
});

describe('the browser that began it', () => {
  it.each(['', '/consent', '/sign-in/company'])('AZ-14: %j of an interaction opens in no other', async (path) => {
    const mine = new Browser();
    const page = await consent(mine);
    const url = `${page.url}${path}`;
    const method = path === '/consent' ? 'POST' : 'GET';
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const response = await fetch(url, {
      method,
      headers,
      redirect: 'manual',
      ...(method === 'POST' ? { body: 'decision=allow' } : {}),
    });
    expect([response.status, await response.text()]).toEqual([400, notValid]);
  });

  it('AZ-14: cannot be given another interaction: its own cookie must be of this one', async () => {
    const [attacker, victim] = [new Browser(), new Browser()];
    const theirs = await consent(attacker);
    await consent(victim);
    expect((await victim.get(theirs.url)).status).toBe(400);
  });

  it('AZ-14: has another session id after signing in than before', async () => {
    const browser = new Browser();
    await obtainCode(writ, agent, { browser });
    const session = (): string | undefined =>
      browser.cookies().find(({ name, host }) => name === 'writ_session' && writ.issuer.endsWith(host))?.value;
    const before = session();
    await obtainCode(writ, agent, { browser, parameters: { prompt: 'login' } });
    expect(before).toBeDefined();
    expect(session()).not.toBe(before);
  });

  it('AZ-16, AZ-20: is the only one in which the answer of the company counts, and it counts once', async () => {
    const browser = new Browser();
    await consent(browser);
    const callback = browser.history.find((url) => url.includes('/interaction/callback/')) ?? '';
    expect(callback).toContain(`${writ.issuer}/interaction/callback/company?`);
    for (const one of [new Browser(), browser]) {
      const page = await one.get(callback);
      expect([page.status, page.body]).toEqual([400, notValid]);
    }
  });

  it.each([
    ['a foreign state', 'state=somebody-elses&code=x'],
    ['no state', 'code=x'],
    ['two states', 'state=a&state=b&code=x'],
    ['a return address', 'state=a&return_to=//evil.example'],
    ['a return address with backslashes', 'state=a&return_to=%5C%5Cevil.example'],
  ])('AZ-20: gets a page for a callback with %s', async (_name, query) => {
    const browser = new Browser();
    await consent(browser);
    const page = await browser.get(`${writ.issuer}/interaction/callback/company?${query}`);
    expect([page.status, page.body]).toEqual([400, notValid]);
    expect(page.body).not.toContain('evil');
  });

  it('is begun again where a replica of before began it, which kept less of it, and is no fault', async () => {
    const browser = new Browser();
    const page = await browser.get((await authorizationLink(writ, agent)).link);
    const cut = await db.database.prisma.$executeRawUnsafe(
      `UPDATE engine_record SET payload = payload - 'seen' WHERE model = 'SignIn'`,
    );
    expect(cut).toBeGreaterThan(0);
    const answer = await browser.submit(page, { email, password });
    expect([answer.status, answer.body]).toEqual([400, notValid]);
    expect(writ.faults).toEqual([]);
    const { code } = await obtainCode(writ, agent, { browser });
    expect(code).toMatch(/^[\w-]{43}$/);
  });

  it('AZ-11: refuses an answer whose iss is not of the company', async () => {
    const browser = new Browser();
    const { link } = await authorizationLink(writ, agent);
    const page = await browser.get(link);
    const callback = `${writ.issuer}/interaction/callback/company`;
    const answer = await browser.submit(page, { email, password }, callback);
    const forged = new URL(answer.url);
    expect(forged.searchParams.get('iss')).toBe(writ.company.issuer);
    forged.searchParams.set('iss', 'https://evil.example');
    const refused = await browser.get(forged.href);
    expect([refused.status, refused.body]).toEqual([400, expect.stringContaining('The sign-in failed')]);
  });
});

describe('where people sign in', () => {
  it('is a choice when there are several', async () => {
    const partner = await startCompany({ writIssuer: 'http://127.0.0.1:1', id: 'partner' });
    const two = await startWrit(db.database, {
      agents: [agent.registered],
      engine: {
        identityProviders: [writ.company.identityProvider, { ...partner.identityProvider, name: 'A <Partner>' }],
      },
    });
    const browser = new Browser();
    const page = await browser.get((await authorizationLink(two, agent)).link);
    expect(page.body).toContain('Where do you have your account?');
    expect(page.body).toContain(`href="${page.url}/sign-in/company"`);
    expect(page.body).toContain('A &lt;Partner&gt;');
    await browser.get(`${page.url}/sign-in/partner`, `${partner.issuer}/auth?`);
    expect(browser.history[0]).toContain(encodeURIComponent(`${two.issuer}/interaction/callback/partner`));
    expect((await browser.get(`${page.url}/sign-in/nobody`)).status).toBe(400);
    await Promise.all([two.stop(), partner.stop()]);
  });

  it('is nowhere when there is none, and the page says so', async () => {
    const none = await startWrit(db.database, { agents: [agent.registered], engine: { identityProviders: [] } });
    const page = await new Browser().get((await authorizationLink(none, agent)).link);
    expect([page.status, page.body]).toEqual([503, expect.stringContaining('Nobody can sign in here yet')]);
    await none.stop();
  });

  it('may be down, and the page says so', async () => {
    const away = await startWrit(db.database, { agents: [agent.registered] });
    await away.company.stop();
    const page = await new Browser().get((await authorizationLink(away, agent)).link);
    expect([page.status, page.body]).toEqual([502, expect.stringContaining('The sign-in does not answer')]);
    expect(away.faults).toHaveLength(1);
    await away.stop();
  });

  it('may go down in the middle, and the page says so', async () => {
    const away = await startWrit(db.database, { agents: [agent.registered] });
    const browser = new Browser();
    const page = await browser.get((await authorizationLink(away, agent)).link);
    const callback = await browser.submit(page, { email, password }, `${away.issuer}/interaction/callback`);
    await away.company.stop();
    const answer = await browser.get(callback.url);
    expect(away.faults).toHaveLength(1);
    expect([answer.status, answer.body]).toEqual([502, expect.stringContaining('The sign-in does not answer')]);
    await away.stop();
  });

  it('may not say when the person signed in, and then the token does not either', async () => {
    const silent = await startWrit(db.database, { agents: [agent.registered], company: { saysWhen: false } });
    const { redirected } = await obtainCode(silent, agent, { browser: new Browser(), employee: BOB });
    expect(redirected.searchParams.has('code')).toBe(true);
    const codes = await db.database.prisma.engineRecord.findMany({ where: { model: 'AuthorizationCode' } });
    expect(codes.map(({ payload }) => (payload as { authTime: number }).authTime)).toContain(0);
    await silent.stop();
  });

  it('keeps a person signed in for the next agent, and asks for consent all the same', async () => {
    const browser = new Browser();
    await obtainCode(writ, agent, { browser });
    const { link } = await authorizationLink(writ, rude);
    const redirected = await authorize(browser, link, {
      redirectUri: REDIRECT_URI,
      employee: { ...ALICE, password: 'not needed' },
    });
    expect(redirected.searchParams.has('code')).toBe(true);
  });
});
