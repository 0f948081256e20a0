import { KeyObject } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { setTimeout as pause } from 'node:timers/promises';
import { decodeJwt } from 'jose';
import { ENTRY_LIFE, feedTarget } from '../../src/protocol/index.js';
import {
  type ApprovedCall,
  createVerifier,
  type Refused,
  type Verifier,
  VerifierError,
  type VerifierOptions,
} from '../../src/sdk/verifier/index.js';
import { strangeKey, TestFeed } from '../support/feed-server.js';
import { type Claims, TestIssuer } from '../support/issuer.js';
import { jws } from '../support/jws.js';
import { callText } from '../support/mcp.js';

const RESOURCE = 'https://mcp.example/files';
const BOUNDS = { exact: 700, other: 2_000 };
const REVOKED = {
  error: 'invalid_token',
  error_description: 'The access token is missing, invalid, expired or not for this server.',
};
const STALE = {
  error: 'temporarily_unavailable',
  error_description: 'The access token cannot be checked right now.',
};
let issuer: TestIssuer;
let feed: TestFeed;
let introspection: NonNullable<VerifierOptions['introspection']>;
let verifiers: Verifier[];
let refused: Refused[];
beforeEach(async () => {
  issuer = await TestIssuer.start();
  feed = new TestFeed(issuer);
  introspection = { clientId: 'mcp', key: await issuer.register('mcp') };
  [verifiers, refused] = [[], []];
});
afterEach(async () => {
  await Promise.all(verifiers.map((verifier) => verifier.close()));
  feed.close();
  await issuer.close();
});

type Work = (call: ApprovedCall) => unknown;
type Server = Readonly<{ verifier: Verifier; send(body: string, token: string): Promise<Response> }>;

/** An MCP server that follows; `work` is what its tool does. */
function serverOf(more: Partial<VerifierOptions> = {}, work: Work = () => 'done'): Server {
  const options = { issuer: issuer.url, resource: RESOURCE, introspection, outcomes: false };
  const verifier = createVerifier({ ...options, feed: { maxAgeMs: BOUNDS }, ...more });
  verifiers.push(verifier);
  const guard = verifier.guard({ onRefused: (why) => refused.push(why) });
  const handle = guard.fetch(async (request, { authInfo }) => {
    const { method, params } = (await request.json()) as { method: string; params?: { name: string } };
    if (method !== 'tools/call') return Response.json({ listed: true });
    const handler = guard.tool(params?.name ?? '', (_args: object, call) => work(call));
    return Response.json({ result: await handler({}, { authInfo }) });
  });
  const headers = { 'content-type': 'application/json' };
  return {
    verifier,
    send: (body, token) =>
      handle(
        new Request(RESOURCE, { method: 'POST', body, headers: { ...headers, authorization: `Bearer ${token}` } }),
      ),
  };
}

const LIST = '{"jsonrpc":"2.0","id":1,"method":"tools/list"}';
const CALL = callText('read_file', '{}');
const writ = (session: string, more: object = {}): Claims => ({
  writ: { decision: 'dec_1', policy: 'sha256:1', session, seen: 1, leaf: 'A'.repeat(43), ...more },
});
/** A token for one exact call, in this session. */
const exact = (session: string, more: object = {}): Promise<string> =>
  issuer.token(RESOURCE, 'read_file', { arguments_sha256: 'A'.repeat(43) }, { ...writ(session), ...more });
const plain = (session: string, more: object = {}): Promise<string> =>
  issuer.token(RESOURCE, 'read_file', { max_uses: 1_000 }, { ...writ(session), ...more });

const bare = (): Promise<string> => issuer.sign(issuer.claims(RESOURCE, writ('ses_1')));

/** Asks until it is answered so; gives every answer with when it was asked for. */
async function until(wanted: (status: number) => boolean, ask: () => Promise<Response>) {
  const seen: { status: number; at: number; body: unknown }[] = [];
  for (const end = Date.now() + 20_000; Date.now() < end;) {
    await pause(20);
    const at = Date.now();
    const response = await ask();
    seen.push({ status: response.status, at, body: await response.json() });
    if (wanted(response.status)) return seen;
  }
  throw new Error(`never answered so, at last ${JSON.stringify(seen.at(-1))}`);
}
const is =
  (wanted: number) =>
  (status: number): boolean =>
    status === wanted;

describe('a verifier that follows the feed', () => {
  it('knows what was revoked before it came, at its first request', async () => {
    feed.revoke('txn:other', feedTarget.session('ses_1'));
    const { send } = serverOf();
    const response = await send(LIST, await plain('ses_1'));
    expect(response.status).toBe(401);
    expect(await response.json()).toEqual(REVOKED);
    expect(refused).toEqual([{ reason: 'revoked', tool: undefined }]);
    expect((await send(LIST, await plain('ses_2'))).status).toBe(200);
  });

  it('reads a snapshot of many pages before its first request', async () => {
    feed.revoke(...Array.from({ length: 3_500 }, (_, n) => feedTarget.session(`ses_${String(n)}`)));
    const { send } = serverOf();
    expect((await send(LIST, await plain('ses_3499'))).status).toBe(401);
    expect((await send(LIST, await plain('ses_3500'))).status).toBe(200);
    expect(feed.counts.snapshots).toBeGreaterThanOrEqual(4);
  });

  const targets: readonly [string, (claims: { jti: string }) => string][] = [
    ['token', ({ jti }) => feedTarget.token(jti)],
    ['transaction', () => feedTarget.transaction('txn_1')],
    ['session', () => feedTarget.session('ses_1')],
    ['person', () => feedTarget.person('prs_alice')],
    ['agent', () => feedTarget.agent('agt_planner')],
    ['server', () => feedTarget.server(RESOURCE)],
    ['tool', () => feedTarget.tool(RESOURCE, 'read_file')],
    ['signing key', () => feedTarget.key(issuer.signingKey.kid)],
  ];
  it.each(targets)('refuses a call after its %s was revoked', async (_, target) => {
    const { send } = serverOf();
    const token = await plain('ses_1', { jti: 'jti_1' });
    expect((await send(CALL, token)).status).toBe(200);
    feed.revoke('txn:before', target({ jti: 'jti_1' }));
    const answers = await until(is(401), () => send(CALL, token));
    expect(answers.at(-1)?.body).toEqual(REVOKED);
    expect(refused.every(({ reason }) => reason === 'revoked' || reason === 'unknown_key')).toBe(true);
  });

  it('lets a token through whose commit had seen the revocation', async () => {
    const { send } = serverOf();
    const number = feed.revoke('txn:before', feedTarget.session('ses_1'));
    await until(is(401), async () => send(LIST, await plain('ses_1')));
    expect((await send(LIST, await plain('ses_1', writ('ses_1', { seen: number })))).status).toBe(200);
    expect((await send(LIST, await plain('ses_1', writ('ses_1', { seen: number - 1 })))).status).toBe(401);
  });

  it('refuses what another tool of the same token may still do, and the revoked one not', async () => {
    const { send } = serverOf();
    const both = { authorization_details: ['read_file', 'write_file'].map((identifier) => detail(identifier)) };
    const token = await issuer.sign(issuer.claims(RESOURCE, { ...both, ...writ('ses_1') }));
    feed.revoke('txn:before', feedTarget.tool(RESOURCE, 'read_file'));
    await until(is(401), () => send(CALL, token));
    expect((await send(callText('write_file', '{}'), token)).status).toBe(200);
  });

  it('refuses a bare token without the guard too', async () => {
    const { verifier } = serverOf();
    const token = await bare();
    await expect(verifier.verifyAccessToken(token)).resolves.toMatchObject({ clientId: 'agt_planner' });
    feed.revoke('txn:before', feedTarget.session('ses_1'));
    await until(is(401), async () =>
      verifier.verifyAccessToken(token).then(
        () => Response.json({}),
        (error: unknown) => Response.json({}, { status: error instanceof VerifierError ? 401 : 500 }),
      ),
    );
    await expect(verifier.verifyAccessToken(token)).rejects.toMatchObject({ reason: 'revoked' });
  });

  it('takes nothing signed by a key that was withdrawn, be it a token or the feed itself', async () => {
    const clock = { now: () => Math.floor(Date.now() / 1_000) + issuer.ahead };
    const { send } = serverOf({ clock });
    expect((await send(LIST, await exact('ses_1'))).status).toBe(200);
    feed.revoke('txn:before', feedTarget.key(issuer.signingKey.kid));
    await until(is(401), async () => send(LIST, await exact('ses_1')));
    // Its own heartbeats are by that key, so before long it knows nothing.
    const without = createVerifier({ issuer: issuer.url, resource: RESOURCE });
    await expect(without.verifyAccessToken(await bare())).resolves.toBeDefined();
    await issuer.rotate('k2');
    // Keys are fetched at most once in thirty seconds.
    issuer.ahead = 31;
    await until(is(200), async () => send(LIST, await exact('ses_1')));
  }, 60_000);

  it.each(['published', 'configured'])(
    'takes nothing by a withdrawn key that it never saw used, whatever `seen` is forged with it, nor after the feed forgot it (%s)',
    async (where) => {
      const clock = { now: () => Math.floor(Date.now() / 1_000) + issuer.ahead };
      const stolen = issuer.signingKey;
      await issuer.add('k2');
      const jwks = issuer.jwks as NonNullable<VerifierOptions['jwks']>;
      const { send } = serverOf({ clock, ...(where === 'configured' ? { jwks } : {}) });
      const forged = (): string =>
        jws(
          KeyObject.from(stolen.privateKey),
          { alg: 'ES256', kid: stolen.kid, typ: 'txnat+jwt' },
          issuer.claims(RESOURCE, writ('ses_forged', { seen: 1_000_000 })),
        );
      expect((await send(LIST, await exact('ses_1'))).status).toBe(200);
      feed.revoke(feedTarget.key(stolen.kid), 'txn:before', feedTarget.session('ses_1'));
      await until(is(401), async () => send(LIST, await exact('ses_1')));
      expect((await send(LIST, forged())).status).toBe(401);
      issuer.ahead = ENTRY_LIFE + 2;
      await until(is(200), async () => send(LIST, await exact('ses_1')));
      expect((await send(LIST, forged())).status).toBe(401);
    },
    60_000,
  );

  it('fetches the keys anew when it hears the feed again after a long silence', async () => {
    const clock = { now: () => Math.floor(Date.now() / 1_000) + issuer.ahead };
    const stolen = issuer.signingKey;
    await issuer.add('k2');
    const { send } = serverOf({ clock });
    const forged = (): string =>
      jws(
        KeyObject.from(stolen.privateKey),
        { alg: 'ES256', kid: stolen.kid, typ: 'txnat+jwt' },
        issuer.claims(RESOURCE, writ('ses_forged')),
      );
    expect((await send(LIST, forged())).status).toBe(200);
    feed.isOff = true;
    feed.cut();
    await until(is(503), async () => send(LIST, await exact('ses_1')));
    // Its withdrawal came and was forgotten meanwhile.
    issuer.withdraw(stolen.kid);
    issuer.ahead = 120;
    feed.isOff = false;
    await until(is(200), async () => send(LIST, await exact('ses_1')));
    expect((await send(LIST, forged())).status).toBe(401);
  }, 60_000);

  it('refuses all before it has read anything, and begins by itself', async () => {
    feed.isOff = true;
    const { send } = serverOf({ timeoutMs: 200 });
    const response = await send(LIST, await plain('ses_1'));
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('2');
    expect(await response.json()).toEqual(STALE);
    expect(refused).toEqual([{ reason: 'feed_stale', tool: undefined }]);
    feed.isOff = false;
    await until(is(200), async () => send(LIST, await plain('ses_1')));
  });

  it('refuses an exact call sooner than another when it hears nothing', async () => {
    const { send } = serverOf();
    const [strict, other] = [await exact('ses_1'), await plain('ses_1')];
    expect((await send(LIST, strict)).status).toBe(200);
    const from = Date.now();
    feed.isBlind = true;
    const exactly = await until(is(503), () => send(LIST, strict));
    const others = await until(is(503), () => send(LIST, other));
    expect(exactly.filter(({ status, at }) => status === 200 && at > from + BOUNDS.exact)).toEqual([]);
    expect(others.filter(({ status, at }) => status === 200 && at > from + BOUNDS.other)).toEqual([]);
    feed.isBlind = false;
    await until(is(200), () => send(LIST, strict));
  }, 30_000);

  it('ends its connection when it is closed, and refuses from then on', async () => {
    const { verifier, send } = serverOf();
    expect((await send(LIST, await exact('ses_1'))).status).toBe(200);
    while (feed.followers === 0) await pause(10);
    await verifier.close();
    while (feed.followers > 0) await pause(10);
    await until(is(503), async () => send(LIST, await exact('ses_1')));
    expect(feed.followers).toBe(0);
  });
});

const detail = (identifier: string): object => ({
  type: 'mcp_tool_call',
  locations: [RESOURCE],
  actions: ['tools/call'],
  identifier,
  max_uses: 1_000,
});

describe('a feed that is', () => {
  type Fault = Readonly<{ begin(): void | Promise<void>; end(): void }>;
  const spoiling = (spoil: () => Promise<TestFeed['spoil']> | TestFeed['spoil']): Fault => ({
    begin: async () => {
      feed.spoil = await spoil();
    },
    end: () => {
      feed.spoil = (batch) => [batch];
    },
  });
  const faults: readonly [string, Fault][] = [
    [
      'cut',
      {
        begin: () => {
          feed.isOff = true;
          feed.cut();
        },
        end: () => {
          feed.isOff = false;
        },
      },
    ],
    [
      'delayed',
      {
        begin: () => {
          feed.delayMs = 1_500;
        },
        end: () => {
          feed.delayMs = 0;
        },
      },
    ],
    [
      'replayed',
      spoiling(() => {
        const [old] = [feed.sign({ iss: issuer.url, at: Date.now(), from: 0, to: 0, entries: [] })];
        return () => [old];
      }),
    ],
    [
      'reordered, so that the newest never comes',
      spoiling(() => {
        const held: string[] = [];
        return (batch) => {
          held.push(feed.sign(batch));
          return held.length > 1 && held.length % 2 === 0 ? held.splice(0, 1) : [];
        };
      }),
    ],
    [
      'forged',
      spoiling(async () => {
        const key = await strangeKey(issuer);
        return (batch) => [feed.sign({ ...batch, entries: [], to: batch.from }, key)];
      }),
    ],
    ['from another issuer', spoiling(() => (batch) => [{ ...batch, iss: 'https://other.example' }])],
    [
      'missing numbers',
      spoiling(() => (batch) => [{ ...batch, from: batch.from + 1_000, to: batch.to + 1_000, entries: [] }]),
    ],
    ['no batch', spoiling(() => () => ['not.a.batch'])],
    [
      'a token instead',
      spoiling(async () => {
        const token = await plain('ses_1');
        return () => [token];
      }),
    ],
    ['of a clock that is wrong', spoiling(() => (batch) => [{ ...batch, at: batch.at + 120_000 }])],
    [
      'silent',
      {
        begin: () => {
          feed.isBlind = true;
        },
        end: () => {
          feed.isBlind = false;
        },
      },
    ],
  ];

  it.each(faults)(
    '%s has the verifier refuse in time, and recover by itself',
    async (_, fault) => {
      const { send } = serverOf();
      const [good, bad] = [await exact('ses_good'), await exact('ses_bad')];
      expect((await send(LIST, bad)).status).toBe(200);
      while (feed.followers === 0) await pause(10);
      await fault.begin();
      const from = Date.now();
      feed.revoke('txn:before', feedTarget.session('ses_bad'));
      const answers = await until(
        (status) => status !== 200,
        () => send(LIST, bad),
      );
      expect(answers.filter(({ status, at }) => status === 200 && at > from + BOUNDS.exact)).toEqual([]);
      // It goes on refusing for as long as that lasts.
      for (const end = Date.now() + 1_000; Date.now() < end;) {
        await pause(50);
        expect((await send(LIST, bad)).status).not.toBe(200);
      }
      fault.end();
      const after = await until(is(401), () => send(LIST, bad));
      expect(after.some(({ status }) => status === 200)).toBe(false);
      await until(is(200), () => send(LIST, good));
    },
    60_000,
  );
});

describe('a call that runs', () => {
  type Begun = Readonly<{ signal: AbortSignal; stopped: Promise<unknown>; over: Promise<Response> }>;

  /** A tool that works until it is told to stop. */
  async function start(options: Partial<VerifierOptions> = {}, token?: string): Promise<Begun> {
    const began: { call?: ApprovedCall } = {};
    const { send } = serverOf(options, (call) => {
      began.call = call;
      return new Promise((resolve) => {
        call.signal.addEventListener('abort', () => {
          resolve('stopped');
        });
      });
    });
    const over = send(CALL, token ?? (await plain('ses_1')));
    while (began.call === undefined) await pause(5);
    const { signal } = began.call;
    expect(signal.aborted).toBe(false);
    const stopped = over.then(() => signal.reason as unknown);
    return { signal, stopped, over };
  }

  it.each([
    ['its session', () => feedTarget.session('ses_1')],
    ['its tool', () => feedTarget.tool(RESOURCE, 'read_file')],
  ])('is told to stop when %s is revoked', async (_, target) => {
    const { stopped, over } = await start();
    feed.revoke('txn:before', target());
    await expect(stopped).resolves.toMatchObject({ code: 'invalid_token', reason: 'revoked' });
    await expect((await over).json()).resolves.toEqual({ result: 'stopped' });
  });

  it('is told to stop when the feed is too old to know', async () => {
    const { stopped } = await start();
    feed.isBlind = true;
    await expect(stopped).resolves.toMatchObject({ code: 'server_error', reason: 'feed_stale' });
  });

  it('is told to stop when its token expires, with the feed and without', async () => {
    for (const options of [{ longCalls: 'stop' as const }, { feed: false, introspection: undefined }]) {
      const clock = { now: () => Math.floor(Date.now() / 1_000) + issuer.ahead };
      const token = await plain('ses_1', { exp: Math.floor(Date.now() / 1_000) + 2 });
      const { stopped, signal } = await start({ ...options, clock }, token);
      issuer.ahead = 31;
      expect(signal.aborted).toBe(false);
      await expect(stopped).resolves.toMatchObject({ code: 'invalid_token', reason: 'expired' });
      issuer.ahead = 0;
    }
  });

  /** The token of a call that is to be longer than it: four seconds. */
  const short = async (more: object = {}): Promise<string> => {
    const now = Math.floor(Date.now() / 1_000);
    return plain('ses_1', { iat: now, exp: now + 4, ...more });
  };
  const past = async (token: string): Promise<void> => {
    const { exp = 0 } = decodeJwt(token);
    while (Date.now() < (exp + 1) * 1_000) await pause(50);
  };

  it.each([{}, { feed: false }])(
    'runs on past the end of its token when Writ says that it may (%p)',
    async (options) => {
      const token = await short();
      const { signal, stopped } = await start({ ...options, clockSkewSeconds: 0 }, token);
      await past(token);
      expect(signal.aborted).toBe(false);
      const { send } = serverOf({ clockSkewSeconds: 0 });
      expect((await send(LIST, token)).status).toBe(401);
      // It is asked for again and again, and one no ends it; so does the feed, where there is one.
      if ('feed' in options) issuer.revoked.add(decodeJwt(token).jti);
      else feed.revoke('txn:before', feedTarget.session('ses_1'));
      const reason = 'feed' in options ? 'inactive' : 'revoked';
      await expect(stopped).resolves.toMatchObject({ code: 'invalid_token', reason });
    },
    30_000,
  );

  it('ends with its token when Writ cannot be asked', async () => {
    issuer.beside.unshift((request, response) => {
      if (request.url !== '/introspect') return false;
      response.writeHead(503).end();
      return true;
    });
    const { stopped } = await start({ clockSkewSeconds: 0 }, await short());
    await expect(stopped).resolves.toMatchObject({ code: 'invalid_token', reason: 'expired' });
  }, 30_000);

  const untilStopped = (call: ApprovedCall): Promise<unknown> =>
    new Promise((resolve) => {
      call.signal.addEventListener('abort', () => {
        resolve('stopped');
      });
    });

  it('ends with its token where its end cannot be seen: its work is no native Promise', async () => {
    const calls: ApprovedCall[] = [];
    const { send } = serverOf({ clockSkewSeconds: 0 }, (call) => {
      calls.push(call);
      const work = untilStopped(call);
      return { then: work.then.bind(work) };
    });
    expect((await send(CALL, await short())).status).toBe(200);
    expect(calls.map(({ signal }) => signal.reason as unknown)).toMatchObject([{ reason: 'expired' }]);
    expect(issuer.counts.introspect).toBe(0);
  }, 30_000);

  it('ends with its token where its end cannot be seen: it was taken and not given to `run`', async () => {
    const { verifier } = serverOf({ clockSkewSeconds: 0 });
    const guard = verifier.guard();
    const handle = guard.fetch(async (_request, { authInfo }) => {
      const call = guard.call('read_file', { authInfo });
      await untilStopped(call);
      return Response.json({ reason: (call.signal.reason as VerifierError).reason });
    });
    const authorization = `Bearer ${await short()}`;
    const headers = { 'content-type': 'application/json', authorization };
    const answer = await handle(new Request(RESOURCE, { method: 'POST', body: CALL, headers }));
    await expect(answer.json()).resolves.toEqual({ reason: 'expired' });
    expect(issuer.counts.introspect).toBe(0);
  }, 30_000);

  it('that runs on asks Writ itself when the feed is too old, where that is configured', async () => {
    const feedOptions = { maxAgeMs: { exact: 500, other: 500 }, onStale: 'introspect' as const };
    const token = await short();
    const { signal, stopped } = await start({ clockSkewSeconds: 0, feed: feedOptions }, token);
    await past(token);
    const asked = issuer.counts.introspect;
    feed.isBlind = true;
    while (issuer.counts.introspect < asked + 3) await pause(20);
    expect(signal.aborted).toBe(false);
    issuer.revoked.add(decodeJwt(token).jti);
    await expect(stopped).resolves.toMatchObject({ reason: 'inactive' });
  }, 30_000);

  it('is told nothing when it is over', async () => {
    const kept: AbortSignal[] = [];
    const { send } = serverOf({}, (call) => kept.push(call.signal));
    const token = await plain('ses_1');
    expect((await send(CALL, token)).status).toBe(200);
    feed.revoke('txn:before', feedTarget.session('ses_1'));
    await until(is(401), () => send(CALL, token));
    expect(kept.map(({ aborted }) => aborted)).toEqual(kept.map(() => false));
  });

  it('does not begin when it was revoked after it was admitted', async () => {
    const ran: string[] = [];
    const options = { issuer: issuer.url, resource: RESOURCE, introspection, outcomes: false };
    const verifier = createVerifier({ ...options, feed: true });
    verifiers.push(verifier);
    const guard = verifier.guard();
    const handle = guard.fetch(async (_request, { authInfo }) => {
      feed.revoke('txn:before', feedTarget.session('ses_1'));
      const handler = guard.tool('read_file', () => ran.push('ran'));
      // The second request learns what the first does not know yet.
      await until(is(401), async () => again(await plain('ses_1')));
      try {
        handler({}, { authInfo });
        return Response.json({});
      } catch (thrown) {
        return Response.json({ reason: thrown instanceof VerifierError ? thrown.reason : thrown });
      }
    });
    const ask = (body: string, token: string, by: typeof handle): Promise<Response> =>
      by(new Request(RESOURCE, { method: 'POST', body, headers: { authorization: `Bearer ${token}` } }));
    const other = guard.fetch(() => Promise.resolve(Response.json({})));
    const again = (token: string): Promise<Response> => ask(LIST, token, other);
    const response = await ask(CALL, await plain('ses_1'), handle);
    await expect(response.json()).resolves.toEqual({ reason: 'revoked' });
    expect(ran).toEqual([]);
  });

  it.each([
    ['throws', () => Promise.reject(new Error('gave up')), { outcome: 'unknown', error: 'Revoked' }],
    ['finished all the same', () => Promise.resolve('done'), { outcome: 'executed' }],
  ])('and was told to stop is reported as it was when it %s', async (_, end, wanted) => {
    const sent: object[] = [];
    const reporting: Partial<VerifierOptions> = {
      outcomes: true,
      fetch: (url, init) => {
        if (!url.endsWith('/audit/v1/outcomes')) return fetch(url, init);
        const { outcomes } = JSON.parse(typeof init.body === 'string' ? init.body : '') as { outcomes: object[] };
        sent.push(...outcomes);
        return Promise.resolve(Response.json({ outcomes: outcomes.map(() => ({ result: 'recorded' })) }));
      },
    };
    const begun: AbortSignal[] = [];
    const { send, verifier } = serverOf(reporting, async ({ signal }) => {
      begun.push(signal);
      await new Promise((resolve) => {
        signal.addEventListener('abort', resolve);
      });
      return end();
    });
    const over = send(CALL, await plain('ses_1')).catch((thrown: unknown) => thrown);
    while (begun.length === 0) await pause(5);
    feed.revoke('txn:before', feedTarget.session('ses_1'));
    await over;
    await verifier.flush();
    expect(sent).toMatchObject([wanted]);
  });
});

describe('with introspection for a feed that is too old', () => {
  const asking: Partial<VerifierOptions> = {
    feed: { maxAgeMs: { exact: 500, other: 500 }, onStale: 'introspect' },
  };

  it('asks Writ, and refuses what it calls inactive', async () => {
    const { send } = serverOf(asking);
    const claims = issuer.claims(RESOURCE, { authorization_details: [detail('read_file')], ...writ('ses_1') });
    const token = await issuer.sign(claims);
    expect((await send(LIST, token)).status).toBe(200);
    expect(issuer.counts.introspect).toBe(0);
    feed.isBlind = true;
    while (issuer.counts.introspect === 0) expect((await send(LIST, token)).status).toBe(200);
    issuer.revoked.add(claims['jti']);
    expect((await send(LIST, token)).status).toBe(401);
    expect(refused).toEqual([{ reason: 'inactive', tool: undefined }]);
    feed.isBlind = false;
    feed.revoke('txn:before', feedTarget.session('ses_1'));
    await until(is(401), async () => send(LIST, await plain('ses_1')));
  });

  it('refuses when Writ cannot be asked either', async () => {
    const { send } = serverOf({ ...asking, timeoutMs: 300 });
    expect((await send(LIST, await plain('ses_1'))).status).toBe(200);
    issuer.beside.unshift((_request, response) => {
      response.writeHead(503).end();
      return true;
    });
    feed.cut();
    const answers = await until(is(503), async () => send(LIST, await plain('ses_1')));
    expect(answers.at(-1)?.body).toEqual(STALE);
    expect(refused.at(-1)).toEqual({ reason: 'introspection_unavailable', tool: undefined });
  });
});

describe('a verifier without the feed', () => {
  it('asks for none, and takes a token until it expires', async () => {
    feed.revoke('txn:before', feedTarget.session('ses_1'));
    const { send } = serverOf({ feed: false });
    expect((await send(LIST, await plain('ses_1'))).status).toBe(200);
    expect(feed.counts).toEqual({ snapshots: 0, streams: 0 });
  });
});

it.each([
  [{ introspection: undefined }, 'introspection is needed for the feed'],
  [{ clockSkewSeconds: 31 }, 'clockSkewSeconds must be 30 or less with the feed'],
  [{ feed: { maxAgeMs: { exact: 1 } } }, 'feed'],
])('refuses to start with %p', (change, message) => {
  const options = { issuer: issuer.url, resource: RESOURCE, introspection, feed: true, ...change } as VerifierOptions;
  expect(() => createVerifier(options)).toThrow(message);
});
