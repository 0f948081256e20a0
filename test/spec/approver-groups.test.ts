import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { leafFlaws } from '../../src/audit/index.js';
import { ALLOW, type AskingWorld, startAskingWorld } from '../support/asking-world.js';
import { aboutCall, ask } from '../support/authzen.js';
import type { Browser, Seen } from '../support/browser.js';
import { ALICE, BOB } from '../support/company.js';
import { activate } from '../support/policies.js';
import { Receiver } from '../support/push-service.js';
import { assertion, type Reply, request } from '../support/writ.js';

const POLICIES = `${ALLOW} @id("two-people") @requires("approval") @approvers("finance, owners") @reason("Finance approves.")
  forbid (principal, action in Action::"write", resource);`;

let world: AskingWorld;
/** What the company says of Bob. */
let groups: unknown = ['finance'];
beforeAll(async () => {
  world = await startAskingWorld({ groupsOf: (subject) => (subject === BOB.subject ? groups : undefined) });
  await activate(world, POLICIES);
}, 60_000);
beforeEach(async () => {
  groups = ['finance'];
  await world.nothingWaits();
});
afterAll(async () => {
  await world.writ.flush();
  const leaves = await world.writ.database.prisma.logLeaf.findMany({ select: { leaf: true } });
  await world.close();
  expect(leaves.flatMap(({ leaf }) => leafFlaws(leaf))).toEqual([]);
  expect(world.faults).toEqual([]);
});

const titleOf = ({ body }: Seen): string | undefined => /<h1>([^<]*)<\/h1>/.exec(body)?.[1];
const bobsTitle = async (page: string, browser?: Browser): Promise<string | undefined> =>
  titleOf(await (browser ?? (await world.signedIn(BOB))).get(page));
let count = 0;
const asks = () => world.ask({ path: `/tmp/${String(++count)}` });

describe('four eyes: a policy that names who approves', () => {
  it('is answered by one of a group, who finds it in the list, and the agent gets its token', async () => {
    const asked = await asks();
    const bob = await world.signedIn(BOB);
    expect((await bob.get(world.place)).body).toContain(`href="${asked.page}"`);
    const page = await bob.get(asked.page);
    expect(titleOf(page)).toBe('Approve this one call?');
    expect(page.body).toContain('Alice Archer');
    expect(page.body).toContain('It has to be approved by somebody of: finance, owners');
    expect(page.body).not.toContain('deny_and_pause');
    expect(titleOf(await bob.submit(page, { action: 'approve' }))).toBe('Approved');
    expect((await world.poll(asked)).status).toBe(200);
    expect((await world.facts(asked.id)).at(-1)).toMatchObject({ what: 'granted', by: await world.personOf(BOB) });
  });

  it('says which groups, in what the person is shown and answers', async () => {
    const asked = await asks();
    const page = await (await world.signedIn(BOB)).get(asked.page);
    const before = page.body.slice(0, page.body.indexOf('<form'));
    expect(before.indexOf('finance, owners')).toBeLessThan(before.indexOf('<h2>Your decision</h2>'));
  });

  it('is not answered by the person that the agent acts for, who only takes it back', async () => {
    groups = ['finance'];
    const asked = await asks();
    const alice = await world.signedIn(ALICE);
    const page = await alice.get(asked.page);
    expect(titleOf(page)).toBe('This call waits for somebody else');
    expect(page.body).not.toContain('value="approve"');
    expect((await alice.submit(page, { action: 'approve' })).status).toBe(409);
    expect((await world.held(asked)).state).toBe('asked');
    expect(titleOf(await alice.submit(page, { action: 'deny' }))).toBe('Denied');
    expect((await world.held(asked)).state).toBe('withdrawn');
  });

  it('is not even for the person where they are of the group themself', async () => {
    const asked = await world.ask({ path: `/tmp/${String(++count)}` }, { employee: BOB });
    expect(await bobsTitle(asked.page)).toBe('This call waits for somebody else');
  });
});

describe('more groups than a page has room for', () => {
  const policy = (groupsOf: (at: number) => string): string =>
    Array.from(
      { length: 8 },
      (_, at) => `@id("p${String(at)}") @requires("approval") @approvers("${groupsOf(at)}") @reason("Finance approves.")
       forbid (principal, action in Action::"write", resource);`,
    ).join('\n');
  const many = (at: number): string =>
    Array.from({ length: 30 }, (_, n) => `${'x'.repeat(100)}-${String(at)}-${String(n)}`).join(', ');
  afterAll(() => activate(world, POLICIES));

  it('leave it under 30 kB, and nobody approves what is not shown in full', async () => {
    await activate(world, `${ALLOW} ${policy((at) => `finance, ${many(at)}`)}`);
    const page = await (await world.signedIn(BOB)).get((await asks()).page);
    expect(titleOf(page)).toBe('Approve this one call?');
    expect(Buffer.byteLength(page.body)).toBeLessThan(30_000);
    expect(page.body).not.toContain('value="approve"');
    expect(page.body).toContain('value="deny"');
  });
});

describe('AP-19: what was approved is no token any more', () => {
  const REVOKED = { error: 'access_denied', error_description: 'what was approved has been revoked since' };
  const leaves: readonly [string, () => Promise<void>][] = [
    [
      'is of no group that may approve',
      async () => {
        groups = ['marketing'];
        await world.signedIn(BOB);
      },
    ],
    ['was revoked', () => order('/revocations', { person: bob, reason: 'left' })],
    ['was disabled', () => order(`/persons/${bob}/disable`, {})],
    ['signed out everywhere', async () => stopEverything(await world.signedIn(BOB))],
  ];
  let bob: string;
  const order = async (path: string, body: object): Promise<void> => {
    const { status } = await world.admin('POST', path, body);
    expect([200, 201]).toContain(status);
  };
  const stopEverything = async (browser: Browser): Promise<void> => {
    const page = await browser.get(world.place);
    const token = /name="token" value="([^"]*)"/.exec(page.body)?.[1] ?? '';
    const form = { ...page, body: `<form action="${world.place}/sign-out">` };
    expect(titleOf(await browser.submit(form, { token, where: 'everywhere' }))).toBe('Sign in to Writ');
  };
  const approve = async (page: string): Promise<void> => {
    const browser = await world.signedIn(BOB);
    expect(titleOf(await browser.submit(await browser.get(page), { action: 'approve' }))).toBe('Approved');
  };
  beforeAll(async () => {
    bob = await world.personOf(BOB);
  });
  afterEach(async () => {
    await world.admin('POST', `/persons/${bob}/enable`);
    await world.writ.database.prisma.$executeRawUnsafe(
      `UPDATE revocation SET revoked_at = revoked_at - interval '1 minute'`,
    );
  });

  it.each(leaves)('once whoever approved it %s', async (_what, leave) => {
    const asked = await asks();
    await approve(asked.page);
    await leave();
    const polled = await world.poll(asked);
    expect([polled.status, polled.body]).toEqual([400, REVOKED]);
    expect((await world.held(asked)).state).toBe('withdrawn');
    expect((await world.facts(asked.id)).at(-1)).toMatchObject({ what: 'withdrawn', by: 'writ' });
    expect((await world.poll(asked)).body).toMatchObject({ error: 'invalid_grant' });
  });

  it.each(leaves)('and no call that a server asked about, once whoever approved it %s', async (_what, leave) => {
    const question = aboutCall(await world.personOf(ALICE), 'write_file', {
      arguments: { path: `/tmp/${String(++count)}` },
    });
    const { context } = (await ask(world, 'evaluation', question, world.rs1)).body as {
      context: { evaluation_id: string; access_request: { expires_at: string; binding_token: string } };
    };
    const { expires_at, binding_token } = context.access_request;
    const denial = { evaluation_id: context.evaluation_id, expires_at, binding_token };
    const { task } = (await arap('requests', { ...question, denial })).body as { task: { id: string } };
    await approve(`${world.place}/${task.id}`);
    const { result } = (await arap(`requests/${task.id}`)).body as { result: { approval: object } };
    await leave();
    const again = { ...question, context: { ...(question['context'] as object), approval: result.approval } };
    expect((await ask(world, 'evaluation', again, world.rs1)).body).toMatchObject({
      decision: false,
      context: { reason: 'approval_expired' },
    });
  });

  const arap = async (path: string, body?: object): Promise<Reply> =>
    request(`${world.issuer}/access/v1/${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: {
        authorization: `Bearer ${await assertion(world.issuer, world.rs1)}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
});

describe('being told of what waits for a group', () => {
  let hooks: Receiver;
  beforeAll(async () => {
    hooks = await Receiver.start();
  });
  beforeEach(async () => {
    await world.writ.database.prisma.noticeChannel.deleteMany();
    hooks.received.length = 0;
    hooks.status = 204;
  });
  afterAll(() => hooks.stop());

  async function tellBy(path: string, browser: Browser): Promise<void> {
    const page = await browser.get(world.place);
    const token = /name="token" value="([^"]*)"/.exec(page.body)?.[1] ?? '';
    const form = { ...page, body: `<form action="${world.place}/channels">` };
    const made = await browser.submit(form, { token, url: `${hooks.url}${path}` });
    expect(titleOf(made)).toBe('Your webhook is ready');
  }
  const told = async (count: number): Promise<readonly string[]> => {
    for (let tried = 0; tried < 100 && hooks.received.length < count; tried++) await pause(50);
    return hooks.received.map(({ path }) => path);
  };

  it('is for its members, and not for the person that the agent acts for', async () => {
    await tellBy('/alice', await world.signedIn(ALICE));
    await tellBy('/bob', await world.signedIn(BOB));
    await asks();
    await told(1);
    await pause(1_500);
    expect(await told(1)).toEqual(['/bob']);
  });

  it('ends for whoever is no member any more, though a message was not taken yet', async () => {
    const bob = await world.signedIn(BOB);
    await tellBy('/bob', bob);
    hooks.status = 503;
    await asks();
    await told(1);
    groups = [];
    await world.signedIn(BOB);
    hooks.status = 204;
    const before = hooks.received.length;
    await pause(4_500);
    expect(hooks.received.length).toBe(before);
    groups = ['finance'];
    await world.signedIn(BOB);
    expect(await told(before + 1)).toHaveLength(before + 1);
  }, 20_000);
});

describe('whose members people are', () => {
  it('is what the company says at each sign-in: who is no member any more sees nothing', async () => {
    const asked = await asks();
    const bob = await world.signedIn(BOB);
    groups = ['marketing'];
    expect(await bobsTitle(asked.page, bob)).toBe('Approve this one call?');
    expect(await bobsTitle(asked.page)).toBe('There is nothing here');
    expect(await bobsTitle(asked.page, bob)).toBe('There is nothing here');
    const found = await world.admin(
      'GET',
      `/persons?${new URLSearchParams({ issuer: world.company.issuer, subject: BOB.subject }).toString()}`,
    );
    expect(found.body).toMatchObject({ items: [{ groups: ['marketing'] }] });
  });

  it('is also what it says when an agent asked for the sign-in', async () => {
    const asked = await asks();
    const bob = await world.signedIn(BOB);
    groups = [];
    await world.codeFor(world.a2, { prompt: 'login' }, BOB);
    expect(await bobsTitle(asked.page, bob)).toBe('There is nothing here');
  });

  it.each<[string, unknown]>([
    ['nothing', undefined],
    ['a text', 'finance'],
    ['a list with something else in it', ['finance', 7]],
    ['a name with a comma', ['finance', 'a, finance']],
    ['a name that is too long', ['finance', 'x'.repeat(129)]],
    ['more than 256 names', ['finance', ...Array.from({ length: 256 }, (_, n) => `g${String(n)}`)]],
    ['an object', { finance: true }],
  ])('is nothing where the company says %s', async (_what, said) => {
    const asked = await asks();
    groups = said;
    expect(await bobsTitle(asked.page)).toBe('There is nothing here');
  });
});
