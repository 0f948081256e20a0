import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { run } from '../../src/cli/index.js';
import { sha256 } from '../../src/protocol/index.js';
import { Authenticator, type Misdeed, passkeyOptions } from '../support/authenticator.js';
import { Browser } from '../support/browser.js';
import { claimsOf } from '../support/engine.js';
import { authorizationOf, startLocalWorld } from '../support/local-world.js';
import { ADMIN_TOKEN, startTestWrit } from '../support/writ.js';

const world = await startLocalWorld();

describe('without local accounts', () => {
  it('nobody is invited, and there is no page to enrol at', async () => {
    const writ = await startTestWrit();
    try {
      const refused = await writ.admin('POST', '/persons', ADA);
      expect([refused.status, refused.body]).toEqual([
        409,
        expect.objectContaining({
          code: 'conflict',
          detail: 'There are no local accounts here: localAccounts (WRIT_LOCAL_ACCOUNTS) is off',
        }),
      ]);
      expect((await fetch(`${writ.issuer}/enrol/${'A'.repeat(43)}`)).status).toBe(404);
    } finally {
      await writ.close();
    }
  });
});

const ADA = { name: 'Ada Lovelace', email: 'ada@example.com' };

type Invitation = Readonly<{ id: string; issuer: string; subject: string; link: string; expires_at: string }>;

async function invite(person: Readonly<Record<string, string>> = ADA): Promise<Invitation> {
  const { status, body } = await world.admin('POST', '/persons', person);
  expect(status).toBe(201);
  return body as Invitation;
}

/** A person with an account and a passkey. */
async function enrolled(options: ConstructorParameters<typeof Authenticator>[0] = {}) {
  const invitation = await invite();
  const passkey = new Authenticator(options);
  const browser = new Browser();
  const page = await browser.get(invitation.link);
  const done = await browser.submit(page, { answer: passkey.create(world.issuer, passkeyOptions(page.body)) });
  expect([done.status, titleOf(done.body)]).toEqual([200, 'Your passkey is ready']);
  return { ...invitation, passkey };
}

const NOT_GOOD = 'This passkey is not good here. Use another one, or ask your administrator for a new link.';
const titleOf = (body: string): string | undefined => /<h1>([^<]*)<\/h1>/.exec(body)?.[1];
const alertOf = (body: string): string | undefined => /role="alert"\s*>([^<]*)</.exec(body)?.[1]?.trim();

describe('an invitation', () => {
  it('makes a person of our own issuer and a link that is shown once and kept as a hash', async () => {
    const invitation = await invite();
    expect(invitation).toEqual({
      id: expect.stringMatching(/^prs_[\w-]{22}$/),
      issuer: world.issuer,
      subject: expect.stringMatching(/^acc_[\w-]{22}$/),
      link: expect.stringMatching(new RegExp(`^${world.issuer}/enrol/[\\w-]{43}$`)),
      expires_at: expect.stringMatching(/^20\d\d-/),
    });
    const lasts = Date.parse(invitation.expires_at) - Date.now();
    expect(lasts).toBeGreaterThan(71.9 * 3_600_000);
    expect(lasts).toBeLessThan(72.1 * 3_600_000);
    const token = invitation.link.split('/').at(-1) ?? '';
    const kept = await world.rows(
      `SELECT token_hash, person_id, used_at FROM enrolment WHERE person_id = '${invitation.id}'`,
    );
    expect(kept).toEqual([{ token_hash: sha256(token), person_id: invitation.id, used_at: null }]);
  });

  it.each([
    ['without a name', { email: ADA.email }, 'name'],
    ['with an e-mail address that is none', { ...ADA, email: 'ada' }, 'email'],
    ['with a subject of its own choice', { ...ADA, subject: 'acc_x' }, 'subject'],
  ])('is refused %s', async (_, body, param) => {
    const refused = await world.admin('POST', '/persons', body);
    expect([refused.status, refused.body]).toEqual([400, expect.objectContaining({ code: 'invalid_field', param })]);
  });

  it('is made again for the same person, and for nobody else', async () => {
    const { id } = await invite();
    const again = await world.admin('POST', `/persons/${id}/invitation`);
    expect([again.status, (again.body as Invitation).id]).toEqual([201, id]);
    const unknown = await world.admin('POST', '/persons/prs_nobody/invitation');
    expect([unknown.status, unknown.body]).toEqual([
      404,
      expect.objectContaining({
        code: 'not_found',
        detail: 'There is no active local account of a person prs_nobody',
      }),
    ]);
  });

  it('comes from the command line too, for a new person and again for one', async () => {
    const out: string[] = [];
    const invited = async (...args: string[]): Promise<Invitation> => {
      const done = await run(['persons', 'invite', ...args, '--json', '--url', world.issuer], {
        env: { WRIT_ADMIN_TOKEN: ADMIN_TOKEN },
        readFile: () => undefined,
        makePrivateFile: () => false,
        readStdin: () => Promise.resolve(''),
        out: (text) => out.push(text),
        err: (text) => out.push(text),
      });
      expect(done).toBe(0);
      return JSON.parse(out.splice(0).join('')) as Invitation;
    };
    const made = await invited('--name', ADA.name, '--email', ADA.email);
    expect(titleOf((await new Browser().get(made.link)).body)).toBe('Welcome, Ada Lovelace');
    const again = await invited(made.id);
    expect([again.id, again.subject]).toEqual([made.id, made.subject]);
    expect(again.link).not.toBe(made.link);
  });

  it('opens a page without changing anything, so that a scanner of links spends nothing (AP-20)', async () => {
    const { link } = await invite();
    for (const method of ['HEAD', 'GET', 'GET']) expect((await fetch(link, { method })).status).toBe(200);
    const page = await new Browser().get(link);
    expect(titleOf(page.body)).toBe('Welcome, Ada Lovelace');
    expect(passkeyOptions(page.body)).toEqual({
      challenge: expect.stringMatching(/^[\w-]{43}$/),
      rp: { id: 'localhost', name: 'Writ' },
      user: { id: expect.any(String), name: ADA.email, displayName: ADA.name },
      pubKeyCredParams: [-7, -8, -257].map((alg) => ({ type: 'public-key', alg })),
      excludeCredentials: [],
      authenticatorSelection: { residentKey: 'required', requireResidentKey: true, userVerification: 'required' },
      attestation: 'none',
      timeout: 300_000,
    });
    expect(page.body.length).toBeLessThan(30_000);
    expect(page.headers.get('content-security-policy')).toMatch(
      /^default-src 'none'; style-src 'sha256-[^']+'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; script-src 'sha256-[^']+'; require-trusted-types-for 'script'$/,
    );
  });

  const BAD: readonly (readonly [string, Misdeed])[] = [
    ['another origin', { origin: 'https://evil.example' }],
    ['another relying party', { rpId: 'evil.example' }],
    ['the challenge of nobody', { challenge: 'A'.repeat(43) }],
    ['the type of a sign-in', { type: 'webauthn.get' }],
    ['a frame of somebody else', { crossOrigin: true }],
    ['nobody there', { isPresent: false }],
    ['nobody who opened the key', { isVerified: false }],
  ];
  it.each(BAD)('takes no passkey made with %s', async (_, misdeed) => {
    const { link, id } = await invite();
    const browser = new Browser();
    const page = await browser.get(link);
    const passkey = new Authenticator();
    const refused = await browser.submit(page, {
      answer: passkey.create(world.issuer, passkeyOptions(page.body), misdeed),
    });
    expect([refused.status, titleOf(refused.body)]).toEqual([400, 'Welcome, Ada Lovelace']);
    expect(await world.rows(`SELECT id FROM passkey WHERE person_id = '${id}'`)).toEqual([]);
    // The link is still good.
    const good = passkey.create(world.issuer, passkeyOptions(refused.body));
    expect((await browser.submit(refused, { answer: good })).status).toBe(200);
  });

  it.each(['', '{}', '[]', 'null', '{"id":"x"}', '€'])('takes no answer that is %j', async (answer) => {
    const browser = new Browser();
    const page = await browser.get((await invite()).link);
    const refused = await browser.submit(page, { answer });
    expect([refused.status, alertOf(refused.body)]).toEqual([400, 'No passkey was used. You can try again.']);
  });

  it('is good once: used, unknown and over look the same', async () => {
    const { link } = await enrolled();
    const over = await invite();
    await world.rows(`UPDATE enrolment SET expires_at = now() WHERE person_id = '${over.id}' RETURNING 1`);
    const answers = await Promise.all(
      [link, over.link, `${world.issuer}/enrol/${'A'.repeat(43)}`, `${world.issuer}/enrol/x`].map(async (one) => {
        const { status, body } = await new Browser().get(one);
        return [status, body];
      }),
    );
    expect(new Set(answers.map(String)).size).toBe(1);
    expect([answers[0]?.[0], titleOf(String(answers[0]?.[1]))]).toEqual([404, 'This link is not valid any more']);
  });

  it('ends for a person who is disabled', async () => {
    const { id, link } = await invite();
    await world.admin('POST', `/persons/${id}/disable`);
    expect((await new Browser().get(link)).status).toBe(404);
    expect((await world.admin('POST', `/persons/${id}/invitation`)).status).toBe(404);
  });

  it('goes with the person who is erased, and so do passkeys', async () => {
    const { id, passkey } = await enrolled();
    expect((await world.admin('DELETE', `/persons/${id}`)).status).toBe(200);
    expect(await world.rows(`SELECT 1 FROM passkey WHERE id = '${passkey.id}'`)).toEqual([]);
    expect(await world.rows(`SELECT 1 FROM enrolment WHERE person_id = '${id}'`)).toEqual([]);
    const page = await signIn(new Browser(), passkey);
    expect([page.status, alertOf(page.body)]).toEqual([400, NOT_GOOD]);
  });

  it('lets nobody take the credential id of somebody else', async () => {
    const { passkey } = await enrolled();
    const { link, id } = await invite({ name: 'Mallory' });
    const browser = new Browser();
    const page = await browser.get(link);
    const refused = await browser.submit(page, { answer: passkey.create(world.issuer, passkeyOptions(page.body)) });
    expect([refused.status, alertOf(refused.body)]).toEqual([400, NOT_GOOD]);
    expect(await world.rows(`SELECT id FROM passkey WHERE person_id = '${id}'`)).toEqual([]);
    const done = await browser.submit(refused, {
      answer: new Authenticator().create(world.issuer, passkeyOptions(refused.body)),
    });
    expect([done.status, titleOf(done.body)]).toEqual([200, 'Your passkey is ready']);
  });

  it('and the passkey are in the log by the id of the person, and nothing else of them', async () => {
    const { id, passkey } = await enrolled();
    const facts = await world.rows(
      `SELECT convert_from(leaf, 'UTF8')::jsonb -> 'facts' AS facts FROM log_leaf
       WHERE kind = 'authentication' AND convert_from(leaf, 'UTF8')::jsonb -> 'facts' ->> 'person' = '${id}'
         AND convert_from(leaf, 'UTF8')::jsonb -> 'facts' ->> 'what' <> 'met' ORDER BY id`,
    );
    expect(facts).toEqual([
      { facts: { what: 'invited', person: id, by: 'admin-token' } },
      { facts: { what: 'enrolled', person: id, credential: sha256(passkey.id) } },
    ]);
  });
});

/** Opens the link of an agent and answers its sign-in page by this passkey. */
async function signIn(browser: Browser, passkey: Authenticator, misdeed?: Misdeed, parameters = {}) {
  const { link } = await authorizationOf(world, parameters);
  const page = await browser.get(link);
  return browser.submit(page, { answer: passkey.get(world.issuer, passkeyOptions(page.body), misdeed) });
}

describe('a sign-in by passkey', () => {
  it('asks for no name and no particular key, so that it tells nobody who has an account', async () => {
    const { link } = await authorizationOf(world);
    const page = await new Browser().get(link);
    expect([page.status, titleOf(page.body)]).toEqual([200, 'Sign in']);
    expect(passkeyOptions(page.body)).toEqual({
      challenge: expect.stringMatching(/^[\w-]{43}$/),
      rpId: 'localhost',
      userVerification: 'required',
      allowCredentials: [],
      timeout: 300_000,
    });
    expect(page.body.length).toBeLessThan(30_000);
  });

  it('gives the agent a token of that person, with acr and auth_time of this sign-in', async () => {
    const { id, passkey } = await enrolled();
    const before = Math.floor(Date.now() / 1000);
    const tokens = await world.signInAndExchange(new Browser(), passkey);
    const claims = claimsOf(tokens.access_token);
    expect(claims).toMatchObject({ sub: id, iss: world.issuer, aud: world.issuer, acr: 'phr' });
    expect(claims['amr']).toEqual(expect.arrayContaining(['user', 'mfa']));
    expect(claims['auth_time']).toBeGreaterThanOrEqual(before);
    expect(claims['auth_time']).toBeLessThanOrEqual(Math.floor(Date.now() / 1000));
  });

  it.each([
    ['that may be copied', true, 'swk'],
    ['of which nobody vouches where it is kept', false, 'pop'],
  ])('RFC 8176: a key %s is kept in the session as what it is', async (_, mayBeCopied, kind) => {
    const { id, passkey } = await enrolled({ mayBeCopied });
    await signIn(new Browser(), passkey);
    const kept = await world.rows(
      `SELECT payload -> 'amr' AS amr FROM engine_record WHERE model = 'Session' AND payload ->> 'accountId' = '${id}'`,
    );
    expect(kept).toEqual([{ amr: [kind, 'user', 'mfa'] }]);
  });

  it('AZ-14: has another session id than before', async () => {
    const { passkey } = await enrolled();
    const browser = new Browser();
    const session = (): string | undefined => browser.cookies().find(({ name }) => name === 'writ_session')?.value;
    await signIn(browser, passkey);
    const first = session();
    await signIn(browser, passkey, {}, { prompt: 'login' });
    expect(first).toEqual(expect.any(String));
    expect(session()).not.toBe(first);
  });

  const BAD: readonly (readonly [string, Misdeed, string])[] = [
    ['another origin', { origin: 'https://evil.example' }, NOT_GOOD],
    ['another relying party', { rpId: 'evil.example' }, NOT_GOOD],
    ['the type of an enrolment', { type: 'webauthn.create' }, NOT_GOOD],
    ['nobody there', { isPresent: false }, NOT_GOOD],
    ['nobody who opened the key', { isVerified: false }, NOT_GOOD],
    ['another key', { key: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey }, NOT_GOOD],
    ['the user handle of somebody else', { userHandle: Buffer.from('acc_somebody').toString('base64url') }, NOT_GOOD],
    ['a credential that nobody has', { credentialId: 'A'.repeat(43) }, NOT_GOOD],
    ['a frame of somebody else', { crossOrigin: true }, STALE()],
    ['a challenge of its own', { challenge: 'A'.repeat(43) }, STALE()],
  ];
  it.each(BAD)('is refused with %s', async (_, misdeed, says) => {
    const { passkey } = await enrolled();
    const browser = new Browser();
    const refused = await signIn(browser, passkey, misdeed);
    expect([refused.status, titleOf(refused.body), alertOf(refused.body)]).toEqual([400, 'Sign in', says]);
  });

  it('is refused with the challenge of another interaction, and that one is spent', async () => {
    const { passkey } = await enrolled();
    const [browser, another] = [new Browser(), new Browser()];
    const other = await another.get((await authorizationOf(world)).link);
    const page = await browser.get((await authorizationOf(world)).link);
    const answer = passkey.get(world.issuer, passkeyOptions(other.body));
    const refused = await browser.submit(page, { answer });
    expect([refused.status, alertOf(refused.body)]).toEqual([400, STALE()]);
    const late = await another.submit(other, { answer });
    expect([late.status, alertOf(late.body)]).toEqual([400, STALE()]);
  });

  it('answers a challenge once, also when that answer was refused', async () => {
    const { passkey } = await enrolled();
    const browser = new Browser();
    const page = await browser.get((await authorizationOf(world)).link);
    const answer = passkey.get(world.issuer, passkeyOptions(page.body), { isVerified: false });
    expect((await browser.submit(page, { answer })).status).toBe(400);
    const again = passkey.get(world.issuer, passkeyOptions(page.body));
    const refused = await browser.submit(page, { answer: again });
    expect([refused.status, alertOf(refused.body)]).toEqual([400, STALE()]);
  });

  it('is refused in a browser that did not begin it, and from another site', async () => {
    const { passkey } = await enrolled();
    const browser = new Browser();
    const page = await browser.get((await authorizationOf(world)).link);
    const answer = passkey.get(world.issuer, passkeyOptions(page.body));
    const action = /action="([^"]+)"/.exec(page.body)?.[1] ?? '';
    const post = (headers: Record<string, string>): Promise<Response> =>
      fetch(action, { method: 'POST', headers, body: new URLSearchParams({ answer }) });
    const foreign = await post({});
    expect([foreign.status, titleOf(await foreign.text())]).toEqual([400, 'This page is not valid any more']);
    const cookie = browser.cookieHeader(action);
    const crossSite = await post({ cookie, 'sec-fetch-site': 'cross-site' });
    expect([crossSite.status, titleOf(await crossSite.text())]).toEqual([400, 'This page is not valid any more']);
    expect((await post({ cookie, 'sec-fetch-site': 'same-origin' })).status).toBe(200);
  });

  it('WebAuthn §6.1.1: a counter that goes back, or stands still, is the sign of a copy', async () => {
    const { passkey } = await enrolled({ counts: true });
    expect((await signIn(new Browser(), passkey, { counter: 7 })).status).toBe(200);
    for (const counter of [7, 6, 0]) {
      const refused = await signIn(new Browser(), passkey, { counter });
      expect([refused.status, alertOf(refused.body)]).toEqual([400, NOT_GOOD]);
    }
    expect((await signIn(new Browser(), passkey, { counter: 8 })).status).toBe(200);
  });

  it('does not sign in a person who is disabled', async () => {
    const { id, passkey } = await enrolled();
    await world.admin('POST', `/persons/${id}/disable`);
    const { link, redirectUri } = await authorizationOf(world);
    const browser = new Browser();
    const page = await browser.get(link);
    const answer = passkey.get(world.issuer, passkeyOptions(page.body));
    const end = await browser.submit(page, { answer }, redirectUri);
    expect(new URL(end.url).searchParams.get('error')).toBe('access_denied');
  });
});

describe('a passkey that is lost', () => {
  type Listed = Readonly<{ items: readonly Readonly<Record<string, unknown>>[] }>;
  const listed = async (person: string): Promise<Listed['items']> =>
    ((await world.admin('GET', `/persons/${person}/passkeys`)).body as Listed).items;
  const enrolAt = async (link: string): Promise<Authenticator> => {
    const passkey = new Authenticator();
    const browser = new Browser();
    const page = await browser.get(link);
    await browser.submit(page, { answer: passkey.create(world.issuer, passkeyOptions(page.body)) });
    return passkey;
  };
  const again = async (person: string, query = ''): Promise<Invitation> =>
    (await world.admin('POST', `/persons/${person}/invitation${query}`)).body as Invitation;
  const isSignedIn = async (browser: Browser): Promise<boolean> =>
    titleOf((await browser.get(`${world.issuer}/sign-out`)).body) === 'Sign out';
  const NOBODY = (person: string): unknown =>
    expect.objectContaining({ code: 'not_found', detail: `There is no person ${person}` });

  it('is in the list of those that the person has', async () => {
    const { id, passkey } = await enrolled({ mayBeCopied: true });
    const unused = await enrolAt((await again(id)).link);
    await signIn(new Browser(), passkey);
    const time = expect.stringMatching(/^20\d\d-.*Z$/);
    expect(await listed(id)).toEqual([
      { id: passkey.id, created_at: time, last_used_at: time, may_be_copied: true, is_backed_up: true },
      { id: unused.id, created_at: time, last_used_at: null, may_be_copied: false, is_backed_up: false },
    ]);
    const nobody = await world.admin('GET', '/persons/prs_nobody/passkeys');
    expect([nobody.status, nobody.body]).toEqual([404, NOBODY('prs_nobody')]);
  });

  it('is taken away, with every sign-in and all that agents hold, and the others stay', async () => {
    const { id, passkey } = await enrolled();
    const kept = await enrolAt((await again(id)).link);
    const [thief, browser] = [new Browser(), new Browser()];
    await world.signInAndExchange(thief, passkey);
    await signIn(browser, kept);
    const removed = await world.admin('DELETE', `/persons/${id}/passkeys/${passkey.id}`);
    expect([removed.status, removed.body]).toEqual([
      200,
      { person: id, passkeys: [passkey.id], sessions: 0, consents: 1 },
    ]);
    expect((await listed(id)).map((one) => one['id'])).toEqual([kept.id]);
    expect([await isSignedIn(thief), await isSignedIn(browser)]).toEqual([false, false]);
    const refused = await signIn(new Browser(), passkey);
    expect([refused.status, alertOf(refused.body)]).toEqual([400, NOT_GOOD]);
    expect(await world.rows(`SELECT target, revoked_by AS by FROM revocation WHERE target = 'person:${id}'`)).toEqual([
      { target: `person:${id}`, by: 'admin-token' },
    ]);
    expect((await signIn(new Browser(), kept)).status).toBe(200);
    const twice = await world.admin('DELETE', `/persons/${id}/passkeys/${passkey.id}`);
    expect([twice.status, twice.body]).toEqual([
      404,
      expect.objectContaining({ code: 'not_found', detail: `The person ${id} has no passkey ${passkey.id}` }),
    ]);
  });

  it('of somebody else is not taken away by naming this person', async () => {
    const [ada, eve] = [await enrolled(), await enrolled()];
    expect((await world.admin('DELETE', `/persons/${ada.id}/passkeys/${eve.passkey.id}`)).status).toBe(404);
    expect((await signIn(new Browser(), eve.passkey)).status).toBe(200);
  });

  it('gives way to another one: all passkeys and open links go first', async () => {
    const { id, passkey } = await enrolled();
    const browser = new Browser();
    await signIn(browser, passkey);
    const open = await again(id);
    const next = await again(id, '?replace=true');
    expect(next.id).toBe(id);
    expect(titleOf((await new Browser().get(open.link)).body)).toBe('This link is not valid any more');
    expect([await isSignedIn(browser), await listed(id)]).toEqual([false, []]);
    const made = await enrolAt(next.link);
    expect((await signIn(new Browser(), made)).status).toBe(200);
    const facts = await world.rows(
      `SELECT convert_from(leaf, 'UTF8')::jsonb -> 'facts' AS facts FROM log_leaf
       WHERE kind = 'authentication' AND convert_from(leaf, 'UTF8')::jsonb -> 'facts' ->> 'person' = '${id}'
         AND convert_from(leaf, 'UTF8')::jsonb -> 'facts' ->> 'what' = 'passkeys_removed'`,
    );
    expect(facts).toEqual([
      { facts: { what: 'passkeys_removed', person: id, credentials: [sha256(passkey.id)], by: 'admin-token' } },
    ]);
  });

  it('is replaced for nobody who has no account', async () => {
    const refused = await world.admin('POST', '/persons/prs_nobody/invitation?replace=true');
    expect(refused.status).toBe(404);
    const wrong = await world.admin('POST', '/persons/prs_nobody/invitation?replace=yes');
    expect(wrong.status).toBe(400);
  });

  it('is found and taken away from the command line', async () => {
    const { id, passkey } = await enrolled();
    const out: string[] = [];
    const writ = (...args: string[]): Promise<number> =>
      run(['persons', ...args, '--json', '--url', world.issuer], {
        env: { WRIT_ADMIN_TOKEN: ADMIN_TOKEN },
        readFile: () => undefined,
        makePrivateFile: () => false,
        readStdin: () => Promise.resolve(''),
        out: (text) => out.push(text),
        err: (text) => out.push(text),
      });
    expect(await writ('passkeys', id)).toBe(0);
    expect(JSON.parse(out.splice(0).join(''))).toMatchObject({ items: [{ id: passkey.id }] });
    expect(await writ('remove-passkey', id, passkey.id)).toBe(0);
    expect(JSON.parse(out.splice(0).join(''))).toMatchObject({ person: id, passkeys: [passkey.id] });
    expect(await writ('invite', id, '--replace')).toBe(0);
    expect(JSON.parse(out.splice(0).join(''))).toMatchObject({ id });
    expect(await listed(id)).toEqual([]);
  });
});

function STALE(): string {
  return 'That took too long, or the page was open twice. Please try again.';
}

describe('the groups of a local account', () => {
  const groupsOf = async ({ issuer, subject }: Invitation): Promise<unknown> => {
    const { body } = await world.admin('GET', `/persons?${new URLSearchParams({ issuer, subject }).toString()}`);
    return (body as { items: { groups: unknown }[] }).items[0]?.groups;
  };

  it('are what the administrator says, on the record', async () => {
    const { body } = await world.admin('POST', '/persons', { ...ADA, groups: ['finance', 'owners'] });
    const ada = body as Invitation;
    expect(await groupsOf(ada)).toEqual(['finance', 'owners']);
    const set = await world.admin('PUT', `/persons/${ada.id}/groups`, { groups: ['finance'] });
    expect([set.status, set.body]).toEqual([200, { id: ada.id, groups: ['finance'] }]);
    expect(await groupsOf(ada)).toEqual(['finance']);
    expect(await groupsOf(await invite())).toEqual([]);
    const [leaf] = (await world.rows(
      `SELECT convert_from(leaf, 'UTF8') AS leaf FROM log_leaf WHERE convert_from(leaf, 'UTF8') LIKE '%groups_set%'`,
    )) as { leaf: string }[];
    expect(leaf?.leaf).toContain(ada.id);
  });

  it.each<[string, unknown, string]>([
    ['a comma', ['a,b'], 'groups.0'],
    ['a blank at an end', ['finance '], 'groups.0'],
    ['a control character', ['a\u0007'], 'groups.0'],
    ['129 characters', ['x'.repeat(129)], 'groups.0'],
    ['the same twice', ['a', 'a'], 'groups'],
    ['no list', 'finance', 'groups'],
  ])('are refused with %s, by the name of the field', async (_what, groups, param) => {
    const { id } = await invite();
    const refused = await world.admin('PUT', `/persons/${id}/groups`, { groups });
    expect([refused.status, refused.body]).toEqual([400, expect.objectContaining({ code: 'invalid_field', param })]);
    expect((await world.admin('POST', '/persons', { ...ADA, groups })).status).toBe(400);
  });

  it('are not the administrator’s to say of anybody else', async () => {
    const refused = await world.admin('PUT', '/persons/prs_nobody/groups', { groups: [] });
    expect([refused.status, refused.body]).toEqual([
      404,
      expect.objectContaining({ detail: 'There is no local account of a person prs_nobody' }),
    ]);
  });
});
