// What a verifier keeps of the feed: memory and time of a deny set of so many entries. Prints one JSON line.
import { feedId, targetsOf, type TransactionalAccessToken } from '../../src/protocol/index.js';
import { DenySet } from '../../src/sdk/verifier/deny-set.js';
import { quantile } from './load.js';
import { RESOURCE } from './material.js';

const { entries, lookups } = JSON.parse(process.argv[2] ?? '') as { entries: number; lookups: number };
const NOW = 1_000_000;
const ids = Array.from({ length: entries }, (_, n) => feedId(`token:${String(n)}`));
const strangers = Array.from({ length: Math.min(entries, 200_000) }, (_, n) => feedId(`session:${String(n)}`));

const before = process.memoryUsage();
// As a verifier has it by default: twice the room.
const set = new DenySet(2 * entries);
const pauses: number[] = [];
const began = performance.now();
for (let n = 0; n < entries; n += 1_000) {
  const batch = performance.now();
  for (const [index, id] of ids.slice(n, n + 1_000).entries()) set.put(id, n + index + 1, NOW + 360, NOW);
  pauses.push(performance.now() - batch);
}
const putMs = performance.now() - began;
const grown = process.memoryUsage().arrayBuffers - before.arrayBuffers;

const claims: TransactionalAccessToken = {
  ...{ iss: 'https://writ.example', aud: RESOURCE, sub: 'prs_a', client_id: 'agt_a', iat: NOW, exp: NOW + 180 },
  ...{ jti: 'one', txn: 'txn', scope: 'repo:read', tctx: { call_chain: [] }, rctx: {} },
  act: { sub: 'agt_a', iss: 'https://writ.example', act: { sub: 'agt_b', iss: 'https://writ.example' } },
  writ: { decision: 'dec_1', policy: 'p', session: 'ses_1', seen: 0, leaf: 'A'.repeat(43) },
};

/** Nanoseconds for each, the second time round: the first is for the compiler. */
function nanos(count: number, work: (n: number) => unknown): number {
  let [elapsed, found] = [0, 0];
  for (let round = 0; round < 2; round++) {
    const started = performance.now();
    // What is found is counted so that none of it can be left out.
    for (let n = 0; n < count; n++) found += Number(work(n));
    elapsed = performance.now() - started;
  }
  if (!Number.isFinite(found)) throw new Error('nothing was looked up');
  return (elapsed * 1e6) / count;
}

const any = (n: number, list: readonly string[]): string => list[(n * 7_919) % list.length] ?? '';
const isRevoked = (): boolean => targetsOf(claims, 'k1').some((target) => set.numberOf(feedId(target), NOW) > 0);
console.log(
  JSON.stringify({
    entries: set.size,
    bytes_per_entry: set.bytes / set.size,
    process_bytes_per_entry: grown / set.size,
    hit_ns: nanos(lookups, (n) => set.numberOf(any(n, ids), NOW)),
    miss_ns: nanos(lookups, (n) => set.numberOf(any(n, strangers), NOW)),
    token_us: nanos(Math.ceil(lookups / 10), isRevoked) / 1_000,
    put_us: (putMs * 1_000) / entries,
    longest_pause_ms: quantile(
      pauses.sort((a, b) => a - b),
      1,
    ),
  }),
);
