import { createHash, generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Cast } from './cast.js';
import { type Form, Line, type Reply } from './line.js';
import { type Bounds, openRig, type Rig } from './rig.js';

export type FloodResult = Readonly<{
  seconds: number;
  bad_per_second: number;
  bad_answers: Readonly<Record<string, number>>;
  good_alone_p50_ms: number;
  good_flooded_p50_ms: number;
  good_alone_p99_ms: number;
  good_flooded_p99_ms: number;
  slowdown: number;
  good_failed: number;
  /** Processor time of the server for one request. */
  cpu_us: Readonly<{ good: number; bad: number }>;
  rss_growth_mb: number;
}>;

export type CostResult = Readonly<{
  /** Statuses of all bad requests. */
  bad_answers: Readonly<Record<string, number>>;
  good_failed: number;
  /** Processor time of the server for one good request, for one bad one, and for one of each kind. */
  cpu_us: Readonly<{ good: number; bad: number; kinds: Readonly<Record<string, number>> }>;
}>;

/** What the issue asks for. */
export const FLOOD = { badPerSecond: 2_000, reached: 0.9, slowdown: 2, growthMb: 64 } as const;

/** Good requests come one after another, so that their time is the server's and not that of a queue of their own. */
const GOOD_EVERY_MS = 20;

/** Good exchanges alone, then while bad requests of every kind come in at a steady rate, from a few other networks; limits as they are shipped. */
export async function flood({ seconds, say }: Bounds): Promise<FloodResult> {
  const env = { WRIT_TRUSTED_PROXIES: '127.0.0.1/32', WRIT_FAILURES_PER_NETWORK: '300' };
  const rig = await openRig({ database: 'postgres', servers: 1, env });
  const rate = FLOOD.badPerSecond;
  try {
    const [server] = rig.servers;
    const half = seconds * 500;
    await good(rig, 1_500);
    const idle = server.usage();
    const alone = await good(rig, half);
    const [quiet, badForms] = [server.usage(), prepare(Object.values(badKinds(rig.cast)), 256)];
    const bad = new Line(server.address);
    await torrent(bad, badForms, { rate, ms: 1_500 });
    const before = server.usage();
    const [flooded, sent] = await Promise.all([good(rig, half), torrent(bad, badForms, { rate, ms: half })]);
    const after = server.usage();
    bad.close();
    say(`${sent.count} bad requests in ${Math.round(sent.ms)} ms: ${JSON.stringify(sent.answers)}`);
    const perGood = ((quiet.cpuMs - idle.cpuMs) * 1_000) / Math.max(1, alone.ms.length);
    const spent = (after.cpuMs - before.cpuMs) * 1_000 - perGood * flooded.ms.length;
    return {
      seconds,
      bad_per_second: Math.round(sent.count / (sent.ms / 1_000)),
      bad_answers: sent.answers,
      good_alone_p50_ms: quantile(alone.ms, 0.5),
      good_flooded_p50_ms: quantile(flooded.ms, 0.5),
      good_alone_p99_ms: quantile(alone.ms, 0.99),
      good_flooded_p99_ms: quantile(flooded.ms, 0.99),
      slowdown: Math.round((quantile(flooded.ms, 0.5) / quantile(alone.ms, 0.5)) * 100) / 100,
      good_failed: alone.failed + flooded.failed,
      cpu_us: { good: Math.round(perGood), bad: Math.round(spent / Math.max(1, sent.count)) },
      rss_growth_mb: Math.round((after.rssMb - before.rssMb) * 10) / 10,
    };
  } finally {
    await rig.closing.close();
  }
}

/** What a bad request costs that is really checked, beside a good one: no network is told to wait, and all come alike. */
export async function cost({ rounds, say }: Bounds): Promise<CostResult> {
  const rig = await openRig({ database: 'postgres', servers: 1, env: { WRIT_TRUSTED_PROXIES: '127.0.0.1/32' } });
  const { cast } = rig;
  try {
    const exchange = (): Bad => ({
      path: '/token',
      form: { ...cast.exchange('alice'), ...cast.authentication('agt_planner') },
    });
    const measure = async (name: string, kind: () => Bad): Promise<Awaited<ReturnType<typeof burst>>> => {
      // The first ones are for the compiler of the engine.
      await burst(rig, prepare([kind], Math.ceil(rounds / 2)));
      const measured = await burst(rig, prepare([kind], rounds));
      say(`${name}: ${measured.cpuUs} µs, ${JSON.stringify(measured.answers)}`);
      return measured;
    };
    const good = await measure('a good exchange', exchange);
    const kinds: Record<string, number> = {};
    const answers: Record<string, number> = {};
    for (const [name, kind] of Object.entries(badKinds(cast))) {
      const { cpuUs, answers: got } = await measure(name, kind);
      kinds[name] = cpuUs;
      for (const [status, count] of Object.entries(got)) answers[status] = (answers[status] ?? 0) + count;
    }
    const all = Object.values(kinds);
    const bad = Math.round(all.reduce((sum, us) => sum + us, 0) / all.length);
    const failed = rounds - (good.answers['200'] ?? 0);
    return { bad_answers: answers, good_failed: failed, cpu_us: { good: good.cpuUs, bad, kinds } };
  } finally {
    await rig.closing.close();
  }
}

/** All of these, a few at a time. */
async function burst(
  { servers: [server] }: Rig,
  requests: readonly Bad[],
): Promise<Readonly<{ cpuUs: number; answers: Readonly<Record<string, number>> }>> {
  const answers: Record<string, number> = {};
  const [waiting, before] = [[...requests], server.usage()];
  const send = async (): Promise<void> => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const { status } = await server.line.post(next.path, next.form, { ...next.headers, ...GOOD_NETWORK });
      answers[status] = (answers[status] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, send));
  const spent = server.usage().cpuMs - before.cpuMs;
  return { cpuUs: Math.round((spent * 1_000) / requests.length), answers };
}

const AT_ONCE = 16;

async function good(
  { servers: [{ line }], cast }: Rig,
  ms: number,
): Promise<Readonly<{ ms: number[]; failed: number }>> {
  const took: number[] = [];
  let failed = 0;
  for (const began = performance.now(); performance.now() - began < ms;) {
    const reply = await line.post(
      '/token',
      { ...cast.exchange('alice'), ...cast.authentication('agt_planner') },
      GOOD_NETWORK,
    );
    if (reply.status === 200) took.push(reply.ms);
    else failed++;
    await pause(GOOD_EVERY_MS);
  }
  return { ms: took, failed };
}

type Bad = Readonly<{ path: string; form: Form; headers?: Form }>;

/** Sends at a steady rate whatever the answers do, up to a bound of open requests. */
async function torrent(
  line: Line,
  bad: readonly Bad[],
  { rate, ms }: Readonly<{ rate: number; ms: number }>,
): Promise<Readonly<{ count: number; ms: number; answers: Readonly<Record<string, number>> }>> {
  const answers: Record<string, number> = {};
  const began = performance.now();
  let [count, open] = [0, 0];
  const take = ({ status }: Reply): void => {
    open--;
    answers[status] = (answers[status] ?? 0) + 1;
  };
  while (performance.now() - began < ms) {
    const due = Math.floor(((performance.now() - began) / 1_000) * rate);
    for (; count < due && open < MAX_OPEN; count++, open++) {
      const { path, form, headers } = bad[count % bad.length] ?? { path: '/token', form: {} };
      void line.post(path, form, { ...headers, 'x-forwarded-for': `203.0.113.${count % NETWORKS}` }).then(take);
    }
    await pause(5);
  }
  while (open > 0) await pause(5);
  return { count, ms: performance.now() - began, answers };
}

const MAX_OPEN = 512;
const GOOD_NETWORK = { 'x-forwarded-for': '198.51.100.1' };
const NETWORKS = 4;

/** Made before the clock runs. */
const prepare = (kinds: readonly (() => Bad)[], count: number): readonly Bad[] =>
  Array.from({ length: count }, (_, n) => kinds[n % kinds.length]?.() ?? { path: '/', form: {} });

/** Assertions with wrong signatures, unknown clients, broken forms, tokens of nobody. */
function badKinds(cast: Cast): Readonly<Record<string, () => Bad>> {
  const wrongKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const assertion = (clientId: string): string => {
    const now = Math.floor(Date.now() / 1_000);
    const claims = { iss: clientId, sub: clientId, aud: cast.issuer, jti: randomUUID(), iat: now, exp: now + 300 };
    const kid = createHash('sha256').update(clientId).digest('base64url');
    const parts = [{ alg: 'ES256', typ: 'client-authentication+jwt', kid }, claims];
    const input = parts.map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
    return `${input}.${sign('sha256', Buffer.from(input), { key: wrongKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  };
  const type = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
  const as = (clientId: string): Form => ({ client_assertion_type: type, client_assertion: assertion(clientId) });
  const tampered = (): Form => {
    const { client_assertion: token = '', ...form } = cast.authentication('agt_planner');
    const [head = '', body = ''] = token.split('.');
    return { ...form, client_assertion: `${head}.${body}.${Buffer.alloc(64, 7).toString('base64url')}` };
  };
  return {
    'a tampered assertion': () => ({ path: '/token', form: { ...cast.exchange('mallory'), ...tampered() } }),
    'an unknown client': () => ({
      path: '/token',
      form: { ...cast.exchange('mallory'), ...as(`agt_${randomUUID()}`) },
    }),
    'an assertion that is none': () => ({
      path: '/token',
      form: { ...cast.exchange('mallory'), client_assertion_type: type, client_assertion: 'a.b.c' },
    }),
    'another content type': () => ({ path: '/token', form: {}, headers: { 'content-type': 'application/json' } }),
    'a refresh with a tampered assertion': () => ({
      path: '/token',
      form: { grant_type: 'refresh_token', refresh_token: randomUUID(), ...tampered() },
    }),
    'an introspection by a wrong key': () => ({
      path: '/introspect',
      form: { token: 'x'.repeat(2_000), ...as('srv_files') },
    }),
    'parameters in the URL': () => ({ path: '/token?client_id=x', form: { grant_type: 'nothing' } }),
    'a pushed request of nobody': () => ({ path: '/request', form: { client_id: 'nobody', ...as('agt_nobody') } }),
  };
}

const quantile = (values: readonly number[], at: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return Math.round((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * at))] ?? Number.NaN) * 100) / 100;
};
