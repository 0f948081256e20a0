import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { leafFlaws } from '../../src/audit/index.js';
import { Authenticator, type Misdeed, passkeyOptions } from '../support/authenticator.js';
import { type AskingWorld, type Asked, formOf, signInFrom, startAskingWorld } from '../support/asking-world.js';
import { Browser, type Seen } from '../support/browser.js';
import { ALICE, BOB } from '../support/company.js';
import { dpopProof } from '../support/jws.js';
import { makeKey, type Reply, request, tokenOf } from '../support/writ.js';
import { change } from '../abuse/sign-in.js';
import { RS1 } from '../support/world.js';

let world: AskingWorld;
let alice: Browser;
let passkey: Authenticator;
beforeAll(async () => {
  world = await startAskingWorld();
}, 60_000);
beforeEach(() => world.nothingWaits());
afterAll(async () => {
  await world.writ.flush();
  const leaves = await world.writ.database.prisma.logLeaf.findMany({ select: { leaf: true } });
  await world.close();
  expect(leaves.flatMap(({ leaf }) => leafFlaws(leaf))).toEqual([]);
  expect(world.faults).toEqual([]);
});

const titleOf = ({ body }: Pick<Seen, 'body'>): string | undefined => /<h1>([^<]*)<\/h1>/.exec(body)?.[1];
const alertOf = ({ body }: Pick<Seen, 'body'>): string | undefined =>
  /role="alert"[^>]*>\s*([^<]*?)\s*</.exec(body)?.[1];
const textOf = (body: string): string =>
  body
    .replace(/<style>[^]*?<\/style>|<script>[^]*?<\/script>/g, '')
    .replace(/<[^>]+>/g, ' ')
    .replaceAll(/&#39;|&quot;/g, (one) => (one === '&#39;' ? "'" : '"'))
    .replace(/\s+/g, ' ')
    .trim();

const without = (name: string, form: Record<string, string>): Record<string, string> =>
  Object.fromEntries(Object.entries(form).filter(([one]) => one !== name));

let count = 0;
/** Each test asks for another call, so that none meets the request of another. */
const something = (): Record<string, unknown> => ({ path: `/tmp/${String(++count)}` });

const press = (browser: Browser, page: Seen, action: string, more: Record<string, string> = {}): Promise<Seen> =>
  browser.submit(page, { action, ...more });
/** The form of the passkey, which is the last one of its page. */
async function confirm(
  browser: Browser,
  page: Seen,
  { by = passkey, misdeed, ...fields }: Readonly<{ by?: Authenticator; misdeed?: Misdeed; number?: string }>,
): Promise<Seen> {
  const answer = by.get(world.issuer, passkeyOptions(page.body), misdeed);
  return browser.submit({ ...page, body: '' }, { ...formOf(page, true), answer, ...fields });
}
const post = (browser: Browser, asked: Asked, form: Record<string, string>, headers = {}): Promise<Reply> =>
  request(asked.page, {
    method: 'POST',
    headers: { cookie: browser.cookieHeader(asked.page), ...headers },
    body: new URLSearchParams(form),
    redirect: 'manual',
  });
const rated = (tools: unknown, tier: string): unknown =>
  (tools as Record<string, unknown>[]).map((one) => (one['name'] === 'write_file' ? { ...one, tier } : one));
const stateOf = async (asked: Asked): Promise<string> => (await world.held(asked)).state;

describe('the page of one request', () => {
  it('asks who is there, and comes back to the very request', async () => {
    const asked = await world.ask(something());
    const browser = new Browser();
    const shown = await browser.get(asked.page);
    expect([shown.status, titleOf(shown)]).toEqual([200, 'Sign in to Writ']);
    const back = await signInFrom(shown, browser);
    expect([back.url, back.status, titleOf(back)]).toEqual([asked.page, 200, 'Approve this one call?']);
    alice = browser;
  });

  it('says who asks, what, with what, how it differs, how bad it is and until when, in this order', async () => {
    const asked = await world.ask({ path: '/tmp/notes', text: 'hello' });
    const { body, headers, status } = await alice.get(asked.page);
    expect(status).toBe(200);
    const text = textOf(body);
    const order = [
      'Who asks Planner agt_a1 · Registered by an administrator',
      'Responsible Olivia Owner',
      'In the name of you',
      'Network 127.0.0.1',
      'What it would do Write the file "/tmp/notes"',
      'write_file · Files · https://mcp1.example',
      'With exactly this path "/tmp/notes" text "hello"',
      'Compared with the last approved call',
      'Risk Medium. A person approves each write.',
      'Without an answer it is denied at 20',
      'minutes left',
      'Deny Approve once',
    ];
    const places = order.map((part) => text.indexOf(part));
    expect(places.map((at, index) => (at < 0 ? order[index] : undefined)).filter(Boolean)).toEqual([]);
    expect(places).toEqual([...places].sort((a, b) => a - b));
    expect(Buffer.byteLength(body)).toBeLessThan(30_000);
    expect(headers.get('content-security-policy')).toMatch(
      /^default-src 'none'; style-src 'sha256-[^']+'; form-action/,
    );
    expect(headers.get('content-security-policy')).toContain("frame-ancestors 'none'");
    expect(headers.get('content-security-policy')).not.toContain('script-src');
    expect(headers.get('cache-control')).toBe('no-store');
  });

  it('is approved once: the agent gets its token, and what was shown is on the record by its hash', async () => {
    const asked = await world.ask(something());
    const page = await alice.get(asked.page);
    const done = await press(alice, page, 'approve');
    expect([done.status, titleOf(done)]).toEqual([200, 'Approved']);
    expect((await world.facts(asked.id)).map(({ what, by, shown }) => [what, by, shown])).toEqual([
      ['asked', undefined, undefined],
      ['granted', await world.personOf(ALICE), formOf(page)['shown']],
    ]);
    expect(tokenOf(await world.poll(asked))).toMatch(/^ey/);
    expect(titleOf(await alice.get(asked.page))).toBe('Already used');
  });

  it('is denied without a fresh sign-in, and the agent is told no', async () => {
    const asked = await world.ask(something());
    const browser = await world.signedIn();
    await world.ageSignIns(400);
    const done = await press(browser, await browser.get(asked.page), 'deny');
    expect([done.status, titleOf(done)]).toEqual([200, 'Denied']);
    expect((await world.poll(asked)).body).toMatchObject({ error: 'access_denied' });
    expect(titleOf(await browser.get(asked.page))).toBe('Denied');
  });

  it('needs a sign-in of the last five minutes to approve, and comes back from it', async () => {
    const asked = await world.ask(something());
    alice = await world.signedIn();
    await world.ageSignIns(400);
    const refused = await press(alice, await alice.get(asked.page), 'approve');
    expect([refused.status, titleOf(refused), alertOf(refused)]).toEqual([
      403,
      'Sign in to Writ',
      'To approve, sign in again first. Nothing has changed yet.',
    ]);
    expect(await stateOf(asked)).toBe('asked');
    const back = await signInFrom(refused, alice);
    expect([back.url, titleOf(back)]).toEqual([asked.page, 'Approve this one call?']);
    expect(titleOf(await press(alice, back, 'approve'))).toBe('Approved');
  });

  it('is taken back by the person while the agent has not fetched it', async () => {
    const asked = await world.ask(something());
    const approved = await press(alice, await alice.get(asked.page), 'approve');
    expect(titleOf(await alice.submit(approved, {}))).toBe('Withdrawn');
    expect((await world.poll(asked)).status).toBe(400);
    expect(await stateOf(asked)).toBe('withdrawn');
  });

  it('says how the call differs from the last one that was approved', async () => {
    const { prisma } = world.writ.database;
    await prisma.$executeRawUnsafe(`UPDATE approval SET ended_at = ended_at - interval '1 minute'`);
    const first = await world.ask({ path: '/tmp/a', text: 'same', old: 1 });
    await press(alice, await alice.get(first.page), 'approve');
    expect((await world.poll(first)).status).toBe(200);
    await prisma.$executeRawUnsafe(`UPDATE approval SET ended_at = ended_at - interval '1 minute'`);
    const second = await world.ask({ path: '/tmp/b', text: 'same', fresh: true });
    const text = textOf((await alice.get(second.page)).body);
    expect(text).toContain('With exactly this fresh new true path changed "/tmp/b" text "same"');
    expect(text).toMatch(/Not the same as what was approved at .* UTC : path changed, fresh new, 1 left out\./);
  });
});

describe('what a person reads on it (ATTACKS AP-01, AP-22)', () => {
  it.each<[string, unknown, string]>([
    ['a blank at an end', 'rm ', '"rm "'],
    ['a no-break space', 'rm\u00A0', '"rm\\u{00A0}"'],
    ['a zero-width space', 'r\u200Bm', '"r\\u{200B}m"'],
    ['text that runs the other way', 'a\u202Etxt.exe', '"a\\u{202E}txt.exe"'],
    ['a control character', 'a\u0007', '"a\\u{0007}"'],
    ['what looks like such a spelling', 'r\\u{200B}m', '"r\\\\\\u{200B}m"'],
    ['a quote that would end the value', 'a" path: "b', '"a\\" path: \\"b"'],
    ['a number that is no text', 1, 'path 1 '],
    ['markup', '<b>x</b>', '"&lt;b&gt;x&lt;/b&gt;"'],
  ])('%s is there to be seen', async (_what, path, seen) => {
    const asked = await world.ask({ path, n: ++count });
    const { body } = await alice.get(asked.page);
    const [, args = ''] = /class="arguments">([^]*?)<h2>/.exec(body) ?? [];
    const readable = args
      .replace(/<span class="mark">[^<]*<\/span>/g, '')
      .replace(/<[^>]+>/g, ' ')
      .replaceAll('&quot;', '"')
      .replace(/\s*\n\s*/g, ' ');
    expect(readable.replace(/  +/g, ' ')).toContain(seen);
  });

  it('is all of it: a long value is folded, and there', async () => {
    const asked = await world.ask({ path: '/tmp/x', text: `${'long '.repeat(500)}END` });
    const { body } = await alice.get(asked.page);
    expect(body).toContain('<details>');
    expect(body).toContain('long END');
  });

  it('is too long to be approved where it does not fit the page, by any form', async () => {
    const asked = await world.ask({ path: '/tmp/x', text: '"'.repeat(5_000) });
    const page = await alice.get(asked.page);
    expect(Buffer.byteLength(page.body)).toBeLessThan(30_000);
    expect(textOf(page.body)).toContain('too long for anybody to read here, so it cannot be approved');
    expect(page.body).not.toContain('value="approve"');
    expect((await press(alice, page, 'approve')).status).toBe(409);
    expect(await stateOf(asked)).toBe('asked');
    expect(titleOf(await press(alice, page, 'deny'))).toBe('Denied');
  });
});

describe('who may answer (ATTACKS AP-09, AP-16)', () => {
  it('is nobody else: theirs is a request that was never there', async () => {
    const asked = await world.ask(something());
    const bob = await world.signedIn(BOB);
    const [foreign, unknown] = [await bob.get(asked.page), await bob.get(`${world.place}/apr_${'A'.repeat(22)}`)];
    expect([foreign.status, titleOf(foreign)]).toEqual([404, 'There is nothing here']);
    expect(foreign.body).toBe(unknown.body);
    const mine = formOf(await alice.get(asked.page));
    const { token = '' } = formOf(await bob.get(world.place));
    expect((await post(bob, asked, { ...mine, token, action: 'approve' })).status).toBe(404);
    expect(await stateOf(asked)).toBe('asked');
  });

  it('is not the sign-in that an agent opened, nor the token of one', async () => {
    const asked = await world.ask(something());
    const browser = new Browser();
    await world.codeFor(world.a1, {}, ALICE, browser);
    expect(titleOf(await browser.get(asked.page))).toBe('Sign in to Writ');
    const form = { ...formOf(await alice.get(asked.page)), action: 'approve' };
    expect(titleOf({ body: (await post(browser, asked, form)).text })).toBe('Sign in to Writ');
    const bearer = await request(asked.page, {
      method: 'POST',
      headers: { authorization: 'Bearer x' },
      body: new URLSearchParams(form),
    });
    expect(titleOf({ body: bearer.text })).toBe('Sign in to Writ');
    expect(await stateOf(asked)).toBe('asked');
  });
});

describe('only a form of the page answers (ATTACKS AP-13, AP-20)', () => {
  it.each<[string, (form: Record<string, string>) => Record<string, string>, Record<string, string>, number]>([
    ['without its token', (form) => without('token', form), {}, 403],
    ['with the token of another sign-in', (form) => ({ ...form, token: 'A'.repeat(43) }), {}, 403],
    ['from another origin', (form) => form, { origin: 'https://evil.example' }, 403],
    ['from another site', (form) => form, { 'sec-fetch-site': 'cross-site' }, 403],
    ['as plain text', (form) => form, { 'content-type': 'text/plain' }, 403],
    [
      'with a parameter that would go around it',
      (form) => ({ ...without('token', form), bypass_approval_prompt: 'true' }),
      {},
      403,
    ],
    ['without what was shown', (form) => without('shown', form), {}, 409],
    ['with what was shown of another request', (form) => ({ ...form, shown: 'A'.repeat(43) }), {}, 409],
    ['with another action', (form) => ({ ...form, action: 'approve_all' }), {}, 403],
  ])('%s nothing happens', async (_what, edit, headers, status) => {
    const asked = await world.ask(something());
    const form = edit({ ...formOf(await alice.get(asked.page)), action: 'approve' });
    form['action'] ??= 'approve';
    const refused = await post(alice, asked, form, headers);
    expect([refused.status, titleOf({ body: refused.text })]).toEqual([status, 'Approve this one call?']);
    expect(await stateOf(asked)).toBe('asked');
  });

  it('and no look at it: neither GET with an answer in it, nor HEAD', async () => {
    const asked = await world.ask(something());
    const form = new URLSearchParams({ ...formOf(await alice.get(asked.page)), action: 'approve' });
    const headers = { cookie: alice.cookieHeader(asked.page) };
    expect((await request(`${asked.page}?${form.toString()}`, { headers })).status).toBe(200);
    expect((await request(asked.page, { method: 'HEAD', headers })).status).toBe(200);
    for (const method of ['PUT', 'DELETE', 'PATCH'])
      expect((await request(asked.page, { method, headers })).status).toBe(405);
    expect(await stateOf(asked)).toBe('asked');
  });

  it('not as it was, where the catalogue says something else by now', async () => {
    const asked = await world.ask(something());
    const page = await alice.get(asked.page);
    const say = (name: string): Promise<void> => change(world, RS1, (server) => ({ ...server, name }), 'servers');
    await say('Another name');
    const refused = await press(alice, page, 'approve');
    await say('Files');
    expect([refused.status, alertOf(refused)]).toEqual([
      409,
      'What this page says has changed meanwhile. Please read it again.',
    ]);
    expect(await stateOf(asked)).toBe('asked');
  });
});

describe('what can do much harm', () => {
  const grave = { name: 'delete_repo' };
  const aGrave = (): Promise<Asked> => world.ask({ repo: ++count }, grave);

  it('needs a passkey, which somebody of a company makes in a sign-in of just now (AP-17)', async () => {
    const asked = await aGrave();
    const page = await alice.get(asked.page);
    expect(textOf(page.body)).toContain('This call needs a passkey of yours, and you have none here.');
    expect(page.body).not.toContain('value="approve"');
    expect((await press(alice, page, 'approve', { number: asked.number })).status).toBe(400);
    await world.ageSignIns(400);
    const stale = await alice.get(`${world.place}/passkey`);
    expect([stale.status, titleOf(stale), alertOf(stale)]).toEqual([
      403,
      'Sign in to Writ',
      'To make a passkey, sign in again first.',
    ]);
    const back = await signInFrom(stale, alice);
    expect([back.url, titleOf(back)]).toEqual([`${world.place}/passkey`, 'Make your passkey']);
    passkey = await world.withPasskey(alice);
    expect(await stateOf(asked)).toBe('asked');
  });

  it('of a person who has one, no sign-in makes another', async () => {
    const shown = await alice.get(`${world.place}/passkey`);
    expect([shown.status, titleOf(shown)]).toEqual([409, 'You have a passkey']);
  });

  it('is approved by the passkey and the number that the agent shows', async () => {
    const asked = await aGrave();
    const page = await alice.get(asked.page);
    expect(page.headers.get('content-security-policy')).toContain("require-trusted-types-for 'script'");
    expect(Buffer.byteLength(page.body)).toBeLessThan(30_000);
    await world.ageSignIns(400);
    const done = await confirm(alice, page, { number: asked.number });
    expect([done.status, titleOf(done)]).toEqual([200, 'Approved']);
    expect((await world.poll(asked)).status).toBe(200);
  });

  it('is what the tool is by now, where it was found to do more harm after somebody was asked', async () => {
    const asked = await world.ask(something());
    const browser = await world.signedIn();
    const before = await browser.get(asked.page);
    expect(before.body).toContain('class="primary">Approve once');
    const rate = (tier: string): Promise<void> =>
      change(world, RS1, (server) => ({ ...server, tools: rated(server['tools'], tier) }), 'servers');
    await rate('critical');
    const late = await press(browser, before, 'approve');
    expect([late.status, late.body.includes('name="number"')]).toEqual([409, true]);
    expect(await stateOf(asked)).toBe('asked');
    expect(textOf((await browser.get(world.place)).body)).toContain('Critical risk');
    const page = await browser.get(asked.page);
    expect(textOf(page.body)).toContain('Critical');
    expect(titleOf(await confirm(browser, page, { number: asked.number }))).toBe('Approved');
    await rate('medium');
  });

  it('is denied by a wrong number, and asked again without one (AP-25)', async () => {
    const asked = await aGrave();
    const page = await alice.get(asked.page);
    const without = await confirm(alice, page, { number: '' });
    expect([without.status, alertOf(without)]).toEqual([400, 'The number is two digits, as the agent shows it.']);
    expect(await stateOf(asked)).toBe('asked');
    const number = asked.number === '10' ? '11' : '10';
    const done = await confirm(alice, without, { number });
    expect([done.status, titleOf(done)]).toEqual([200, 'Denied, for the number was wrong']);
    expect(await stateOf(asked)).toBe('refused');
  });

  it.each<[string, Misdeed, number, string]>([
    ['without user verification', { isVerified: false }, 403, 'This passkey is not good here. Use one of your own.'],
    [
      'at another origin',
      { origin: 'https://evil.example' },
      403,
      'This passkey is not good here. Use one of your own.',
    ],
    [
      'for a challenge that nobody gave',
      { challenge: 'A'.repeat(43) },
      400,
      'That took too long, or was for another call. Please try again.',
    ],
    [
      'from within a frame',
      { crossOrigin: true },
      400,
      'That took too long, or was for another call. Please try again.',
    ],
  ])('is not approved by a passkey %s', async (_what, misdeed, status, said) => {
    const asked = await aGrave();
    const refused = await confirm(alice, await alice.get(asked.page), { number: asked.number, misdeed });
    expect([refused.status, alertOf(refused)]).toEqual([status, said]);
    expect(await stateOf(asked)).toBe('asked');
  });

  it('is approved by the proof for this very request, and by no other (AP-23)', async () => {
    const [mine, other] = [await aGrave(), await aGrave()];
    const [page, elsewhere] = [await alice.get(mine.page), await alice.get(other.page)];
    const answer = passkey.get(world.issuer, passkeyOptions(elsewhere.body));
    const foreign = { ...formOf(page, true), answer, number: mine.number };
    expect((await post(alice, mine, foreign)).status).toBe(400);
    const again = passkey.get(world.issuer, passkeyOptions((await alice.get(other.page)).body));
    const withNonce = { ...formOf(page, true), ...{ nonce: formOf(elsewhere, true)['nonce'] ?? '' }, answer: again };
    expect((await post(alice, mine, { ...withNonce, number: mine.number })).status).toBe(400);
    expect([await stateOf(mine), await stateOf(other)]).toEqual(['asked', 'asked']);
  });

  it('is approved by nobody else’s passkey', async () => {
    const asked = await aGrave();
    const bob = await world.withPasskey(await world.signedIn(BOB));
    const refused = await confirm(alice, await alice.get(asked.page), { by: bob, number: asked.number });
    expect([refused.status, alertOf(refused)]).toEqual([403, 'This passkey is not good here. Use one of your own.']);
    expect(await stateOf(asked)).toBe('asked');
  });

  it('saves whoever has a passkey another sign-in for what does little', async () => {
    const asked = await world.ask(something());
    await world.ageSignIns(400);
    const page = await alice.get(asked.page);
    expect(page.body).not.toContain('name="number"');
    expect(titleOf(await confirm(alice, page, {}))).toBe('Approved');
  });
});

describe('of several answers', () => {
  it('the first one counts, and the other is told how it stands', async () => {
    const asked = await world.ask(something());
    const browser = await world.signedIn();
    const page = await browser.get(asked.page);
    const both = await Promise.all(
      ['approve', 'deny'].map((action) => post(browser, asked, { ...formOf(page), action })),
    );
    expect(both.map(({ status }) => status).sort()).toEqual([200, 409]);
    const [won, lost] = both[0]?.status === 200 ? both : [both[1], both[0]];
    expect(titleOf({ body: lost?.text ?? '' })).toBe(titleOf({ body: won?.text ?? '' }));
    expect((await world.facts(asked.id)).map(({ what }) => what)).toHaveLength(2);
  });

  it('“deny and pause” denies, and the agent can do nothing more until it may again', async () => {
    const browser = await world.signedIn();
    const asked = await world.ask(something());
    const page = await browser.get(asked.page);
    expect(textOf(page.body)).toContain('Deny and pause this agent');
    const done = await press(browser, page, 'deny_and_pause');
    expect([done.status, titleOf(done)]).toEqual([200, 'Denied, and paused']);
    expect(await stateOf(asked)).toBe('refused');
    const sessions = (await world.admin('GET', `/sessions?person=${await world.personOf(ALICE)}&limit=100`)).body as {
      items: { id: string; status: string }[];
    };
    expect(sessions.items.map(({ status }) => status)).not.toContain('active');
    for (const { id, status } of sessions.items)
      if (status === 'paused') await world.admin('POST', `/sessions/${id}/resume`, { reason: 'test' });
  });
});

describe('whose provider is asked for no groups', () => {
  it('is of none, whatever was known of them before', async () => {
    const { prisma } = world.writ.database;
    await prisma.$executeRawUnsafe(`UPDATE person SET groups = '{finance}'`);
    await world.signedIn(BOB);
    const bob = await world.personOf(BOB);
    expect(await prisma.person.findUnique({ where: { id: bob }, select: { groups: true } })).toEqual({ groups: [] });
  });
});

describe('what waits, at /approvals', () => {
  const listed = async (browser: Browser): Promise<string> => {
    const [, list = ''] = /What waits for me<\/h2>([^]*?)<h2>/.exec((await browser.get(world.place)).body) ?? [];
    return list;
  };

  it('is nothing, or what this person may answer, with a link to each', async () => {
    alice = await world.signedIn();
    expect(textOf(await listed(alice))).toBe('Nothing waits for your answer.');
    const asked = await world.ask({ path: '/tmp/one' });
    const list = await listed(alice);
    expect(textOf(list)).toMatch(
      /^Planner Write the file "\/tmp\/one" Medium risk Read and decide since 20.* UTC , [45] min left$/,
    );
    expect(list).toContain(`href="${asked.page}"`);
    expect(list).not.toContain('<form');
    expect(textOf(await listed(await world.signedIn(BOB)))).toBe('Nothing waits for your answer.');
  });

  it('is one entry for the same call, however often it is asked', async () => {
    const asked = await Promise.all(
      [makeKey(), makeKey()].map((key) =>
        world.ask({ path: '/tmp/two' }, { headers: { dpop: dpopProof(key.privateKey, `${world.issuer}/token`) } }),
      ),
    );
    const list = await listed(alice);
    expect(list.match(/<li/g)).toHaveLength(1);
    expect(textOf(list)).toContain('Medium risk · asked 2 times Read and decide');
    for (const { page } of asked) expect(list).toContain(`href="${page}"`);
  });

  it('is not what is answered', async () => {
    const asked = await world.ask({ path: '/tmp/three' });
    await press(alice, await alice.get(asked.page), 'approve');
    expect(textOf(await listed(alice))).toBe('Nothing waits for your answer.');
  });
});
