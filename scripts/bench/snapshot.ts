// How long a verifier takes to know a feed of so many live revocations for the first time, and for how long nothing else runs
// meanwhile. The pages are made beforehand, so that only whoever reads them is measured. Prints one JSON line.
import { sign } from 'node:crypto';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { ok, systemClock } from '../../src/base/index.js';
import { type FeedEntry, feedId, importKey, MAX_BATCH_ENTRIES } from '../../src/protocol/index.js';
import { followFeed } from '../../src/sdk/verifier/feed.js';
import { signBatch } from '../../src/signals/batch.js';
import { makeKeys, publicJwk, SERVER } from './material.js';

const { entries } = z.object({ entries: z.number() }).parse(JSON.parse(process.argv[2] ?? ''));
const ISSUER = 'https://writ.example';
/** As a Writ answers them. */
const PAGES_AT_ONCE = 16;
const client = makeKeys().server;
const key = importKey(publicJwk(client));
if (!key.ok) throw new Error(key.error);
const signing = {
  kid: client.kid ?? '',
  alg: 'ES256',
  publicJwk: publicJwk(client),
  sign: (data: Uint8Array) => sign('sha256', data, { key: client.key, dsaEncoding: 'ieee-p1363' }),
} as const;
const exp = systemClock.now() + 3_600;
const pages = Array.from({ length: Math.ceil(entries / MAX_BATCH_ENTRIES) }, (_, n) => page(n * MAX_BATCH_ENTRIES));

/** The last one is made when it is asked for, as all of them are by a Writ. */
function page(from: number): string {
  const to = Math.min(entries, from + MAX_BATCH_ENTRIES);
  const some = Array.from({ length: to - from }, (_, n): FeedEntry => [feedId(`token:${from + n}`), from + n + 1, exp]);
  const more = to < entries ? ({ more: true } as const) : {};
  return signBatch({ iss: ISSUER, at: Date.now(), from, to, entries: some, ...more }, signing).jws;
}

const heartbeat = (): Buffer =>
  signBatch({ iss: ISSUER, at: Date.now(), from: entries, to: entries, entries: [] }, signing).frame;

function answer(url: URL): Response {
  if (url.pathname.endsWith('/events')) {
    const beats = new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        await pause(250);
        controller.enqueue(heartbeat());
      },
    });
    return new Response(beats);
  }
  const first = Math.floor(Number(url.searchParams.get('after')) / MAX_BATCH_ENTRIES);
  const batches = pages.slice(first, first + PAGES_AT_ONCE);
  if (first + PAGES_AT_ONCE >= pages.length) batches.splice(-1, 1, page((pages.length - 1) * MAX_BATCH_ENTRIES));
  return Response.json({ batches });
}

const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
await pause(200);
delay.reset();
const began = performance.now();
const feed = followFeed({
  ...{ issuerId: ISSUER, clock: systemClock, timeoutMs: 10_000, clockSkewSeconds: 30, maxEntries: 2 * entries },
  client: { clientId: SERVER, key: client },
  issuer: {
    keyFor: () => Promise.resolve(ok(key.value)),
    kids: () => [],
    distrust: () => undefined,
    forgetKeys: () => undefined,
    introspectionEndpoint: () => Promise.reject(new Error('nobody asks')),
  },
  fetch: (url) => Promise.resolve(answer(new URL(url))),
  onNews: () => undefined,
});
await feed.begun(300_000);
const snapshotMs = performance.now() - began;
const longest = delay.max / 1e6;
const oldest = { ageMs: feed.ageMs() };
const until = performance.now() + 3_000;
while (performance.now() < until) {
  await pause(50);
  oldest.ageMs = Math.max(oldest.ageMs, feed.ageMs());
}
if (!feed.isRevoked([feedId('token:0')], 0)) throw new Error(`the feed was not read: ${String(feed.trouble())}`);
feed.close();
console.log(
  JSON.stringify({ snapshot_ms: snapshotMs, snapshot_longest_block_ms: longest, snapshot_age_ms: oldest.ageMs }),
);
process.exit(0);
