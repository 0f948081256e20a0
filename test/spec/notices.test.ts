import { createHmac } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { LEASE, MOST_TOLD } from '../../src/notice/index.js';
import { openSecrets } from '../../src/config/index.js';
import { openNotices } from '../../src/storage/index.js';
import { type AskingWorld, startAskingWorld } from '../support/asking-world.js';
import { Browser, type Seen } from '../support/browser.js';
import { ALICE, BOB } from '../support/company.js';
import { Receiver, type Received, Subscriber, vapidClaims } from '../support/push-service.js';
import { request } from '../support/writ.js';

let world: AskingWorld;
let alice: Browser;
let service: Receiver;
beforeAll(async () => {
  world = await startAskingWorld();
  service = await Receiver.start();
  alice = await world.signedIn();
}, 60_000);
beforeEach(async () => {
  await world.nothingWaits();
  await world.writ.database.prisma.$executeRawUnsafe('DELETE FROM notice_channel');
  service.received.length = 0;
  service.status = 201;
  service.silentAt = undefined;
});
afterAll(async () => {
  await service.stop();
  await world.close();
  expect(world.faults).toEqual([]);
});

const titleOf = ({ body }: Seen): string | undefined => /<h1>([^<]*)<\/h1>/.exec(body)?.[1];
const alertOf = ({ body }: Seen): string | undefined => /<p class="warn" role="alert">([^<]*)</.exec(body)?.[1];

/** One form of /approvals, sent as the page would. */
async function tell(browser: Browser, fields: Record<string, string>): Promise<Seen> {
  const page = await browser.get(world.place);
  const token = /name="token" value="([^"]*)"/.exec(page.body)?.[1] ?? '';
  return browser.submit({ ...page, body: `<form action="${world.place}/channels">` }, { token, ...fields });
}

const subscribe = (subscriber: Subscriber, browser = alice, path = '/push/1'): Promise<Seen> =>
  tell(browser, { subscription: subscriber.subscription(`${service.url}${path}`) });

/** The page that showed the secret of a webhook. */
const webhook = async (browser = alice, path = '/hook'): Promise<string> => {
  const made = await tell(browser, { url: `${service.url}${path}` });
  expect([made.status, titleOf(made)]).toEqual([200, 'Your webhook is ready']);
  return /<code>(whsec_[^<]+)<\/code>/.exec(made.body)?.[1] ?? '';
};

async function told(count = 1): Promise<readonly Received[]> {
  for (let tried = 0; tried < 100 && service.received.length < count; tried++) await pause(50);
  return service.received;
}
const asks = () => world.ask({ path: '/secret/place', text: 'a secret' });

describe('web push', () => {
  it('tells the browser that the person chose, which alone can read it (RFC 8030, 8291, 8292)', async () => {
    const subscriber = new Subscriber();
    const back = await subscribe(subscriber);
    expect([back.url, back.status]).toEqual([world.place, 200]);
    const asked = await asks();
    const [message] = await told();
    expect(message?.path).toBe('/push/1');
    expect(message?.headers).toMatchObject({ 'content-encoding': 'aes128gcm', urgency: 'high' });
    expect(Number(message?.headers['ttl'])).toBeGreaterThan(200);
    expect(Number(message?.headers['ttl'])).toBeLessThanOrEqual(300);
    expect(message?.headers['topic']).toMatch(/^[\w-]{32}$/);
    const claims = vapidClaims(message?.headers.authorization);
    expect(claims).toMatchObject({ aud: service.url, sub: 'mailto:writ@localhost' });
    expect(subscriber.read(message?.body ?? Buffer.alloc(0))).toEqual({
      title: 'Planner asks for your approval',
      body: expect.stringMatching(
        /^Write the file path\. Medium risk\. Without an answer it is denied at \d\d:\d\d UTC\.$/,
      ),
      path: `/approvals/${asked.id}`,
      tag: 'agt_a1',
    });
  });

  it('gives every browser the one key of the deployment', async () => {
    const { body } = await alice.get(world.place);
    const [, key] = /data-push="([\w-]{87})"/.exec(body) ?? [];
    expect(key).toBeDefined();
    await subscribe(new Subscriber());
    await asks();
    const [message] = await told();
    expect(message?.headers.authorization).toContain(`k=${key ?? ''}`);
  });

  it.each([404, 410])('forgets a subscription that has ended (%i, RFC 8030 section 8.2)', async (status) => {
    service.status = status;
    await subscribe(new Subscriber());
    await asks();
    await told();
    for (let tried = 0; tried < 40; tried++) {
      if (!(await alice.get(world.place)).body.includes('A browser, by')) break;
      await pause(50);
    }
    expect((await alice.get(world.place)).body).toContain('Nothing tells you of what waits, so look here.');
  });
});

describe('a webhook', () => {
  it('is signed by the secret that was shown once (Standard Webhooks), and has no value of an argument', async () => {
    const secret = await webhook();
    expect((await alice.get(world.place)).body).not.toContain(secret);
    const asked = await asks();
    const [message] = await told();
    const { 'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': signature } = message?.headers ?? {};
    const body = message?.body.toString('utf8') ?? '';
    const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
    const wanted = createHmac('sha256', key)
      .update(`${String(id)}.${String(at)}.${body}`)
      .digest('base64');
    expect(signature).toBe(`v1,${wanted}`);
    expect(id).toMatch(new RegExp(`^ntc_${asked.id}_chn_`));
    expect(JSON.parse(body)).toEqual({
      type: 'approval.asked',
      timestamp: expect.stringMatching(/^20.*Z$/),
      data: {
        approval: asked.id,
        title: 'Planner asks for your approval',
        body: expect.stringMatching(/^Write the file path\. Medium risk\./),
        url: asked.page,
        risk: 'medium',
        expires_at: expect.stringMatching(/^20.*Z$/),
      },
    });
    expect(body).not.toContain('secret');
  });

  it('is sent again, under the same id, until it is taken, and says on the page that it is not', async () => {
    service.status = 503;
    await webhook();
    await asks();
    await told();
    for (let tried = 0; tried < 40 && !(await alice.get(world.place)).body.includes('does not take messages'); tried++)
      await pause(50);
    expect((await alice.get(world.place)).body).toContain('does not take messages at the moment');
    service.status = 204;
    const [first, second] = await told(2);
    expect(second?.headers['webhook-id']).toBe(first?.headers['webhook-id']);
    await pause(2_500);
    expect(service.received).toHaveLength(2);
    expect((await alice.get(world.place)).body).not.toContain('does not take messages');
  }, 20_000);

  it('that is dead keeps no other channel from telling', async () => {
    await tell(alice, { url: `${service.url.replace(/\d+$/, '1')}/nobody` });
    await webhook();
    await asks();
    expect((await told())[0]?.path).toBe('/hook');
  });

  it('that never answers keeps no other one waiting', async () => {
    service.silentAt = '/silent';
    await webhook(alice, '/silent');
    await webhook(alice, '/hook');
    const heard = (): number => service.received.filter(({ path }) => path === '/hook').length;
    for (let n = 1; n <= 3; n++) {
      await world.ask({ path: `/silent/${String(n)}` });
      const began = performance.now();
      for (let tried = 0; tried < 100 && heard() < n; tried++) await pause(50);
      expect([heard(), performance.now() - began < 3_000]).toEqual([n, true]);
    }
  }, 20_000);

  it.each([
    ['plain http', 'http://hooks.example/x'],
    ['a private network', 'https://10.0.0.1/x'],
    ['the cloud’s own', 'https://169.254.169.254/latest'],
    ['no address', 'hook'],
    ['another scheme', 'file:///etc/passwd'],
    ['more than 2,048 characters', `https://hooks.example/${'x'.repeat(2_048)}`],
  ])('is not sent to %s', async (_what, url) => {
    const refused = await tell(alice, { url });
    expect([refused.status, alertOf(refused)]).toEqual([
      400,
      'A webhook is an https address on the public internet, of at most 2,048 characters.',
    ]);
  });
});

describe('who is told', () => {
  it('is nobody of what no longer waits, nor of what is another’s', async () => {
    const bob = await world.signedIn(BOB);
    await webhook(bob, '/bob');
    await webhook(alice, '/alice');
    await world.ask({ path: '/x' }, { employee: BOB });
    await told();
    await pause(1_500);
    expect(service.received.map(({ path }) => path)).toEqual(['/bob']);
  });

  it('is told eight times at most of one agent in five minutes, and of another one still', async () => {
    await webhook();
    for (let n = 0; n < 10; n++) await world.ask({ path: `/flood/${String(n)}` });
    await told(8);
    await world.nothingWaits();
    await world.ask({ path: '/flood/again' });
    await pause(1_500);
    expect(service.received).toHaveLength(8);
    await world.ask({ path: '/another' }, { by: world.a2 });
    await told(9);
  }, 20_000);
});

describe('what operators see', () => {
  it('is how many messages were sent, not taken, and to channels that had ended', async () => {
    const count = async (): Promise<Record<string, number>> => {
      const { text } = await request(`${world.issuer}/metrics`, {});
      const found = text.matchAll(/^writ_notices_total\{kind="(\w+)",outcome="(\w+)"\} (\d+)$/gm);
      return Object.fromEntries([...found].map(([, kind = '', outcome = '', n]) => [`${kind} ${outcome}`, Number(n)]));
    };
    // What an earlier test sent where nobody answers ends within the five seconds that a channel has.
    await pause(5_500);
    const before = await count();
    await webhook();
    await subscribe(new Subscriber());
    await asks();
    await told(2);
    service.status = 410;
    await world.ask({ path: '/another/place' });
    await told(4);
    await pause(200);
    service.status = 500;
    await webhook();
    await world.ask({ path: '/a/third/place' });
    await told(5);
    await pause(200);
    const after = await count();
    const more = Object.entries(after).map(([name, n]): [string, number] => [name, n - (before[name] ?? 0)]);
    expect(Object.fromEntries(more.filter(([, n]) => n > 0))).toEqual({
      ...{ 'push sent': 1, 'push gone': 1 },
      ...{ 'webhook sent': 1, 'webhook gone': 1, 'webhook failed': 1 },
    });
  }, 20_000);
});

describe('what was told', () => {
  it('is forgotten when it counts for no limit any more', async () => {
    const { prisma } = world.writ.database;
    const notices = openNotices(world.writ.database, openSecrets(world.config).encryptionKeys);
    await webhook();
    await asks();
    await told();
    await world.nothingWaits();
    await asks();
    await told(2);
    const now = Math.floor(Date.now() / 1000);
    await notices.prune(now);
    expect(await prisma.notice.count()).toBe(2);
    await notices.prune(now + MOST_TOLD.within);
    expect(await prisma.notice.count()).toBe(1);
  });

  it('and where, is gone with the person', async () => {
    const { prisma } = world.writ.database;
    const bob = await world.signedIn(BOB);
    await webhook(bob, '/bob');
    await world.ask({ path: '/x' }, { employee: BOB });
    await told();
    expect((await world.admin('DELETE', `/persons/${await world.personOf(BOB)}`)).status).toBe(200);
    expect([await prisma.noticeChannel.count(), await prisma.notice.count()]).toEqual([0, 0]);
  });
});

describe('choosing', () => {
  it('needs a sign-in of the last five minutes, and taking away does not', async () => {
    const browser = await world.signedIn();
    await webhook(browser);
    await world.ageSignIns(400);
    const refused = await tell(browser, { url: `${service.url}/other` });
    expect([refused.status, titleOf(refused)]).toEqual([403, 'Sign in to Writ']);
    const { body } = await browser.get(world.place);
    const channel = /name="channel" value="([^"]*)"/.exec(body)?.[1] ?? '';
    expect((await tell(browser, { action: 'stop', channel })).body).toContain('Nothing tells you');
    expect((await tell(browser, { action: 'stop', channel })).status).toBe(409);
    alice = await world.signedIn();
  });

  it('is of at most eight places, and the same place again is one', async () => {
    for (let n = 0; n < 8; n++) await webhook(alice, `/hook/${String(n)}`);
    await webhook(alice, '/hook/0');
    const refused = await tell(alice, { url: `${service.url}/hook/9` });
    expect([refused.status, alertOf(refused)]).toEqual([
      409,
      'You are told in eight places already. Take one away first.',
    ]);
  });

  it.each([
    ['nothing', ''],
    ['no JSON', '{'],
    ['no keys', JSON.stringify({ endpoint: 'https://push.example/x' })],
    ['a private push service', new Subscriber().subscription('https://192.168.1.1/x')],
    ['a key of another size', JSON.stringify({ endpoint: 'https://push.example', keys: { p256dh: 'AA', auth: 'AA' } })],
  ])('a browser that says %s is not told anything', async (_what, subscription) => {
    const refused = await tell(alice, { subscription });
    expect([refused.status, alertOf(refused)]).toEqual([
      400,
      'This browser did not say where it takes messages. Nothing has changed; try again.',
    ]);
  });

  it('is on the record as it is added, taken away, and ended by whoever took messages there', async () => {
    const person = await world.personOf(ALICE);
    const changes = async (): Promise<readonly unknown[]> => {
      await world.writ.flush();
      const { body } = await world.admin('GET', '/log?kind=authentication&limit=200');
      const { items } = body as { items: { facts: Record<string, unknown> }[] };
      return items.map(({ facts }) => facts).filter(({ what }) => String(what).startsWith('channel_'));
    };
    const before = (await changes()).length;
    await webhook();
    await webhook();
    const [channel] = await world.writ.database.prisma.noticeChannel.findMany();
    const { id = '' } = channel ?? {};
    await tell(alice, { action: 'stop', channel: id });
    await subscribe(new Subscriber());
    const [other] = await world.writ.database.prisma.noticeChannel.findMany();
    service.status = 410;
    await asks();
    await told();
    for (let tried = 0; tried < 100 && (await world.writ.database.prisma.noticeChannel.count()) > 0; tried++)
      await pause(50);
    const made = { what: 'channel_added', person, by: person };
    expect((await changes()).slice(before)).toEqual([
      { ...made, channel: id, channel_kind: 'webhook' },
      { ...made, what: 'channel_removed', channel: id, channel_kind: 'webhook' },
      { ...made, channel: other?.id, channel_kind: 'push' },
      { what: 'channel_removed', person, channel: other?.id, channel_kind: 'push', by: 'writ' },
    ]);
  });

  it('is nobody else’s to take away', async () => {
    await webhook();
    const { body } = await alice.get(world.place);
    const channel = /name="channel" value="([^"]*)"/.exec(body)?.[1] ?? '';
    const bob = await world.signedIn(BOB);
    expect((await tell(bob, { action: 'stop', channel })).status).toBe(409);
    expect((await alice.get(world.place)).body).toContain(channel);
  });
});

describe('the page that a phone keeps', () => {
  it('has a manifest, a worker and an icon, which nobody has to sign in for', async () => {
    const { body, headers } = await alice.get(world.place);
    expect(body).toContain('<link rel="manifest" href=');
    expect(headers.get('content-security-policy')).toMatch(
      /manifest-src 'self'; worker-src 'self'; img-src 'self'; script-src 'sha256-[^']+'; require-trusted-types-for 'script'$/,
    );
    const manifest = await request(`${world.place}/manifest.webmanifest`, {});
    expect(manifest.body).toMatchObject({ start_url: '/approvals', scope: '/approvals', display: 'standalone' });
    expect((await request(`${world.place}/icon.svg`, {})).headers.get('content-type')).toBe('image/svg+xml');
    const worker = await request(`${world.place}/sw.js`, {});
    expect(worker.headers.get('content-type')).toBe('text/javascript; charset=utf-8');
    expect(worker.headers.get('content-security-policy')).toBe("default-src 'none'; frame-ancestors 'none'");
  });
});

describe('of several processes', () => {
  it('one has each message, and what it died with another has when its time is over', async () => {
    const notices = openNotices(world.writ.database, openSecrets(world.config).encryptionKeys);
    await webhook();
    const { prisma } = world.writ.database;
    for (let n = 0; n < 12; n++) await world.ask({ path: `/race/${String(n)}` }, { by: n % 2 ? world.a1 : world.a2 });
    await told(12);
    const now = Math.floor(Date.now() / 1000);
    for (let tried = 0; tried < 100 && (await prisma.notice.count({ where: { sentAt: null } })) > 0; tried++)
      await pause(50);
    // Due again, in an hour of their own that the running process does not see.
    await prisma.$executeRawUnsafe(
      `UPDATE notice SET sent_at = NULL, leased_until = NULL, due_at = now() + interval '60 s'`,
    );
    const taken = await Promise.all([1, 2, 3, 4].map(() => notices.take(now + 61, { limit: 5, isFailing: false })));
    const ids = taken.flat().map(({ approval }) => approval);
    expect([ids.length, new Set(ids).size]).toEqual([12, 12]);
    expect(await notices.take(now + 61 + LEASE - 1, { limit: 20, isFailing: false })).toEqual([]);
    expect(await notices.take(now + 61 + LEASE, { limit: 20, isFailing: false })).toHaveLength(12);
  });
});
