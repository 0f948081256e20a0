import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { digest, PrivateJwk } from '../../src/protocol/index.js';
import {
  type ApprovedCall,
  createVerifier,
  type LostOutcomes,
  type Verifier,
  type VerifierOptions,
} from '../../src/sdk/verifier/index.js';
import { recordsAfter, stateOf } from '../support/invariants.js';
import { TestIssuer } from '../support/issuer.js';
import { callText } from '../support/mcp.js';
import { RS1, startWorld, tool, tools } from '../support/world.js';
import { tokenOf } from '../support/writ.js';

const RESOURCE = 'https://mcp.example/files';
type Sent = Readonly<Record<string, unknown>> & Readonly<{ call: string }>;
type Work = (call: ApprovedCall) => unknown;

let issuer: TestIssuer;
let introspection: NonNullable<VerifierOptions['introspection']>;
beforeAll(async () => {
  issuer = await TestIssuer.start();
  introspection = { clientId: 'mcp', key: await issuer.register('mcp') };
});
afterAll(() => issuer.close());

/** What Writ was sent and how it answers; everything else goes to the issuer. */
let batches: Sent[][];
let answer: (outcomes: readonly Sent[]) => Response | Promise<Response>;
let lost: LostOutcomes[];
const recorded = (outcomes: readonly Sent[]): Response =>
  Response.json({ outcomes: outcomes.map(({ call }) => ({ call, result: 'recorded', leaf: 'A'.repeat(43) })) });
beforeEach(() => {
  batches = [];
  lost = [];
  answer = recorded;
});

function verifierOf(
  more: Partial<VerifierOptions> = {},
  told: Pick<VerifierOptions, 'onLost'> = { onLost: (what) => lost.push(what) },
): Verifier {
  return createVerifier({
    issuer: issuer.url,
    resource: RESOURCE,
    introspection,
    ...told,
    fetch: (url, init) => {
      if (!url.endsWith('/audit/v1/outcomes')) return fetch(url, init);
      const { outcomes } = JSON.parse(typeof init.body === 'string' ? init.body : '') as { outcomes: Sent[] };
      batches.push(outcomes);
      return Promise.resolve(answer(outcomes));
    },
    ...more,
  });
}

/** One call of a tool through the guard; answers what the handler answered, or throws what it threw. */
async function run(verifier: Verifier, work: Work, more: Readonly<{ signal?: AbortSignal; tool?: string }> = {}) {
  const guard = verifier.guard();
  let result: unknown;
  const handle = guard.fetch(async (_request, { authInfo }) => {
    const handler = guard.tool('read_file', (_args: object, call) => work(call));
    result = await Promise.resolve()
      .then(() => handler({}, { authInfo, signal: more.signal }))
      .then(
        (value) => ({ value }),
        (thrown: unknown) => ({ thrown }),
      );
    return new Response('done');
  });
  const token = await issuer.token(RESOURCE, more.tool ?? 'read_file');
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const response = await handle(new Request(RESOURCE, { method: 'POST', body: callText('read_file', '{}'), headers }));
  return { token, status: response.status, result };
}

const sent = (): Sent[] => batches.flat();
const outcome = (how: object): object => ({
  jti: expect.any(String),
  txn: 'txn_1',
  tool: 'read_file',
  call: expect.stringMatching(/^[\w-]{22}$/),
  duration_ms: expect.any(Number),
  at: expect.any(Number),
  ...how,
});
const RESULT = { content: [{ type: 'text', text: 'a secret answer' }] };
const digestOf = (value: typeof RESULT | object): string => {
  const hashed = digest(value as never);
  return hashed.ok ? hashed.value : '';
};

describe('a guard reports what became of a call', () => {
  it('that was executed, with the digest of its result and nothing of the result itself', async () => {
    const verifier = verifierOf();
    const { result } = await run(verifier, () => Promise.resolve(RESULT));
    expect(result).toEqual({ value: RESULT });
    expect(await verifier.flush()).toBe(0);
    expect(sent()).toEqual([outcome({ outcome: 'executed', result_sha256: digestOf(RESULT) })]);
  });

  it('that failed, with the class of the error alone, and the caller gets the error as it was', async () => {
    const verifier = verifierOf();
    const error = new RangeError('password is hunter2');
    const odd = Object.assign(new Error('x'), { name: 'sk_live_51H8x 7' });
    expect((await run(verifier, () => Promise.reject(error))).result).toEqual({ thrown: error });
    await run(verifier, () => {
      throw odd;
    });
    await run(verifier, () => Promise.reject(Object.assign(new Error('text'), { name: 42 })));
    await verifier.flush();
    expect(sent()).toEqual(['RangeError', 'Error', 'Error'].map((name) => outcome({ outcome: 'failed', error: name })));
  });

  it('that says of itself that it failed', async () => {
    const verifier = verifierOf();
    const failed = { ...RESULT, isError: true };
    await run(verifier, () => failed);
    await verifier.flush();
    expect(sent()).toEqual([outcome({ outcome: 'failed', error: 'ToolError', result_sha256: digestOf(failed) })]);
  });

  it('that nobody waited for any more, as unknown', async () => {
    const verifier = verifierOf();
    const gone = new AbortController();
    await run(
      verifier,
      () => {
        gone.abort();
        return Promise.reject(new Error('stopped'));
      },
      { signal: gone.signal },
    );
    await verifier.flush();
    expect(sent()).toEqual([outcome({ outcome: 'unknown', error: 'AbortError' })]);
  });

  it('whose result is no JSON, without a digest', async () => {
    const verifier = verifierOf();
    const loop: Record<string, unknown> = {};
    loop['self'] = loop;
    for (const result of [undefined, 1n, loop]) await run(verifier, () => result);
    await verifier.flush();
    expect(sent()).toEqual([1, 2, 3].map(() => outcome({ outcome: 'executed' })));
  });

  it('that answers with another kind of promise, whose work it does not begin a second time', async () => {
    const verifier = verifierOf();
    let begun = 0;
    const lazy = {
      then: (settle: (value: unknown) => void) => {
        begun += 1;
        settle(RESULT);
      },
    };
    expect((await run(verifier, () => lazy)).result).toEqual({ value: RESULT });
    await verifier.flush();
    expect(begun).toBe(1);
    expect(sent()).toEqual([outcome({ outcome: 'unknown', error: 'NotObserved' })]);
  });

  it('that was taken by hand', async () => {
    const verifier = verifierOf();
    const guard = verifier.guard();
    const handle = guard.fetch(async (_request, { authInfo }) => {
      const call = guard.call('read_file', { authInfo });
      return new Response(await guard.run(call, () => Promise.resolve('done')));
    });
    const headers = {
      authorization: `Bearer ${await issuer.token(RESOURCE, 'read_file')}`,
      'content-type': 'application/json',
    };
    await handle(new Request(RESOURCE, { method: 'POST', body: callText('read_file', '{}'), headers }));
    await verifier.flush();
    expect(sent()).toEqual([outcome({ outcome: 'executed', result_sha256: digestOf('done' as never) })]);
  });

  it('by itself, some time later, many in one request', async () => {
    const verifier = verifierOf();
    for (let call = 0; call < 5; call++) await run(verifier, () => RESULT);
    while (sent().length < 5) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(new Set(sent().map(({ call }) => call)).size).toBe(5);
    expect(batches.length).toBeLessThan(5);
  });

  it('and nothing of a call that it refused', async () => {
    const verifier = verifierOf();
    expect((await run(verifier, () => RESULT, { tool: 'write_file' })).status).toBe(403);
    await verifier.flush();
    expect(batches).toEqual([]);
  });

  it.each<[string, Partial<VerifierOptions>]>([
    ['has no credentials', { introspection: undefined }],
    ['is told not to', { outcomes: false }],
  ])('but not where the server %s', async (_what, more) => {
    const verifier = verifierOf(more);
    expect((await run(verifier, () => RESULT)).result).toEqual({ value: RESULT });
    expect(await verifier.flush()).toBe(0);
    await verifier.close();
    expect([batches, lost]).toEqual([[], []]);
  });
});

describe('a report that Writ does not take', () => {
  it('keeps no call waiting, however long Writ says nothing', async () => {
    const verifier = verifierOf();
    answer = () => new Promise(() => undefined);
    await run(verifier, () => RESULT);
    void verifier.flush();
    expect((await run(verifier, () => RESULT)).result).toEqual({ value: RESULT });
  });

  it.each([401, 404, 429, 500, 503])('for now (%i) is sent again as it was, and is not lost', async (status) => {
    const verifier = verifierOf();
    answer = () => new Response(null, { status });
    await run(verifier, () => RESULT);
    expect(await verifier.flush()).toBe(1);
    answer = () => Promise.reject(new Error('down'));
    expect(await verifier.flush()).toBe(1);
    answer = recorded;
    expect(await verifier.flush()).toBe(0);
    const [first, second, third, ...more] = batches;
    expect([second, third, more, lost]).toEqual([first, first, [], []]);
  });

  it('waits as long as Retry-After says before it is sent by itself', async () => {
    const verifier = verifierOf();
    answer = () => new Response(null, { status: 503, headers: { 'retry-after': '2' } });
    await run(verifier, () => RESULT);
    await verifier.flush();
    const began = performance.now();
    answer = recorded;
    while (batches.length < 2) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(performance.now() - began).toBeGreaterThan(1_800);
  });

  it('because one of many cannot be read is sent without that one, which is told to be lost', async () => {
    const verifier = verifierOf();
    const calls = 7;
    for (let call = 0; call < calls; call++) await run(verifier, () => (call === 4 ? undefined : RESULT));
    answer = (outcomes) =>
      outcomes.every((one) => 'result_sha256' in one)
        ? recorded(outcomes)
        : Response.json({ error: 'invalid_request', error_description: 'outcomes.4 …' }, { status: 400 });
    expect(await verifier.flush()).toBe(0);
    expect(lost).toEqual([{ count: 1, reason: 'refused' }]);
    const taken = batches.filter((batch) => batch.every((one) => 'result_sha256' in one)).flat();
    expect(taken).toHaveLength(calls - 1);
  });

  it('because no permit covers it is told to be lost', async () => {
    const verifier = verifierOf();
    answer = (outcomes) => Response.json({ outcomes: outcomes.map(({ call }) => ({ call, result: 'not_permitted' })) });
    await run(verifier, () => RESULT);
    expect(await verifier.flush()).toBe(0);
    expect(lost).toEqual([{ count: 1, reason: 'refused' }]);
  });

  it('makes room by dropping the oldest, each of which is counted', async () => {
    const verifier = verifierOf({ outcomesBuffer: 100 });
    answer = () => new Response(null, { status: 503 });
    const tokens: string[] = [];
    for (let call = 0; call < 103; call++) tokens.push((await run(verifier, () => RESULT)).token);
    while (sent().length === 0) await verifier.flush();
    await verifier.flush();
    const count = lost.reduce((sum, one) => sum + one.count, 0);
    expect([count, new Set(lost.map(({ reason }) => reason))]).toEqual([3, new Set(['overflow'])]);
    answer = recorded;
    batches = [];
    await verifier.flush();
    const jtis = sent().map(({ jti }) => jti);
    expect(jtis).toHaveLength(100);
    const claims = tokens.map(
      (one) => JSON.parse(Buffer.from(one.split('.')[1] ?? '', 'base64url').toString()) as { jti: string },
    );
    expect(jtis).toEqual(claims.slice(3).map(({ jti }) => jti));
  });

  it('is a warning of the process where nobody else wants to know', async () => {
    const told: unknown[] = [];
    const emitWarning = process.emitWarning.bind(process);
    process.emitWarning = (warning: unknown) => void told.push(warning);
    const verifier = verifierOf({}, {});
    answer = (outcomes) => Response.json({ outcomes: outcomes.map(() => ({ result: 'conflict' })) });
    for (let call = 0; call < 3; call++) await run(verifier, () => RESULT);
    await verifier.flush();
    process.emitWarning = emitWarning;
    expect([told, lost]).toEqual([['3 outcomes of tool calls are lost to Writ'], []]);
  });

  it('does not break a server whose own code breaks on the news', async () => {
    const verifier = verifierOf({
      onLost: () => {
        throw new Error('broken');
      },
    });
    answer = () => Response.json({ outcomes: [{ result: 'conflict' }] });
    await run(verifier, () => RESULT);
    expect(await verifier.flush()).toBe(0);
  });
});

describe('a verifier that is closed', () => {
  it('reports what still runs as unknown, once, and sends what waits', async () => {
    const verifier = verifierOf();
    let finish: (() => void) | undefined;
    const running = run(
      verifier,
      () =>
        new Promise((resolve) => {
          finish = () => {
            resolve(RESULT);
          };
        }),
    );
    while (finish === undefined) await new Promise((resolve) => setTimeout(resolve, 5));
    await run(verifier, () => RESULT);
    await verifier.close();
    finish();
    expect((await running).result).toEqual({ value: RESULT });
    expect(sent()).toEqual([
      outcome({ outcome: 'executed', result_sha256: digestOf(RESULT) }),
      outcome({ outcome: 'unknown', error: 'Shutdown' }),
    ]);
    await run(verifier, () => RESULT);
    expect(lost).toEqual([{ count: 1, reason: 'closed' }]);
  });

  it('tells how many outcomes it could not send', async () => {
    const verifier = verifierOf();
    answer = () => new Response(null, { status: 503 });
    for (let call = 0; call < 3; call++) await run(verifier, () => RESULT);
    await verifier.close();
    expect(lost).toEqual([{ count: 3, reason: 'closed' }]);
  });
});

describe('a guard and a real Writ', () => {
  it('put the outcome of a call into the log, in its transaction', async () => {
    const world = await startWorld();
    const jwk = world.rs1.key.privateKey.export({ format: 'jwk' });
    const key = PrivateJwk.parse({ ...jwk, kid: 'srv_one-key', alg: 'ES256' });
    const verifier = createVerifier({
      issuer: world.issuer,
      resource: RS1,
      introspection: { clientId: 'srv_one', key },
      onLost: (what) => lost.push(what),
      timeoutMs: 10_000,
    });
    const guard = verifier.guard();
    const { lastRecord } = await stateOf(world);
    const bearer = tokenOf(await world.exchange({ authorization_details: tools(tool('write_file')) }));
    const handle = guard.fetch((_request, { authInfo }) =>
      Promise.resolve(Response.json(guard.tool('write_file', () => RESULT)({}, { authInfo }))),
    );
    const headers = { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' };
    const response = await handle(new Request(RS1, { method: 'POST', body: callText('write_file', '{}'), headers }));
    expect(response.status).toBe(200);
    expect(await verifier.flush()).toBe(0);
    await verifier.close();
    const records = (await recordsAfter(world, lastRecord)).filter(({ kind }) => kind === 'outcome');
    expect(records.map(({ facts, outcome: { reason } }) => [facts['outcome'], facts['result_sha256'], reason])).toEqual(
      [['executed', digestOf(RESULT), 'reported']],
    );
    expect([lost, world.faults]).toEqual([[], []]);
    await world.close();
  });
});
