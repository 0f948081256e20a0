import { describe, expect, it } from '@jest/globals';
import { sha256 } from '../../src/protocol/index.js';
import { Authenticator, passkeyOptions } from '../support/authenticator.js';
import { Browser, type Seen } from '../support/browser.js';
import { authorizationOf, startLocalWorld } from '../support/local-world.js';
import { freePort, startTestWrit } from '../support/writ.js';

const world = await startLocalWorld();
const place = `${world.issuer}/approvals`;
const recovery = `${world.issuer}/recover`;

const titleOf = ({ body }: Seen): string | undefined => /<h1>([^<]*)<\/h1>/.exec(body)?.[1];
const alertOf = ({ body }: Seen): string | undefined => /role="alert"[^>]*>\s*([^<]*?)\s*</.exec(body)?.[1];
const textOf = ({ body }: Seen): string =>
  body
    .replace(/<(style|script)[^>]*>.*?<\/\1>/gs, ' ')
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ');
const codesOf = ({ body }: Seen): readonly string[] =>
  [...body.matchAll(/<code>([^<]+)<\/code>/g)].map(([, code = '']) => code);

const BAD =
  'This code is not good here. It may have been used or replaced. Try another one, or ask your administrator for a link.';

type Owner = Readonly<{ id: string; passkey: Authenticator; browser: Browser }>;

async function enrolAt(page: Seen, browser: Browser): Promise<Authenticator> {
  const passkey = new Authenticator();
  const done = await browser.submit(page, { answer: passkey.create(world.issuer, passkeyOptions(page.body)) });
  expect([done.status, titleOf(done)]).toEqual([200, 'Your passkey is ready']);
  return passkey;
}

async function signIn(browser: Browser, passkey: Authenticator): Promise<Seen> {
  const shown = await browser.get(place);
  return browser.submit(shown, { answer: passkey.get(world.issuer, passkeyOptions(shown.body)) });
}

/** Somebody with a passkey who is signed in at /approvals. */
async function enrolled(): Promise<Owner> {
  const { body } = await world.admin('POST', '/persons', { name: 'Ada Lovelace', email: 'ada@example.com' });
  const { link, id } = body as { link: string; id: string };
  const browser = new Browser();
  const passkey = await enrolAt(await browser.get(link), browser);
  expect(titleOf(await signIn(browser, passkey))).toBe('Approvals');
  return { id, passkey, browser };
}

/** The one form of the page that leads there. */
const formOf = (page: Seen, action: string): Seen => ({
  ...page,
  body: page.body.slice(page.body.indexOf(`<form method="post" action="${action}"`)),
});

const renew = async (browser: Browser, fields: Readonly<Record<string, string>> = {}): Promise<Seen> =>
  browser.submit(formOf(await browser.get(place), `${place}/recovery-codes`), fields);

async function codesFor(browser: Browser): Promise<readonly string[]> {
  const made = await renew(browser);
  expect([made.status, titleOf(made)]).toEqual([200, 'Your recovery codes']);
  return codesOf(made);
}

async function recover(code: string, browser = new Browser()): Promise<Seen> {
  const page = await browser.get(recovery);
  expect([page.status, titleOf(page)]).toEqual([200, 'Use a recovery code']);
  return browser.submit(page, { code });
}

const kept = (id: string): Promise<readonly unknown[]> =>
  world.rows(`SELECT code_hash FROM recovery_code WHERE person_id = '${id}'`);

const factsOf = (id: string): Promise<readonly unknown[]> =>
  world.rows(
    `SELECT convert_from(leaf, 'UTF8')::jsonb -> 'facts' AS facts FROM log_leaf
     WHERE convert_from(leaf, 'UTF8')::jsonb #>> '{facts,person}' = '${id}'
       AND convert_from(leaf, 'UTF8')::jsonb #>> '{facts,what}' LIKE 'recovery%' ORDER BY id`,
  );

const toldAt = (person: string): Promise<unknown> =>
  world.rows(
    `INSERT INTO notice_channel (id, person_id, kind, label, address_hash, sealed)
     VALUES ('chn_${person}', '${person}', 'webhook', 'hooks.example', 'hash', '\\x00') RETURNING id`,
  );
const placesOf = async (person: string): Promise<readonly unknown[]> =>
  (await world.rows(`SELECT label FROM notice_channel WHERE person_id = '${person}'`)).map(
    (one) => (one as { label: string }).label,
  );

describe('recovery codes', () => {
  it('are ten of 140 bits, shown once and kept as hashes', async () => {
    const { id, browser } = await enrolled();
    expect(textOf(await browser.get(place))).toContain('You have no recovery codes.');
    const made = await renew(browser);
    const codes = codesOf(made);
    expect([made.status, made.headers.get('cache-control')]).toEqual([200, 'no-store']);
    expect(codes).toEqual(Array(10).fill(expect.stringMatching(/^([0-9A-HJKMNP-TV-Z]{4}-){6}[0-9A-HJKMNP-TV-Z]{4}$/)));
    expect(new Set(codes).size).toBe(10);
    const hashes = codes.map((code) => ({ code_hash: sha256(code.replaceAll('-', '')) }));
    expect(await kept(id)).toEqual(expect.arrayContaining(hashes));
    expect(await kept(id)).toHaveLength(10);
    const after = await browser.get(place);
    expect(textOf(after)).toContain('Recovery codes that are left: 10');
    expect(codes.filter((code) => after.body.includes(code))).toEqual([]);
    expect(await factsOf(id)).toEqual([{ facts: { what: 'recovery_codes_made', person: id, codes: 10 } }]);
  });

  it('are replaced by new ones, all of them', async () => {
    const { id, browser } = await enrolled();
    const [before = ''] = await codesFor(browser);
    const [after = ''] = await codesFor(browser);
    expect(await kept(id)).toHaveLength(10);
    const refused = await recover(before);
    expect([refused.status, alertOf(refused)]).toEqual([400, BAD]);
    expect(titleOf(await recover(after))).toBe('Welcome, Ada Lovelace');
  });

  it('are made in a sign-in of the last five minutes only (AP-17)', async () => {
    const { id, browser, passkey } = await enrolled();
    await world.rows(
      `UPDATE engine_record SET payload = jsonb_set(payload, '{verifiedAt}', to_jsonb((payload ->> 'verifiedAt')::int - 301))
       WHERE payload ->> 'accountId' = '${id}' AND payload ? 'verifiedAt' RETURNING key`,
    );
    const refused = await renew(browser);
    expect([refused.status, titleOf(refused), alertOf(refused)]).toEqual([
      403,
      'Sign in to Writ',
      'To make recovery codes, sign in again by your passkey first. Nothing has changed yet.',
    ]);
    expect([await kept(id), await factsOf(id)]).toEqual([[], []]);
    const answer = passkey.get(world.issuer, passkeyOptions(refused.body));
    expect((await browser.submit(refused, { answer })).status).toBe(200);
    expect(await codesFor(browser)).toHaveLength(10);
  });

  it.each([
    ['without the token of the page', { token: '' }],
    ['with a token of nobody', { token: 'A'.repeat(43) }],
  ])('are not made %s', async (_, fields) => {
    const { id, browser } = await enrolled();
    const refused = await renew(browser, fields);
    expect([refused.status, titleOf(refused)]).toEqual([400, 'Approvals']);
    expect(await kept(id)).toEqual([]);
  });

  it('are not made by a GET, nor without a sign-in', async () => {
    expect((await fetch(`${place}/recovery-codes`)).status).toBe(405);
    const refused = await fetch(`${place}/recovery-codes`, {
      method: 'POST',
      body: new URLSearchParams({ token: 'x' }),
    });
    expect([refused.status, (await refused.text()).includes('<code>')]).toEqual([200, false]);
  });

  it('are not for somebody for whom a company vouches, nor is one of theirs good', async () => {
    const { id, browser } = await enrolled();
    const [code = ''] = await codesFor(browser);
    const page = await browser.get(place);
    await world.rows(`UPDATE person SET issuer = 'https://company.example' WHERE id = '${id}' RETURNING id`);
    const refused = await browser.submit(formOf(page, `${place}/recovery-codes`), {});
    expect([refused.status, titleOf(refused)]).toEqual([404, 'There is nothing here']);
    expect((await browser.get(place)).body).not.toContain('recovery-codes');
    expect(alertOf(await recover(code))).toBe(BAD);
    expect(await kept(id)).toHaveLength(10);
  });

  it('go with the person who is erased', async () => {
    const { id, browser } = await enrolled();
    const [code = ''] = await codesFor(browser);
    expect((await world.admin('DELETE', `/persons/${id}`)).status).toBe(200);
    expect(await kept(id)).toEqual([]);
    expect(alertOf(await recover(code))).toBe(BAD);
  });

  it.each<[string, (owner: Owner) => Promise<number>]>([
    [
      'removes a passkey',
      async ({ id, passkey }) => (await world.admin('DELETE', `/persons/${id}/passkeys/${passkey.id}`)).status,
    ],
    ['replaces all', async ({ id }) => (await world.admin('POST', `/persons/${id}/invitation?replace=true`)).status],
  ])('end when an administrator %s', async (_, act) => {
    const owner = await enrolled();
    const [code = ''] = await codesFor(owner.browser);
    expect(await act(owner)).toBeLessThan(300);
    expect(await kept(owner.id)).toEqual([]);
    expect(alertOf(await recover(code))).toBe(BAD);
  });

  it('stay when an administrator removes a passkey that is not theirs', async () => {
    const [ada, eve] = [await enrolled(), await enrolled()];
    await codesFor(ada.browser);
    expect((await world.admin('DELETE', `/persons/${ada.id}/passkeys/${eve.passkey.id}`)).status).toBe(404);
    expect(await kept(ada.id)).toHaveLength(10);
  });
});

describe('a recovery code', () => {
  it('is asked for where people sign in, and opens by a form that pastes and says what it does', async () => {
    const { link } = await authorizationOf(world);
    for (const at of [place, link]) expect((await new Browser().get(at)).body).toContain(`<a href="${recovery}">`);
    const page = await new Browser().get(recovery);
    expect(page.headers.get('content-security-policy')).toMatch(
      /^default-src 'none'; style-src 'sha256-[^']+'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'$/,
    );
    expect(page.body).toMatch(/<label class="field address">\s*<span>Recovery code<\/span>\s*<input\s+name="code"/);
    expect(page.body).toContain('autocomplete="off"');
    expect(page.body).toContain('aria-describedby="hint"');
  });

  it('opens one enrolment, takes away the old passkeys and ends every sign-in and what agents hold (AP-17)', async () => {
    const { id, browser, passkey } = await enrolled();
    const [code = ''] = await codesFor(browser);
    await world.signInAndExchange(new Browser(), passkey);
    const fresh = new Browser();
    const opened = await recover(code, fresh);
    expect([opened.status, titleOf(opened)]).toEqual([200, 'Welcome, Ada Lovelace']);
    expect(opened.url).toMatch(new RegExp(`^${world.issuer}/enrol/[\\w-]{43}$`));
    // Nobody is signed in by it.
    expect(titleOf(await fresh.get(place))).toBe('Sign in to Writ');
    expect(titleOf(await browser.get(place))).toBe('Sign in to Writ');
    expect(await world.rows(`SELECT key FROM engine_record WHERE payload ->> 'accountId' = '${id}'`)).toEqual([]);
    expect((await signIn(new Browser(), passkey)).status).toBe(400);
    const next = await enrolAt(opened, fresh);
    const again = await signIn(fresh, next);
    expect([again.status, titleOf(again)]).toEqual([200, 'Approvals']);
    expect(textOf(again)).toContain('Recovery codes that are left: 9');
    expect((await fresh.get(opened.url)).status).toBe(404);
    expect(await factsOf(id)).toEqual([
      { facts: { what: 'recovery_codes_made', person: id, codes: 10 } },
      { facts: { what: 'recovery_code_used', person: id, credentials: [sha256(passkey.id)], left: 9 } },
    ]);
    expect(await world.rows(`SELECT revoked_by AS by, reason FROM revocation WHERE target = 'person:${id}'`)).toEqual([
      { by: id, reason: 'a recovery code was used' },
    ]);
  });

  it('forgets where its person was told, which whoever had the account may have chosen', async () => {
    const [ada, eve] = [await enrolled(), await enrolled()];
    await toldAt(ada.id);
    await toldAt(eve.id);
    const [code = ''] = await codesFor(ada.browser);
    await recover(code);
    expect([await placesOf(ada.id), await placesOf(eve.id)]).toEqual([[], ['hooks.example']]);
    await world.admin('DELETE', `/persons/${eve.id}/passkeys/${eve.passkey.id}`);
    expect(await placesOf(eve.id)).toEqual([]);
  });

  it('opens a link of fifteen minutes, and the one that was open before ends', async () => {
    const { id, browser } = await enrolled();
    const [one = '', other = ''] = await codesFor(browser);
    const [first, second] = [await recover(one), await recover(other)];
    expect(titleOf(await new Browser().get(first.url))).toBe('This link is not valid any more');
    expect(titleOf(await new Browser().get(second.url))).toBe('Welcome, Ada Lovelace');
    const [open] = (await world.rows(
      `SELECT extract(epoch FROM expires_at - now())::float8 AS left FROM enrolment WHERE person_id = '${id}' AND used_at IS NULL`,
    )) as { left: number }[];
    expect(open?.left).toBeGreaterThan(890);
    expect(open?.left).toBeLessThanOrEqual(900);
  });

  it('is read as people type it', async () => {
    const { browser } = await enrolled();
    const [code = ''] = await codesFor(browser);
    const typed = ` ${code.toLowerCase().replaceAll('-', ' ').replaceAll('0', 'o').replaceAll('1', 'l')} `;
    expect(titleOf(await recover(typed))).toBe('Welcome, Ada Lovelace');
  });

  it('is good once: used, unknown, misread and of somebody disabled read the same', async () => {
    const [ada, eve] = [await enrolled(), await enrolled()];
    const [used = ''] = await codesFor(ada.browser);
    const [disabled = ''] = await codesFor(eve.browser);
    await recover(used);
    expect((await world.admin('POST', `/persons/${eve.id}/disable`)).status).toBeLessThan(300);
    const tries = [used, disabled, 'ABCD-'.repeat(7).slice(0, -1), 'x', '', 'A'.repeat(300)];
    const answers = await Promise.all(tries.map((code) => recover(code)));
    expect(new Set(answers.map(({ status, body }) => `${String(status)} ${body}`)).size).toBe(1);
    expect([answers[0]?.status, answers[0] && alertOf(answers[0])]).toEqual([400, BAD]);
  });

  it('is not taken from a page of somebody else', async () => {
    const { id, browser } = await enrolled();
    const [code = ''] = await codesFor(browser);
    const headers = { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' };
    const refused = await fetch(recovery, { method: 'POST', headers, body: new URLSearchParams({ code }) });
    expect([refused.status, (await refused.text()).includes('That did not come from this page')]).toEqual([400, true]);
    expect(await kept(id)).toHaveLength(10);
  });

  it('is spent by no GET and no HEAD (AP-20)', async () => {
    const { id, browser } = await enrolled();
    const [code = ''] = await codesFor(browser);
    for (const method of ['GET', 'HEAD'])
      expect((await fetch(`${recovery}?code=${code}`, { method })).status).toBe(200);
    expect(await kept(id)).toHaveLength(10);
  });

  it('is good for one of two who bring it at once', async () => {
    const { id, browser } = await enrolled();
    for (const code of await codesFor(browser)) {
      const titles = (await Promise.all([recover(code), recover(code)])).map(titleOf);
      expect(titles.toSorted()).toEqual(['Use a recovery code', 'Welcome, Ada Lovelace']);
    }
    expect(await kept(id)).toEqual([]);
  });
});

describe('the page of recovery codes', () => {
  it('is not there without local accounts', async () => {
    const writ = await startTestWrit();
    try {
      expect((await fetch(`${writ.issuer}/recover`)).status).toBe(404);
    } finally {
      await writ.close();
    }
  });

  it('answers 429 with Retry-After to a network that tries too often', async () => {
    const writ = await startTestWrit({
      env: {
        WRIT_ISSUER: `http://localhost:${await freePort()}`,
        WRIT_LOCAL_ACCOUNTS: 'true',
        WRIT_SIGN_INS_PER_NETWORK: '3',
      },
    });
    try {
      const tried = async (): Promise<Response> =>
        fetch(`${writ.issuer}/recover`, { method: 'POST', body: new URLSearchParams({ code: 'x' }) });
      const statuses = [await tried(), await tried(), await tried()].map(({ status }) => status);
      const last = await tried();
      expect([statuses, last.status]).toEqual([[400, 400, 400], 429]);
      expect(Number(last.headers.get('retry-after'))).toBeGreaterThan(0);
    } finally {
      await writ.close();
    }
  });
});
