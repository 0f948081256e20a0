import { describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { Authenticator, passkeyOptions } from '../support/authenticator.js';
import { Browser, type Seen } from '../support/browser.js';
import { authorizationOf, RETURN, startLocalWorld } from '../support/local-world.js';
import { bearerAssertion, freePort, startTestWrit, tokensOf } from '../support/writ.js';

const world = await startLocalWorld({ env: { WRIT_BREAK_GLASS_PASSWORDS: 'true', WRIT_SIGN_INS_PER_NETWORK: '2000' } });
const place = `${world.issuer}/approvals`;

const titleOf = ({ body }: Pick<Seen, 'body'>): string | undefined => /<h1>([^<]*)<\/h1>/.exec(body)?.[1];
const alertOf = ({ body }: Pick<Seen, 'body'>): string | undefined =>
  /role="alert"[^>]*>\s*([^<]+?)\s*</.exec(body)?.[1];
const WRONG =
  'This name and password are not good here. It may have been replaced. Try again, or ask your administrator.';

type Owner = Readonly<{ id: string; email: string; passkey: Authenticator; browser: Browser }>;

async function signIn(browser: Browser, passkey: Authenticator): Promise<Seen> {
  const shown = await browser.get(place);
  return browser.submit(shown, { answer: passkey.get(world.issuer, passkeyOptions(shown.body)) });
}

let count = 0;
/** Somebody with a passkey who is signed in at /approvals. */
async function enrolled(email = `ada${String(++count)}@example.com`): Promise<Owner> {
  const { body } = await world.admin('POST', '/persons', { name: 'Ada Lovelace', email });
  const { link, id } = body as { link: string; id: string };
  const [browser, passkey] = [new Browser(), new Authenticator()];
  const page = await browser.get(link);
  await browser.submit(page, { answer: passkey.create(world.issuer, passkeyOptions(page.body)) });
  expect(titleOf(await signIn(browser, passkey))).toBe('Approvals');
  return { id, email, passkey, browser };
}

/** The one form of the page that leads there. */
const formOf = (page: Seen, action: string): Seen => ({
  ...page,
  body: page.body.slice(page.body.indexOf(`<form method="post" action="${action}"`)),
});
const change = async (browser: Browser, fields: Readonly<Record<string, string>>): Promise<Seen> =>
  browser.submit(formOf(await browser.get(place), `${place}/password`), fields);

async function passwordFor({ browser }: Owner): Promise<string> {
  const made = await change(browser, { action: 'make' });
  expect([made.status, titleOf(made)]).toEqual([200, 'Your password for emergencies']);
  return /<code>([^<]+)<\/code>/.exec(made.body)?.[1] ?? '';
}

async function enter(name: string, password: string, browser = new Browser()): Promise<Seen> {
  const page = await browser.get(place);
  const at = page.body.indexOf('<details');
  return browser.submit({ ...page, body: page.body.slice(at) }, { name, password });
}

const kept = (id: string): Promise<readonly unknown[]> =>
  world.rows(`SELECT hash FROM password WHERE person_id = '${id}'`);
const factsOf = (id: string): Promise<readonly unknown[]> =>
  world.rows(
    `SELECT convert_from(leaf, 'UTF8')::jsonb #>> '{facts,what}' AS what FROM log_leaf
     WHERE convert_from(leaf, 'UTF8')::jsonb #>> '{facts,person}' = '${id}'
       AND convert_from(leaf, 'UTF8')::jsonb #>> '{facts,what}' LIKE 'password%' ORDER BY id`,
  );

describe('the password for emergencies', () => {
  it('is of 140 bits, made by Writ, shown once and kept as an argon2id hash', async () => {
    const owner = await enrolled();
    expect((await owner.browser.get(place)).body).toContain('You have none.');
    const made = await change(owner.browser, { action: 'make' });
    const [, password = ''] = /<code>([^<]+)<\/code>/.exec(made.body) ?? [];
    expect(password).toMatch(/^([0-9A-HJKMNP-TV-Z]{4}-){6}[0-9A-HJKMNP-TV-Z]{4}$/);
    expect([made.headers.get('cache-control'), made.body.includes(owner.email)]).toEqual(['no-store', true]);
    expect(await kept(owner.id)).toEqual([
      { hash: expect.stringMatching(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$[\w+/]{22}\$[\w+/]{43}$/) },
    ]);
    const after = await owner.browser.get(place);
    expect([after.body.includes(password), after.body.includes('Make a new one instead')]).toEqual([false, true]);
    expect(await factsOf(owner.id)).toEqual([{ what: 'password_made' }]);
  });

  it('signs its person in, by e-mail address or account, as they type it, again and again', async () => {
    const owner = await enrolled();
    const password = await passwordFor(owner);
    const typed = ` ${password.toLowerCase().replaceAll('-', ' ').replaceAll('0', 'o').replaceAll('1', 'l')} `;
    for (const [name, secret] of [
      [owner.email, password],
      [owner.email.toUpperCase(), typed],
      [` ${owner.id} `, password],
    ] as const) {
      const seen = await enter(name, secret);
      expect([seen.status, seen.url, titleOf(seen)]).toEqual([200, place, 'Approvals']);
    }
    expect((await owner.browser.get(place)).body).toMatch(/Last used<\/dt>\s*<dd><time/);
    expect(await factsOf(owner.id)).toEqual([
      { what: 'password_made' },
      ...Array.from({ length: 3 }, () => ({ what: 'password_used' })),
    ]);
  });

  it('signs in to an agent too, and its tokens say pwd and no class (RFC 8176, RFC 9470)', async () => {
    const owner = await enrolled();
    const password = await passwordFor(owner);
    const { link, verifier } = await authorizationOf(world);
    const browser = new Browser();
    const page = await browser.get(link);
    const at = page.body.indexOf('<details');
    const wrong = await browser.submit({ ...page, body: page.body.slice(at) }, { name: owner.email, password: 'x' });
    expect([wrong.status, alertOf({ body: wrong.body.slice(wrong.body.indexOf('<details')) })]).toEqual([400, WRONG]);
    const again = { ...wrong, body: wrong.body.slice(wrong.body.indexOf('<details')) };
    const consent = await browser.submit(again, { name: owner.email, password });
    const end = await browser.submit(consent, { decision: 'allow' }, RETURN);
    const tokens = tokensOf(
      await world.post('/token', {
        grant_type: 'authorization_code',
        code: new URL(end.url).searchParams.get('code') ?? '',
        code_verifier: verifier,
        redirect_uri: RETURN,
        ...(await bearerAssertion(world.issuer, { id: 'agt_planner', key: world.agentKey })),
      }),
    );
    const claims = decodeJwt(tokens.access_token);
    expect([claims.sub, claims['amr'], claims['acr']]).toEqual([owner.id, ['pwd'], undefined]);
  });

  it('is no answer to a request for a class (acr_values)', async () => {
    const owner = await enrolled();
    const password = await passwordFor(owner);
    const { link } = await authorizationOf(world, {
      claims: JSON.stringify({ id_token: { acr: { essential: true, values: ['phr'] } } }),
      acr_values: 'phr',
    });
    const browser = new Browser();
    const page = await browser.get(link);
    const at = page.body.indexOf('<details');
    const end = await browser.submit({ ...page, body: page.body.slice(at) }, { name: owner.email, password }, RETURN);
    expect([end.url.startsWith(RETURN), new URL(end.url).searchParams.get('error')]).toEqual([
      true,
      'unmet_authentication_requirements',
    ]);
  });

  it('of nobody, of another, misread and of somebody disabled reads the same', async () => {
    const [ada, eve, none] = [await enrolled(), await enrolled(), await enrolled()];
    const password = await passwordFor(ada);
    const disabled = await passwordFor(eve);
    expect((await world.admin('POST', `/persons/${eve.id}/disable`)).status).toBeLessThan(300);
    const answers = [
      await enter('nobody@example.com', password),
      await enter(none.email, password),
      await enter(eve.email, disabled),
      await enter(ada.email, 'ABCD-'.repeat(7).slice(0, -1)),
      await enter(ada.email, 'x'),
      await enter('', password),
      await enter('a'.repeat(400), password),
    ];
    const said = answers.map(({ status, body }) => {
      const part = body.slice(body.indexOf('<details'));
      return [status, alertOf({ body: part })];
    });
    expect(said).toEqual(said.map(() => [400, WRONG]));
    expect(await factsOf(ada.id)).toEqual([{ what: 'password_made' }]);
  });

  it('of two with one e-mail address is found by their accounts only, and says so', async () => {
    const [ada, eve] = [await enrolled('both@example.com'), await enrolled('Both@example.com')];
    const password = await passwordFor(ada);
    const other = await change(eve.browser, { action: 'make' });
    expect(other.body).toContain(`<dd>${eve.id}</dd>`);
    expect((await enter('both@example.com', password)).status).toBe(400);
    expect(titleOf(await enter(ada.id, password))).toBe('Approvals');
  });

  it('is replaced by a new one, and taken away', async () => {
    const owner = await enrolled();
    const before = await passwordFor(owner);
    const renewed = await change(owner.browser, { action: 'renew' });
    const [, after = ''] = /<code>([^<]+)<\/code>/.exec(renewed.body) ?? [];
    expect((await enter(owner.email, before)).status).toBe(400);
    expect(titleOf(await enter(owner.email, after))).toBe('Approvals');
    await signIn(owner.browser, owner.passkey);
    expect(titleOf(await change(owner.browser, { action: 'remove' }))).toBe('Sign in to Writ');
    await signIn(owner.browser, owner.passkey);
    expect((await owner.browser.get(place)).body).toContain('You have none.');
    expect([(await enter(owner.email, after)).status, await kept(owner.id)]).toEqual([400, []]);
    expect(await factsOf(owner.id)).toContainEqual({ what: 'password_removed' });
  });

  it.each(['renew', 'remove'])('ends every sign-in of its person when they %s it, whoever made it', async (action) => {
    const owner = await enrolled();
    const password = await passwordFor(owner);
    const thief = new Browser();
    expect(titleOf(await enter(owner.email, password, thief))).toBe('Approvals');
    const page = await owner.browser.get(place);
    expect(page.body).toContain(
      'Taking it away or making a new one ends every sign-in of yours, here too, and all that agents can do for you.',
    );
    await change(owner.browser, { action });
    for (const browser of [thief, owner.browser]) expect(titleOf(await browser.get(place))).toBe('Sign in to Writ');
    expect(await world.rows(`SELECT reason FROM revocation WHERE target = 'person:${owner.id}'`)).toEqual([
      { reason: action === 'renew' ? 'password_made' : 'password_removed' },
    ]);
  });

  it('the first one ends nothing', async () => {
    const owner = await enrolled();
    await passwordFor(owner);
    expect(titleOf(await owner.browser.get(place))).toBe('Approvals');
  });

  it.each<[string, (owner: Owner) => Promise<unknown>]>([
    ['removes a passkey', ({ id, passkey }) => world.admin('DELETE', `/persons/${id}/passkeys/${passkey.id}`)],
    ['replaces all', ({ id }) => world.admin('POST', `/persons/${id}/invitation?replace=true`)],
    ['erases the person', ({ id }) => world.admin('DELETE', `/persons/${id}`)],
  ])('ends when an administrator %s', async (_what, act) => {
    const owner = await enrolled();
    const password = await passwordFor(owner);
    await act(owner);
    expect([(await enter(owner.email, password)).status, await kept(owner.id)]).toEqual([400, []]);
  });

  it('ends when a recovery code is used', async () => {
    const owner = await enrolled();
    const password = await passwordFor(owner);
    const made = await owner.browser.submit(formOf(await owner.browser.get(place), `${place}/recovery-codes`), {});
    const [, code = ''] = /<code>([^<]+)<\/code>/.exec(made.body) ?? [];
    const browser = new Browser();
    await browser.submit(await browser.get(`${world.issuer}/recover`), { code });
    expect([(await enter(owner.email, password)).status, await kept(owner.id)]).toEqual([400, []]);
  });

  it('is not made in a sign-in of longer ago than five minutes (AP-17)', async () => {
    const owner = await enrolled();
    await world.rows(
      `UPDATE engine_record SET payload = jsonb_set(payload, '{verifiedAt}', to_jsonb((payload ->> 'verifiedAt')::int - 301))
       WHERE payload ->> 'accountId' = '${owner.id}' AND payload ? 'verifiedAt' RETURNING key`,
    );
    const refused = await change(owner.browser, { action: 'make' });
    expect([refused.status, alertOf(refused), await kept(owner.id)]).toEqual([
      403,
      'To change your password for emergencies, sign in again by your passkey first. Nothing has changed yet.',
      [],
    ]);
  });

  it('is not made by a form of somebody else, nor by a GET', async () => {
    const owner = await enrolled();
    expect((await change(owner.browser, { action: 'make', token: 'A'.repeat(43) })).status).toBe(400);
    expect((await fetch(`${place}/password`)).status).toBe(405);
    expect(await kept(owner.id)).toEqual([]);
  });
});

describe('a sign-in by the password for emergencies (AP-17)', () => {
  it.each<[string, string, Record<string, string>, string]>([
    ['recovery codes', 'recovery-codes', {}, 'To make recovery codes, sign in again by your passkey first.'],
    ['a new password', 'password', { action: 'renew' }, 'To change your password for emergencies, sign in again'],
    ['away the password', 'password', { action: 'remove' }, 'To change your password for emergencies, sign in again'],
  ])('makes or takes no %s', async (_what, path, fields, said) => {
    const owner = await enrolled();
    const browser = new Browser();
    await enter(owner.email, await passwordFor(owner), browser);
    const before = await kept(owner.id);
    const refused = await browser.submit(formOf(await browser.get(place), `${place}/${path}`), fields);
    expect([refused.status, alertOf(refused)?.startsWith(said)]).toEqual([403, true]);
    expect(refused.body).not.toContain('name="password"');
    expect(await kept(owner.id)).toEqual(before);
    expect(await world.rows(`SELECT 1 FROM recovery_code WHERE person_id = '${owner.id}'`)).toEqual([]);
  });

  it('makes no passkey, also where there is none', async () => {
    const owner = await enrolled();
    const browser = new Browser();
    await enter(owner.email, await passwordFor(owner), browser);
    await world.rows(`DELETE FROM passkey WHERE person_id = '${owner.id}' RETURNING id`);
    const refused = await browser.get(`${place}/passkey`);
    expect([refused.status, alertOf(refused)]).toEqual([403, 'To make a passkey, sign in again first.']);
  });

  it('is begun in this browser and from this page only', async () => {
    const owner = await enrolled();
    const password = await passwordFor(owner);
    for (const headers of [{}, { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }]) {
      const body = new URLSearchParams({ name: owner.email, password });
      const refused = await fetch(`${place}/sign-in`, { method: 'POST', headers, body });
      expect([refused.status, refused.headers.getSetCookie().some((one) => one.startsWith('writ_approvals='))]).toEqual(
        [400, false],
      );
    }
    expect(await factsOf(owner.id)).toEqual([{ what: 'password_made' }]);
  });
});

describe('where passwords are switched off', () => {
  it('there is no form, no page and no sign-in for them', async () => {
    const off = await startTestWrit({
      env: { WRIT_ISSUER: `http://localhost:${await freePort()}`, WRIT_LOCAL_ACCOUNTS: 'true' },
    });
    try {
      const browser = new Browser();
      const page = await browser.get(`${off.issuer}/approvals`);
      expect(page.body).not.toContain('name="password"');
      const refused = await browser.submit(page, { name: 'a@example.com', password: 'x', answer: '' });
      expect(refused.status).toBe(400);
    } finally {
      await off.close();
    }
  });
});

describe('a flood of passwords (RL-08)', () => {
  it('is worked on two at a time, and most are told to come back', async () => {
    const owner = await enrolled();
    const password = await passwordFor(owner);
    const browsers = await Promise.all(
      Array.from({ length: 120 }, async () => {
        const browser = new Browser();
        return { browser, page: await browser.get(place) };
      }),
    );
    const statuses = await Promise.all(
      browsers.map(async ({ browser, page }) => {
        const at = page.body.indexOf('<details');
        const seen = await browser.submit(
          { ...page, body: page.body.slice(at) },
          { name: 'nobody@example.com', password: 'ABCD-'.repeat(7).slice(0, -1) },
        );
        return [seen.status, seen.status === 503 ? seen.headers.get('retry-after') : null].join(' ');
      }),
    );
    expect(new Set(statuses)).toEqual(new Set(['400 ', '503 60']));
    expect(titleOf(await enter(owner.email, password))).toBe('Approvals');
  }, 60_000);

  it('is 429 with Retry-After for a network that tries too often', async () => {
    const writ = await startTestWrit({
      env: {
        WRIT_ISSUER: `http://localhost:${await freePort()}`,
        WRIT_LOCAL_ACCOUNTS: 'true',
        WRIT_BREAK_GLASS_PASSWORDS: 'true',
        WRIT_SIGN_INS_PER_NETWORK: '3',
      },
    });
    try {
      const browser = new Browser();
      const page = await browser.get(`${writ.issuer}/approvals`);
      const form = { ...page, body: page.body.slice(page.body.indexOf('<details')) };
      expect((await browser.submit(form, { name: 'a@example.com', password: 'x' })).status).toBe(400);
      const refused = await browser.submit(form, { name: 'a@example.com', password: 'x' });
      expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '60']);
    } finally {
      await writ.close();
    }
  });
});
