// What a verifier keeps of the feed: memory and time of a deny set of so many entries. Prints one JSON line.
import { ENTRY_LIFE, feedId, targetsOf, type TransactionalAccessToken } from '../../src/protocol/index.js';
import { DenySet } from '../../src/sdk/verifier/deny-set.js';
import { quantile } from './load.js';
import { RESOURCE } from './material.js';

const { entries, lookups } = JSON.parse(process.argv[2] ?? '') as { entries: number; lookups: number };
const NOW = 1_000_000;
const BATCH = 1_000;
const ID_BYTES = 16;
// As bytes, since a heap of a million strings would be most of what the collector is busy with.
const ids = Buffer.concat(Array.from({ length: entries }, (_, n) => Buffer.from(feedId(`token:${n}`), 'base64url')));
const idOf = (n: number): string => ids.toString('base64url', n * ID_BYTES, (n + 1) * ID_BYTES);
const known = Array.from({ length: Math.min(entries, 200_000) }, (_, n) => idOf((n * 7_919) % entries));
const strangers = Array.from({ length: known.length }, (_, n) => feedId(`session:${n}`));

const before = process.memoryUsage();
let [putMs, grown] = [Infinity, 0];
/** The shortest of each batch: what else the machine does comes on top, now here and now there. */
const pauses = Array.from({ length: Math.ceil(entries / BATCH) }, () => Infinity);
let set = filled();
for (let round = 1; round < 3; round++) set = filled();

/** As a verifier has it by default: twice the room. */
function filled(): DenySet {
  const fresh = new DenySet(2 * entries);
  let sum = 0;
  for (let n = 0; n < entries; n += BATCH) {
    const some = Array.from({ length: Math.min(BATCH, entries - n) }, (_, index) => idOf(n + index));
    const began = performance.now();
    for (const [index, id] of some.entries()) fresh.put(id, n + index + 1, NOW + ENTRY_LIFE, NOW);
    const took = performance.now() - began;
    sum += took;
    pauses[n / BATCH] = Math.min(took, pauses[n / BATCH] ?? Infinity);
  }
  putMs = Math.min(putMs, sum);
  if (grown === 0) grown = process.memoryUsage().arrayBuffers - before.arrayBuffers;
  return fresh;
}

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

const any = (n: number, list: readonly string[]): string => list[n % list.length] ?? '';
const isRevoked = (): boolean =>
  [...targetsOf(claims), 'key:k1'].some((target) => set.numberOf(feedId(target), NOW) > 0);
console.log(
  JSON.stringify({
    entries: set.size,
    bytes_per_entry: set.bytes / set.size,
    process_bytes_per_entry: grown / set.size,
    hit_ns: nanos(lookups, (n) => set.numberOf(any(n, known), NOW)),
    miss_ns: nanos(lookups, (n) => set.numberOf(any(n, strangers), NOW)),
    token_us: nanos(Math.ceil(lookups / 10), isRevoked) / 1_000,
    put_us: (putMs * 1_000) / entries,
    longest_pause_ms: quantile(
      pauses.sort((a, b) => a - b),
      1,
    ),
  }),
);
