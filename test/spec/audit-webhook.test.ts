import { createHmac } from 'node:crypto';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { closeRecord, recordHead, webhook, type WebhookDeps } from '../../src/audit/index.js';

const KEY = Buffer.alloc(32, 7);
const SECRET = `whsec_${KEY.toString('base64')}`;
const leaf = closeRecord(recordHead('grant', 1_795_305_600, { client: 'agt_a', route: '/token' }), {
  ...{ decision: 'refuse', reason: 'test', session: null, sequence: null, seen: 0 },
});

type Seen = Readonly<{ headers: IncomingMessage['headers']; body: string; path: string }>;

/** Whoever is sent the log; answers what `status` says. */
let consumer: Server;
let url: string;
let status = 204;
const seen: Seen[] = [];
beforeAll(async () => {
  consumer = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
    request.on('end', () => {
      seen.push({ headers: request.headers, body, path: request.url ?? '' });
      response.writeHead(status, status === 307 ? { location: `${url}/elsewhere` } : {}).end();
    });
  });
  await new Promise<void>((resolve) => consumer.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${String((consumer.address() as AddressInfo).port)}/hook`;
});
afterAll(() => new Promise((resolve) => consumer.close(resolve)));

type FollowedLog = Pick<WebhookDeps, 'events' | 'consumers' | 'onMissed'> &
  Readonly<{ place: () => number; missed: number[] }>;

/** A log of so many entries, and how far the one consumer of it is. Retention removed what is below `pruned`. */
function logOf(size: number, pruned = 0): FollowedLog {
  let place = 0;
  const missed: number[] = [];
  return {
    missed,
    onMissed: (records) => missed.push(records),
    place: () => place,
    events: {
      find: (_filter, { after, limit }) => {
        const start = Math.max(after + 1, pruned);
        const end = Math.min(size, start + limit);
        const indexes = Array.from({ length: Math.max(0, end - start) }, (_entry, n) => start + n);
        const entries = indexes.map((index) => ({ index, leafHash: 'h', leaf, txn: undefined }));
        return Promise.resolve({ entries, next: end < size ? end - 1 : undefined, indexedTo: size });
      },
    },
    consumers: {
      position: () => Promise.resolve(place),
      advance: (_name, from, to) => {
        const isMine = from === place;
        if (isMine) place = to;
        return Promise.resolve(isMine);
      },
    },
  };
}

const rangesOf = (requests: readonly Seen[]): unknown[] =>
  requests.map(({ body }) => {
    const { data } = JSON.parse(body) as { data: { from: number; to: number; entries: unknown[] } };
    return [data.from, data.to, data.entries.length];
  });

describe('the webhook of the log', () => {
  it('sends every entry in order, signed as Standard Webhooks are', async () => {
    seen.length = 0;
    status = 204;
    const log = logOf(250);
    const step = webhook({ ...log, url, secret: SECRET, clock: { now: () => 1_795_305_700 } });
    expect([await step(), await step(), await step(), await step()]).toEqual(['more', 'more', 'done', 'done']);
    expect(rangesOf(seen)).toEqual([
      [0, 100, 100],
      [100, 200, 100],
      [200, 250, 50],
    ]);
    for (const { headers, body } of seen) {
      const [id, timestamp] = [String(headers['webhook-id']), String(headers['webhook-timestamp'])];
      const wanted = createHmac('sha256', KEY).update(`${id}.${timestamp}.${body}`).digest('base64');
      expect([headers['webhook-signature'], timestamp]).toEqual([`v1,${wanted}`, '1795305700']);
    }
    expect(seen.map(({ headers }) => headers['webhook-id'])).toEqual(['log_0_100', 'log_100_200', 'log_200_250']);
  });

  it('sends again what was not taken, under the same id and later each time, and loses nothing', async () => {
    seen.length = 0;
    status = 500;
    let now = 1_000;
    const log = logOf(120);
    const step = webhook({ ...log, url, secret: SECRET, clock: { now: () => now } });
    const down = { code: 'webhook_unavailable' };
    await expect(step()).rejects.toMatchObject(down);
    expect([await step(), seen.length, log.place()]).toEqual(['done', 1, 0]);
    now += 2;
    await expect(step()).rejects.toMatchObject(down);
    now += 3;
    expect([await step(), seen.length]).toEqual(['done', 2]);
    now += 1;
    status = 200;
    expect([await step(), await step(), log.place()]).toEqual(['more', 'done', 120]);
    expect(seen.map(({ headers }) => headers['webhook-id'])).toEqual([
      'log_0_100',
      'log_0_100',
      'log_0_100',
      'log_100_120',
    ]);
  });

  it('tells whoever comes too late how much retention had removed, and counts it', async () => {
    seen.length = 0;
    status = 204;
    const log = logOf(700, 512);
    const step = webhook({ ...log, url, secret: SECRET, clock: { now: () => 5 } });
    expect([await step(), await step(), await step()]).toEqual(['more', 'done', 'done']);
    const data = seen.map(({ body }) => (JSON.parse(body) as { data: Record<string, unknown> }).data);
    expect(data.map(({ from, to, pruned }) => [from, to, pruned])).toEqual([
      [0, 612, 512],
      [612, 700, 0],
    ]);
    expect([log.missed, log.place()]).toEqual([[512], 700]);
  });

  it('goes where the operator said and nowhere else: a redirect is a failure', async () => {
    seen.length = 0;
    status = 307;
    const log = logOf(1);
    const step = webhook({ ...log, url, secret: SECRET, clock: { now: () => 5 } });
    await expect(step()).rejects.toMatchObject({ code: 'webhook_unavailable' });
    expect([seen.map(({ path }) => path), log.place()]).toEqual([['/hook'], 0]);
  });
});
