// What the feed costs a Writ that many follow, and how soon a revocation is refused at MCP servers that ask nobody: followers
// that only read, and verifiers with a call running at each. Prints one JSON line.
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { clientAssertion, PrivateJwk } from '../../src/protocol/index.js';
import { createVerifier, type Verifier, VerifierError } from '../../src/sdk/verifier/index.js';
import { ADMIN_TOKEN, furnish, startHouse } from './house.js';
import { askOnce, quantile } from './load.js';
import { makeKeys, presigner, RESOURCE, SERVER } from './material.js';

const Setup = z.object({
  databaseUrl: z.string().optional(),
  readers: z.number(),
  verifiers: z.number(),
  revocations: z.number(),
  seconds: z.number(),
});
const { databaseUrl, readers, verifiers, revocations, seconds } = Setup.parse(JSON.parse(process.argv[2] ?? ''));

const Receipt = z.object({ writ: z.object({ session: z.string() }) });

const keys = makeKeys();
const issuer = 'http://127.0.0.1:4455';
const house = await startHouse({ issuer, databaseUrl });
const base = `http://127.0.0.1:${house.port}`;
/** After so long nobody is waited for any more: what has not been refused by then is missed. */
const PATIENCE_MS = 10_000;
const CALL = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_file","arguments":{}}}';

/** A follower that keeps nothing but the number it has reached. */
type Reader = { reached: number; readonly response: IncomingMessage };

/**
 * An MCP server; `running` resolves when its call runs, `stopped` when the token was refused because it is revoked, with the
 * time: to the call that ran, or to one that wanted to begin. A call that stops for another reason begins again.
 */
type Guarded = Readonly<{ verifier: Verifier; begin(token: string): Begun; ask(token: string): Promise<number> }>;
type Begun = Readonly<{ running: Promise<void>; stopped: Promise<number>; strays(): number }>;

try {
  await furnish(house, keys);
  const followers = await Promise.all(Array.from({ length: readers }, reader));
  const servers = Array.from({ length: verifiers }, guarded);
  await pause(2_000);
  const [cpu, began] = [house.cpuSeconds(), performance.now()];
  await pause(seconds * 1_000);
  const share = (house.cpuSeconds() - cpu) / ((performance.now() - began) / 1_000);
  const rssMb = house.rssMb();
  const times: number[] = [];
  let [missed, strays] = [0, 0];
  for (let n = 0; n < revocations; n++) {
    const seen = await revoked(servers);
    times.push(...seen.times);
    missed += seen.missed;
    strays += seen.strays;
  }
  await pause(1_000);
  const highest = Math.max(...followers.map(({ reached }) => reached));
  times.sort((a, b) => a - b);
  console.log(
    JSON.stringify({
      followers: readers + verifiers,
      follower_cpu_us_per_s: (share * 1e6) / (readers + verifiers),
      server_cpu_share: share,
      server_rss_mb: rssMb,
      behind: followers.filter(({ reached }) => reached < highest || highest < revocations).length,
      refusals: times.length,
      missed,
      stopped_otherwise: strays,
      refused_p50_ms: quantile(times, 0.5),
      refused_p99_ms: quantile(times, 0.99),
      refused_worst_ms: quantile(times, 1),
    }),
  );
  for (const { response } of followers) response.destroy();
  await Promise.all(servers.map(({ verifier }) => verifier.close()));
} finally {
  await house.stop();
}
process.exit(0);

async function reader(): Promise<Reader> {
  const assertion = clientAssertion(keys.server, { clientId: SERVER, issuer, now: Math.floor(Date.now() / 1_000) });
  const headers = { authorization: `Bearer ${assertion}` };
  const asked = get(`${base}/feed/v1/events?after=0`, { headers, agent: false });
  const [response] = z.tuple([z.custom<IncomingMessage>()]).parse(await once(asked, 'response'));
  if (response.statusCode !== 200) throw new Error(`a follower was answered ${String(response.statusCode)}`);
  const self: Reader = { reached: 0, response };
  let rest = '';
  response.setEncoding('latin1').on('data', (text: string) => {
    const events = (rest + text).split('\n\n');
    rest = events.pop() ?? '';
    self.reached = Number(/^id: (\d+)/.exec(events.at(-1) ?? '')?.[1] ?? self.reached);
  });
  response.on('error', () => undefined);
  return self;
}

function guarded(): Guarded {
  const key = PrivateJwk.parse({ ...keys.server.key.export({ format: 'jwk' }), kid: keys.server.kid, alg: 'ES256' });
  const verifier = createVerifier({
    ...{ issuer, resource: RESOURCE, feed: true, outcomes: false, timeoutMs: 10_000 },
    introspection: { clientId: SERVER, key },
    fetch: (url, init) => fetch(url.replace(issuer, base), init),
  });
  const guard = verifier.guard();
  const told = new Map<string, Readonly<{ running(): void; stopped(reason: unknown): void }>>();
  const handle = guard.fetch(async (_request, { authInfo }) => {
    const tool = guard.tool('read_file', async (_args: object, { signal }) => {
      told.get(authInfo.token)?.running();
      if (!signal.aborted) await once(signal, 'abort');
      told.get(authInfo.token)?.stopped(signal.reason);
    });
    try {
      await tool({}, { authInfo });
    } catch (stop) {
      told.get(authInfo.token)?.stopped(stop);
    }
    return Response.json({});
  });
  const ask = async (token: string): Promise<number> => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    return (await handle(new Request(RESOURCE, { method: 'POST', body: CALL, headers }))).status;
  };
  const begin = (token: string): Begun => {
    let running = (): void => undefined;
    let refused: (at: number) => void = () => undefined;
    const seen = { isRefused: false, strays: 0 };
    const isRefused = (): boolean => seen.isRefused;
    const begun = {
      running: new Promise<void>((resolve) => (running = resolve)),
      stopped: new Promise<number>((resolve) => (refused = resolve)),
      strays: () => seen.strays,
    };
    const stopped = (reason: unknown): void => {
      seen.isRefused = reason instanceof VerifierError && reason.reason === 'revoked';
      if (isRefused()) refused(performance.now());
      else seen.strays++;
    };
    told.set(token, { running, stopped });
    // One that has not heard enough yet, or for too long, refuses, as it must.
    const insist = async (): Promise<void> => {
      while (!isRefused()) {
        const status = await ask(token);
        if (status === 503) await pause(100);
        else if (status === 401 && !isRefused()) stopped(new VerifierError('revoked'));
        else if (status !== 200) return;
      }
    };
    void insist();
    return begun;
  };
  return { verifier, begin, ask };
}

type Seen = Readonly<{ times: readonly number[]; strays: number; missed: number }>;

/** Ends one session with a call of it running at each server: how long after the request each call was told to stop. */
async function revoked(servers: readonly Guarded[]): Promise<Seen> {
  const [request] = presigner(issuer, keys).exchanges(1, { subject: 'fresh' });
  if (request === undefined) throw new Error('nothing to ask');
  const { status, body } = await askOnce({ port: house.port }, request);
  if (status !== 200) throw new Error(`the exchange was refused: ${String(status)} ${body}`);
  const token = z.object({ access_token: z.string() }).parse(JSON.parse(body)).access_token;
  const calls = servers.map((server) => server.begin(token));
  const begun = Promise.all(calls.map(({ running }) => running)).then(() => true);
  if (!(await Promise.race([begun, pause(3 * PATIENCE_MS, false, { ref: false })])))
    throw new Error('calls did not begin');
  const sent = performance.now();
  await end(sessionOf(token));
  const late = pause(PATIENCE_MS, undefined, { ref: false });
  const stopped = await Promise.all(calls.map((call) => Promise.race([call.stopped, late])));
  const times = stopped.flatMap((at) => (at === undefined ? [] : [at - sent]));
  const heard = servers.filter((_, n) => stopped[n] !== undefined);
  const again = await Promise.all(heard.map((server) => server.ask(token)));
  const strays = calls.reduce((sum, call) => sum + call.strays(), 0);
  return { times, strays, missed: servers.length - times.length + again.filter((answer) => answer === 200).length };
}

async function end(session: string): Promise<void> {
  const response = await fetch(`${base}/admin/v1/sessions/${session}/end`, {
    method: 'POST',
    headers: { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify({ reason: 'the bench' }),
  });
  if (response.status !== 200) throw new Error(`the session was not ended: ${String(response.status)}`);
}

function sessionOf(token: string): string {
  const payload = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8');
  return Receipt.parse(JSON.parse(payload)).writ.session;
}
