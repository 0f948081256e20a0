import { generateKeyPairSync, sign } from 'node:crypto';
import { once } from 'node:events';
import { createServer, get, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Fault } from '../../src/base/index.js';
import { MAX_BATCH_ENTRIES, PublicJwk } from '../../src/protocol/index.js';
import { McpServer, makeSnapshot } from '../../src/registry/index.js';
import { Feed, type FeedRead } from '../../src/signals/index.js';
import { Follower, followingServer } from '../../src/signals/follower.js';
import { Places } from '../../src/signals/places.js';

const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const publicJwk = PublicJwk.parse(publicKey.export({ format: 'jwk' }));
const server = {
  ...McpServer.parse({
    resource: 'https://mcp.example',
    client_id: 'srv_one',
    name: 'one',
    owner: 'team',
    authentication: { method: 'private_key_jwt', jwks: { keys: [publicJwk] } },
    scopes: ['a'],
    tools: [],
  }),
  secretHash: undefined,
};
const key = {
  kid: 'k1',
  alg: 'ES256',
  publicJwk,
  sign: (data: Uint8Array) => sign('sha256', data, { key: privateKey, dsaEncoding: 'ieee-p1363' }),
} as const;

/** Real connections, one for each response that a test wants to write to. */
const responses: ServerResponse[] = [];
const http = createServer((_request, response) => {
  response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
  responses.push(response);
});
beforeAll(async () => {
  await once(http.listen(0, '127.0.0.1'), 'listening');
});
afterAll(() => {
  http.closeAllConnections();
  http.close();
});

async function connection(): Promise<
  Readonly<{ follower: Follower; response: ServerResponse; received: IncomingMessage }>
> {
  const { port } = http.address() as AddressInfo;
  const [received] = (await once(get({ port, host: '127.0.0.1', agent: false }), 'response')) as [IncomingMessage];
  received.on('error', () => undefined);
  const response = responses.at(-1);
  if (response === undefined) throw new Error('no response');
  return { follower: new Follower(followingServer(server), response), response, received };
}

const readAll = (received: IncomingMessage): Readonly<{ text: () => string }> => {
  let text = '';
  received.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  return { text: () => text };
};

/** A feed over numbers that a test makes up, with a clock of its own. */
function feedOf(registry = makeSnapshot(1, { agents: [], servers: [server], issuers: [] })) {
  const state = {
    highest: 0,
    nowMs: 1_000,
    isDown: false,
    /** Reads see what was so when they began, and end when this does. */
    hangs: Promise.resolve(),
    reads: 0,
    registry,
    kinds: [] as string[],
    cutOff: 0,
  };
  const feed = new Feed({
    issuer: 'https://writ.example',
    reader: {
      read: (after, limit) => {
        state.reads++;
        if (state.isDown) return Promise.reject(new Fault('database_unavailable', 'down'));
        const start = after ?? state.highest;
        const all = Math.max(0, state.highest - start);
        const entries = Array.from({ length: Math.min(all, limit) }, (_, n) => ({
          target: `token:${String(start + n + 1)}`,
          number: start + n + 1,
          exp: 1_795_306_000,
        }));
        const read: FeedRead = { at: state.nowMs, highest: state.highest, entries, hasMore: all > limit };
        return state.hangs.then(() => read);
      },
    },
    keys: { active: () => key },
    registry: { current: () => state.registry },
    watch: {
      onBatch: (kind) => {
        state.kinds.push(kind);
      },
      onCutOff: () => {
        state.cutOff++;
      },
    },
    timeMs: () => state.nowMs,
  });
  return { feed, state };
}

describe('the feed', () => {
  it('reads nothing while nobody wants to know, and a moment after the last one did', async () => {
    const { feed, state } = feedOf();
    await feed.step();
    expect([state.reads, feed.age()]).toEqual([0, 0]);
    const asked = feed.ready();
    await feed.step();
    await asked;
    state.nowMs += 4_999;
    await feed.step();
    expect(state.reads).toBe(2);
    state.nowMs += 2;
    await feed.step();
    expect(state.reads).toBe(2);
  });

  it('sends a heartbeat when its time has come and not sooner, and news at once', async () => {
    const { feed, state } = feedOf();
    const { follower } = await connection();
    await Promise.all([feed.follow(follower, 0), feed.step()]);
    expect(state.kinds).toEqual(['heartbeat']);
    state.nowMs += 100;
    await feed.step();
    expect(state.kinds).toEqual(['heartbeat']);
    state.nowMs += 100;
    await feed.step();
    expect(state.kinds).toEqual(['heartbeat', 'heartbeat']);
    state.highest = 3;
    state.nowMs += 1;
    await feed.step();
    expect(state.kinds).toEqual(['heartbeat', 'heartbeat', 'batch']);
  });

  it('sends nothing after a read that failed, grows old meanwhile, and goes on without a gap', async () => {
    const { feed, state } = feedOf();
    const { follower, received } = await connection();
    const { text } = readAll(received);
    await Promise.all([feed.follow(follower, 0), feed.step()]);
    state.isDown = true;
    state.nowMs += 1_000;
    await expect(feed.step()).rejects.toMatchObject({ code: 'database_unavailable' });
    expect([state.kinds, feed.age()]).toEqual([['heartbeat'], 1]);
    state.isDown = false;
    state.highest = 2;
    await feed.step();
    expect([state.kinds, feed.age()]).toEqual([['heartbeat', 'batch'], 0]);
    follower.end();
    await once(received, 'end');
    const ids = text().match(/^id: \d+$/gm);
    expect(ids).toEqual(['id: 0', 'id: 2']);
  });

  it('says that there is more until everything is sent, and cuts it into batches', async () => {
    const { feed, state } = feedOf();
    const { follower } = await connection();
    await Promise.all([feed.follow(follower, 0), feed.step()]);
    state.highest = 2 * MAX_BATCH_ENTRIES + 1;
    expect([await feed.step(), await feed.step(), await feed.step()]).toEqual([true, true, false]);
  });

  it('answers who asks the same of the same moment with one page, read and signed once', async () => {
    const { feed, state } = feedOf();
    state.highest = 5;
    const [one, other] = await Promise.all([feed.snapshot(0, 4), feed.snapshot(0, 4)]);
    expect([one, state.reads]).toEqual([other, 1]);
    await feed.snapshot(0, 4);
    expect(state.reads).toBe(2);
  });

  it('answers nobody with a page whose read began before they asked, however long that read takes', async () => {
    const { feed, state } = feedOf();
    let go = (): void => undefined;
    state.hangs = new Promise<void>((resolve) => (go = resolve));
    const first = feed.snapshot(0, 4);
    while (state.reads === 0) await new Promise(setImmediate);
    state.nowMs += 3_000;
    const later = [feed.snapshot(0, 4), feed.snapshot(0, 4)];
    go();
    const answers = await Promise.all([first, ...later]);
    expect([...answers.map(([page]) => page?.at), state.reads]).toEqual([1_000, 4_000, 4_000, 2]);
  });

  it('reads a page anew after a read of it that failed', async () => {
    const { feed, state } = feedOf();
    state.isDown = true;
    await expect(feed.snapshot(0, 4)).rejects.toMatchObject({ code: 'database_unavailable' });
    state.isDown = false;
    await expect(feed.snapshot(0, 4)).resolves.toHaveLength(1);
  });

  it('ends every stream, and tells who waits to go elsewhere', async () => {
    const { feed } = feedOf();
    const { follower, received } = await connection();
    readAll(received);
    await Promise.all([feed.follow(follower, 0), feed.step()]);
    const waiting = feed.poll(0);
    feed.end();
    await expect(waiting).rejects.toMatchObject({ code: 'database_unavailable' });
    await once(received, 'end');
    expect(feed.followers).toBe(0);
  });

  it('ends the stream of a server that is disabled while it follows', async () => {
    const { feed, state } = feedOf();
    const { follower, received } = await connection();
    readAll(received);
    await Promise.all([feed.follow(follower, 0), feed.step()]);
    state.registry = makeSnapshot(2, { agents: [], servers: [{ ...server, status: 'disabled' }], issuers: [] });
    await feed.step();
    await once(received, 'end');
    expect(feed.followers).toBe(0);
  });
});

describe('a receiver that takes nothing', () => {
  it('is cut off when too much waits for it, and nobody else is', async () => {
    const { feed, state } = feedOf();
    const [slow, quick] = [await connection(), await connection()];
    slow.received.socket.pause();
    readAll(quick.received);
    await Promise.all([feed.follow(slow.follower, 0), feed.follow(quick.follower, 0), feed.step()]);
    for (let sent = 0; state.cutOff === 0 && sent < 600; sent++) {
      state.highest += MAX_BATCH_ENTRIES;
      await feed.step();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect([state.cutOff, feed.followers]).toEqual([1, 1]);
    expect([slow.response.destroyed, quick.response.destroyed]).toEqual([true, false]);
  }, 60_000);

  it('is cut off when anything waits for it for too long', async () => {
    const { feed, state } = feedOf();
    const { follower, received, response } = await connection();
    received.socket.pause();
    await Promise.all([feed.follow(follower, 0), feed.step()]);
    while (response.writableLength === 0) {
      state.highest += MAX_BATCH_ENTRIES;
      await feed.step();
      await new Promise((resolve) => setImmediate(resolve));
    }
    state.nowMs += 500;
    await feed.step();
    state.nowMs += 9_999;
    await feed.step();
    expect(feed.followers).toBe(1);
    state.nowMs += 500;
    await feed.step();
    expect([feed.followers, response.destroyed]).toEqual([0, true]);
  }, 60_000);
});

describe('places', () => {
  it('are 1,024 for one server and 4,096 for all, and free again when they are given back', () => {
    const places = new Places();
    const taken = Array.from({ length: 1_024 }, () => places.take('srv_one'));
    expect(places.take('srv_one')).toBe('client_full');
    for (const client of ['srv_2', 'srv_3', 'srv_4']) for (let n = 0; n < 1_024; n++) places.take(client);
    expect(places.take('srv_5')).toBe('full');
    const [first] = taken;
    if (typeof first === 'function') first();
    expect(typeof places.take('srv_one')).toBe('function');
  });

  it('are kept until the connection ends, and not taken by one that ended while its client was looked at', async () => {
    const places = new Places();
    const { response, received } = await connection();
    for (let n = 0; n < 1_023; n++) places.take('srv_one');
    expect(places.keep('srv_one', response)).toBe('kept');
    expect(places.keep('srv_one', response)).toBe('client_full');
    received.destroy();
    await once(response, 'close');
    for (let n = 0; n < 4_096; n++) expect(places.keep('srv_one', response)).toBe('gone');
    expect(typeof places.take('srv_one')).toBe('function');
    expect(places.take('srv_one')).toBe('client_full');
  });
});
