import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, describe, expect, it } from '@jest/globals';
import { ENTRY_LIFE, feedId, MAX_BATCH_ENTRIES } from '../../src/protocol/index.js';
import { askFeed, batchesOf, hasTarget, headOf, idsOf, revokeTargets, Stream } from '../support/feed.js';
import { ownWorld } from '../support/world.js';
import { answerOf, assertion, makeKey, request } from '../support/writ.js';

const world = await ownWorld();
const { rs1, rs2, a1 } = world;
const prisma = world.writ.database.prisma;
const streams: Stream[] = [];
const follow = async (
  ...[by = rs1, options]: [Parameters<typeof Stream.open>[1]?, Parameters<typeof Stream.open>[2]?]
) => {
  const stream = await Stream.open(world, by, options);
  streams.push(stream);
  return stream;
};
afterEach(() => {
  for (const stream of streams.splice(0)) stream.close();
});

/** Moves everything that is revoked so far out of the time in which it matters. */
const age = (seconds: number) =>
  prisma.$executeRawUnsafe(`UPDATE revocation SET revoked_at = revoked_at - interval '${String(seconds)} seconds'`);
const many = async (count: number, prefix: string): Promise<void> => {
  await revokeTargets(world, ...Array.from({ length: count }, (_, n) => `token:${prefix}${String(n)}`));
};

describe('GET /feed/v1/snapshot', () => {
  it('answers everything that still counts, with the number and the end of each, signed as a batch from the start', async () => {
    await revokeTargets(world, 'session:ses_gone');
    await age(ENTRY_LIFE + 1);
    const first = (await headOf(world)) + 1;
    const last = await revokeTargets(world, 'session:ses_1', 'token:abc');
    const before = Date.now();
    const answer = await askFeed(world, '/snapshot?after=0', rs1);
    expect([answer.status, answer.headers.get('cache-control')]).toEqual([200, 'no-store']);
    const [batch, ...others] = await batchesOf(world, answer);
    expect(others).toEqual([]);
    const soon = Math.floor(before / 1_000) + 420;
    expect(batch).toEqual({
      iss: world.issuer,
      at: expect.any(Number),
      from: 0,
      to: last,
      entries: [
        [feedId('session:ses_1'), first, expect.any(Number)],
        [feedId('token:abc'), last, expect.any(Number)],
      ],
    });
    expect(Math.abs((batch?.at ?? 0) - before)).toBeLessThan(5_000);
    for (const [, , exp] of batch?.entries ?? []) expect(Math.abs(exp - soon)).toBeLessThanOrEqual(5);
  });

  it('is cut into batches that go on where the one before ends, and says where there is more', async () => {
    await age(ENTRY_LIFE + 1);
    const from = await headOf(world);
    await many(MAX_BATCH_ENTRIES + 1, 'page');
    const [first, second] = await batchesOf(world, await askFeed(world, `/snapshot?after=${String(from)}`, rs1));
    expect([first?.from, first?.to, first?.more, first?.entries.length]).toEqual([
      from,
      from + MAX_BATCH_ENTRIES,
      true,
      MAX_BATCH_ENTRIES,
    ]);
    expect([second?.from, second?.to, second?.more, second?.entries.length]).toEqual([
      from + MAX_BATCH_ENTRIES,
      from + MAX_BATCH_ENTRIES + 1,
      undefined,
      1,
    ]);
  });

  it('of a start that is ahead of everything is empty and goes nowhere', async () => {
    const ahead = (await headOf(world)) + 1_000;
    const [batch] = await batchesOf(world, await askFeed(world, `/snapshot?after=${String(ahead)}`, rs1));
    expect([batch?.from, batch?.to, batch?.entries]).toEqual([ahead, ahead, []]);
  });
});

describe('GET /feed/v1', () => {
  it('answers at once what there is after a number', async () => {
    const from = await headOf(world);
    const waited = await batchesOf(world, await askFeed(world, `?after=${String(from)}`, rs1));
    expect(waited.map(({ from: start, to, entries }) => [start, to, entries])).toEqual([[from, from, []]]);
    const last = await revokeTargets(world, 'session:ses_polled');
    const ask = async () => batchesOf(world, await askFeed(world, `?after=${String(from)}`, rs1));
    let found = await ask();
    // A heartbeat may be on its way that was read before.
    while (found.at(-1)?.to === from) found = await ask();
    expect(found.at(-1)?.to).toBe(last);
    expect(hasTarget(found, 'session:ses_polled')).toBe(true);
  });

  it('waits for what is revoked next, and until then for a heartbeat', async () => {
    let after = await headOf(world);
    let at = 0;
    for (let asked = 0; asked < 3; asked++) {
      const [beat] = await batchesOf(world, await askFeed(world, `?after=${String(after)}`, rs1));
      expect([beat?.from, beat?.to, beat?.entries]).toEqual([after, after, []]);
      expect(beat?.at).toBeGreaterThan(at);
      at = beat?.at ?? 0;
    }
    const revoked = revokeTargets(world, 'session:ses_awaited');
    const seen: string[] = [];
    while (!seen.includes(feedId('session:ses_awaited'))) {
      const batches = await batchesOf(world, await askFeed(world, `?after=${String(after)}`, rs1));
      seen.push(...idsOf(batches));
      after = batches.at(-1)?.to ?? after;
    }
    expect(after).toBe(await revoked);
  });

  it('from a number that is older than what is kept in memory is answered from the database', async () => {
    const [page, ...others] = await batchesOf(world, await askFeed(world, '?after=0', rs1));
    expect([page?.from, page?.more, page?.entries.length, others]).toEqual([0, true, MAX_BATCH_ENTRIES, []]);
  });
});

describe('GET /feed/v1/events', () => {
  it('is a stream of events whose id is the end of each batch, with everything that still counts first', async () => {
    await age(ENTRY_LIFE + 1);
    await revokeTargets(world, 'session:ses_before');
    const stream = await follow();
    expect([stream.response.statusCode, stream.response.headers['content-type']]).toEqual([200, 'text/event-stream']);
    await stream.until(({ batches }) => batches.length > 0);
    expect(stream.batches[0]?.from).toBe(0);
    await stream.until(({ batches }) => hasTarget(batches, 'session:ses_before'));
    await revokeTargets(world, 'session:ses_after');
    await stream.until(({ batches }) => hasTarget(batches, 'session:ses_after'));
    await stream.until(({ batches }) => batches.filter(({ from, to }) => from === to).length > 2);
  });

  it('leaves no gap and no number out, and its time never goes back', async () => {
    const stream = await follow(rs1, { after: await headOf(world) });
    for (let n = 0; n < 20; n++) await revokeTargets(world, `session:ses_n${String(n)}`);
    await stream.until(({ batches }) => hasTarget(batches, 'session:ses_n19'));
    const { batches } = stream;
    for (const [n, batch] of batches.slice(1).entries()) {
      expect(batch.from).toBe(batches[n]?.to);
      expect(batch.at).toBeGreaterThanOrEqual(batches[n]?.at ?? 0);
    }
    const numbers = batches.flatMap(({ entries }) => entries.map(([, number]) => number));
    expect(numbers.slice(-20)).toEqual(Array.from({ length: 20 }, (_, n) => (numbers.at(-20) ?? 0) + n));
  });

  it('goes on after Last-Event-ID, which is newer than what the address says', async () => {
    const from = await revokeTargets(world, 'session:ses_seen');
    const last = await revokeTargets(world, 'session:ses_missed');
    const stream = await follow(rs1, { after: 0, headers: { 'last-event-id': String(from) } });
    await stream.until(({ batches }) => (batches.at(-1)?.to ?? 0) >= last);
    expect(hasTarget(stream.batches, 'session:ses_missed')).toBe(true);
    expect(stream.batches[0]?.from).toBeGreaterThan(0);
  });

  it('sends two followers the very same batches', async () => {
    const [one, other] = [await follow(), await follow(rs2)];
    await revokeTargets(world, 'session:ses_both');
    for (const stream of [one, other]) await stream.until(({ batches }) => hasTarget(batches, 'session:ses_both'));
    const of = (stream: Stream) => stream.batches.find((batch) => hasTarget([batch], 'session:ses_both'));
    expect(of(one)).toEqual(of(other));
  });

  it('catches up with more than fits in memory page by page, and then goes on live', async () => {
    const from = await headOf(world);
    await many(3_500, 'backlog');
    const stream = await follow(rs1, { after: from });
    const last = await headOf(world);
    await stream.until(({ batches }) => (batches.at(-1)?.to ?? 0) >= last);
    const numbers = new Set(stream.batches.flatMap(({ entries }) => entries.map(([, number]) => number)));
    // A batch may begin before the number that was asked for.
    expect([...numbers].filter((number) => number > from)).toHaveLength(3_500);
    await revokeTargets(world, 'session:ses_live');
    await stream.until(({ batches }) => hasTarget(batches, 'session:ses_live'));
  });

  it('ends when its server is disabled, and when it is given other keys', async () => {
    const path = `/servers/${encodeURIComponent('https://mcp2.example')}`;
    const { body } = await world.admin('GET', path);
    const server = body as Record<string, unknown>;
    const after = await headOf(world);
    const [disabled, other] = [await follow(rs2, { after }), await follow(rs1, { after })];
    expect((await world.admin('PUT', path, { ...server, status: 'disabled' })).status).toBe(200);
    await disabled.over();
    expect(answerOf(await askFeed(world, '', rs2))).toEqual([
      401,
      expect.objectContaining({ error: 'invalid_client' }),
    ]);
    expect((await world.admin('PUT', path, server)).status).toBe(200);
    const again = await follow(rs2, { after });
    const authentication = { method: 'private_key_jwt', jwks: { keys: [makeKey().jwk] } };
    expect((await world.admin('PUT', path, { ...server, authentication })).status).toBe(200);
    await again.over();
    expect((await world.admin('PUT', path, server)).status).toBe(200);
    const seen = other.batches.length;
    await other.until(({ batches }) => batches.length > seen);
  });
});

describe('who may follow', () => {
  const paths = ['', '/events', '/snapshot'];
  const UNAUTHENTICATED = { error: 'invalid_client', error_description: 'client authentication failed' };
  const invalid = (error_description: string) => ({ error: 'invalid_request', error_description });

  it.each(paths)('%s: nobody without credentials, and the answer says how to authenticate', async (path) => {
    const answer = await askFeed(world, path, {});
    expect(answerOf(answer)).toEqual([401, UNAUTHENTICATED]);
    expect(answer.headers.get('www-authenticate')).toBe('Bearer realm="writ", Basic realm="writ"');
  });

  it.each(paths)('%s: no agent', async (path) => {
    expect(answerOf(await askFeed(world, path, a1))).toEqual([
      400,
      { error: 'unauthorized_client', error_description: 'only an MCP server follows the feed' },
    ]);
  });

  it.each(paths)('%s: no assertion twice, of someone else, or for somewhere else', async (path) => {
    const authorization = `Bearer ${await assertion(world.issuer, rs1)}`;
    expect((await askFeed(world, '/snapshot', { authorization })).status).toBe(200);
    const wrong = [
      authorization,
      `Bearer ${await assertion(world.issuer, { id: rs1.id, key: rs2.key })}`,
      `Bearer ${await assertion('https://other.example', rs1)}`,
    ];
    for (const one of wrong)
      expect(answerOf(await askFeed(world, path, { authorization: one }))).toEqual([401, UNAUTHENTICATED]);
  });

  it.each([
    '?after=-1',
    '?after=1.5',
    '?after=01',
    '?after=',
    '?after=x',
    '?after=1&after=2',
    '?since=1',
    `?after=${'9'.repeat(16)}`,
  ])('%s is refused, on every path', async (query) => {
    for (const path of paths)
      expect(answerOf(await askFeed(world, `${path}${query}`, rs1))).toEqual([
        400,
        invalid('after must be a whole number, and nothing else may be asked'),
      ]);
  });

  it('nothing but what there is answers below the feed, and only to GET', async () => {
    expect((await askFeed(world, '/other', rs1)).status).toBe(404);
    expect((await request(`${world.issuer}/feed/v1`, { method: 'POST' })).status).toBe(405);
  });

  it('HEAD asks for the head alone', async () => {
    const answer = await request(`${world.issuer}/feed/v1/events`, {
      method: 'HEAD',
      headers: { authorization: `Bearer ${await assertion(world.issuer, rs1)}` },
    });
    expect([answer.status, answer.text, answer.headers.get('content-type')]).toEqual([200, '', 'text/event-stream']);
  });
});

describe('what operators see', () => {
  it('followers, batches by kind, and how old the last read is', async () => {
    const stream = await follow(rs1, { after: await headOf(world) });
    await stream.until(({ batches }) => batches.length > 1);
    const { text } = await request(`${world.issuer}/metrics`, { method: 'GET' });
    expect(text).toMatch(/^writ_feed_followers 1$/m);
    expect(text).toMatch(/^writ_feed_age_seconds 0(\.\d+)?$/m);
    for (const kind of ['batch', 'heartbeat', 'snapshot'])
      expect(text).toMatch(new RegExp(`^writ_feed_batches_total\\{kind="${kind}"\\} [1-9]`, 'm'));
    stream.close();
    await pause(0);
  });
});
