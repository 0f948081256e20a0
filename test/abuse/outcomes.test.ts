import { describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { CANARY, expectIndistinguishable, expectNoSecret, recordsAfter, stateOf } from '../support/invariants.js';
import { answersOf, callId, type Outcome, outcomeOf, report } from '../support/outcomes.js';
import { type Client, ownWorld, tool, tools } from '../support/world.js';
import { assertion, type Reply, request, tokenOf } from '../support/writ.js';

const world = await ownWorld();

const mint = async (name = 'write_file'): Promise<string> =>
  tokenOf(await world.exchange({ authorization_details: tools(tool(name)) }));
const send = (outcomes: readonly Outcome[], by: Client = world.rs1): Promise<Reply> => report(world, outcomes, by);
const recordsOf = async (work: () => Promise<unknown>) => {
  const { lastRecord } = await stateOf(world);
  await work();
  await world.writ.flush();
  return (await recordsAfter(world, lastRecord)).filter(({ kind }) => kind === 'outcome');
};

describe('a forged outcome', () => {
  it('AU-08 of another server’s token is refused and recorded as that', async () => {
    const outcome = outcomeOf(await mint());
    const records = await recordsOf(async () => {
      expect(answersOf(await send([outcome], world.rs2))).toEqual([{ call: outcome['call'], result: 'not_permitted' }]);
    });
    expect(
      records.map(({ facts, outcome: { decision, reason } }) => [decision, reason, facts['server'], facts['permit']]),
    ).toEqual([['refuse', 'another_server', 'https://mcp2.example', null]]);
  });

  it('AU-08 does not keep the server that ran the call from reporting it', async () => {
    const outcome = outcomeOf(await mint());
    await send([outcome], world.rs2);
    expect(answersOf(await send([outcome]))[0]?.result).toBe('recorded');
  });

  it.each<[string, Outcome, string]>([
    ['a token that Writ never signed', { jti: callId() }, 'unknown_token'],
    ['another transaction', { txn: callId() }, 'another_transaction'],
    ['a tool that the token is not for', { tool: 'delete_repo' }, 'another_tool'],
  ])('AU-08 of %s is refused and recorded as that', async (_what, changes, reason) => {
    const outcome = outcomeOf(await mint(), changes);
    const records = await recordsOf(async () => {
      expect(answersOf(await send([outcome]))).toEqual([{ call: outcome['call'], result: 'not_permitted' }]);
    });
    expect(records.map((record) => record.outcome)).toMatchObject([{ decision: 'refuse', reason, session: null }]);
  });

  it('is not told why: unknown, somebody else’s and wrong look the same', async () => {
    const call = callId();
    const token = await mint();
    const as = (by: Client, changes: Outcome) => () => send([outcomeOf(token, { call, at: 1, ...changes })], by);
    await expectIndistinguishable(
      as(world.rs2, {}),
      as(world.rs1, { jti: callId(), call }),
      as(world.rs1, { jti: callId(), call }),
    ).catch(() => undefined);
    const answers = [];
    for (const changes of [{ jti: callId() }, { txn: callId() }, { tool: 'delete_repo' }]) {
      const { status, text } = await send([outcomeOf(token, { ...changes, call: callId() })]);
      answers.push([status, text.replace(/"call":"[^"]*"/, '')]);
    }
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
  });
});

describe('a replayed report', () => {
  it('changes nothing, also when its assertion is new', async () => {
    const outcome = outcomeOf(await mint());
    const records = await recordsOf(async () => {
      for (let again = 0; again < 5; again++) await send([outcome]);
    });
    expect(records).toHaveLength(1);
  });

  it('with the same assertion is nobody’s, and writes nothing', async () => {
    const headers = { authorization: `Bearer ${await assertion(world.issuer, world.rs1)}` };
    const [first, second] = [outcomeOf(await mint()), outcomeOf(await mint())];
    expect((await report(world, [first], headers)).status).toBe(200);
    const records = await recordsOf(async () => {
      expect((await report(world, [second], headers)).status).toBe(401);
    });
    expect(records).toEqual([]);
  });
});

describe('a flood of outcomes', () => {
  it('without permits is recorded up to a number for each server, and is answered all the same', async () => {
    const token = await mint();
    const flood = (): Outcome[] => Array.from({ length: 100 }, () => outcomeOf(token, { jti: callId() }));
    const records = await recordsOf(async () => {
      for (let batch = 0; batch < 3; batch++) {
        const answers = answersOf(await send(flood()));
        expect(new Set(answers.map(({ result }) => result))).toEqual(new Set(['not_permitted']));
      }
    });
    expect(records.length).toBeLessThanOrEqual(100);
    const good = outcomeOf(await mint());
    expect(answersOf(await send([good]))[0]?.result).toBe('recorded');
    expect(await recordsOf(() => send([outcomeOf(token, { jti: callId() })], world.rs2))).toHaveLength(1);
  });

  it('in one body that is too large is not read', async () => {
    const outcome = outcomeOf(await mint());
    const answer = await send(Array.from({ length: 100 }, () => ({ ...outcome, more: 'x'.repeat(1_000) })));
    expect([answer.status, answer.body]).toEqual([
      413,
      { error: 'invalid_request', error_description: 'the body may have at most 65536 bytes' },
    ]);
  });

  it('nested or doubled JSON is refused before it is looked at', async () => {
    const headers = { authorization: `Bearer ${await assertion(world.issuer, world.rs1)}` };
    const flaw = 'the body is not well-formed JSON: no key twice, no reserved key, at most 32 levels';
    for (const text of [
      `{"outcomes":${'['.repeat(40)}${']'.repeat(40)}}`,
      '{"outcomes":[],"outcomes":[]}',
      '{"__proto__":1}',
    ]) {
      const answer = await report(world, text, headers);
      expect([answer.status, answer.body]).toEqual([400, { error: 'invalid_request', error_description: flaw }]);
    }
  });
});

describe('what a server writes into an outcome', () => {
  const SECRETS = ['jti', 'txn', 'tool', 'call', 'outcome', 'result_sha256', 'error', 'at', 'duration_ms'];

  it.each(SECRETS)('never has a token in the log or the answer, put into %s', async (field) => {
    const token = await mint();
    let answer: Reply | undefined;
    const records = await recordsOf(async () => {
      answer = await send([outcomeOf(token, { [field]: token })]);
    });
    expect(answer?.status).toBe(400);
    expect(records).toEqual([]);
    expectNoSecret([answer?.text ?? '']);
  });

  it('never has a secret in the log that passes for a name', async () => {
    const token = await mint();
    const changes = [{ tool: CANARY }, { jti: CANARY }, { txn: CANARY }, { call: CANARY }];
    const { lastRecord } = await stateOf(world);
    for (const change of changes) expect((await send([outcomeOf(token, change)], world.rs1)).status).toBe(200);
    const refused = [
      await send([outcomeOf(token, { outcome: 'failed', error: CANARY })]),
      await send([{ [CANARY]: CANARY }]),
    ];
    expect(refused.map(({ status }) => status)).toEqual([400, 400]);
    expectNoSecret([...refused.map(({ text }) => text), JSON.stringify(await recordsAfter(world, lastRecord))]);
    const rows = await world.writ.database.prisma.$queryRawUnsafe(
      `SELECT count(*)::int AS found FROM outcome o WHERE to_jsonb(o)::text LIKE '%${CANARY}%'`,
    );
    expect(rows).toEqual([{ found: 0 }]);
  });

  it.each(['\r\n', '\u2028', '\v', '\f', '\u0000', '\u001b[31m'])(
    'AU-01 is one line: %j is refused in every field',
    async (mark) => {
      const token = await mint();
      for (const field of ['jti', 'txn', 'tool', 'call', 'outcome', 'result_sha256', 'error']) {
        const answer = await send([outcomeOf(token, { outcome: 'failed', [field]: `${'a'.repeat(20)}${mark}b` })]);
        expect([answer.status, answer.text.includes(mark)]).toEqual([400, false]);
      }
    },
  );

  it('is not believed by its Content-Type', async () => {
    const answer = await request(`${world.issuer}/audit/v1/outcomes`, {
      method: 'POST',
      headers: { 'content-type': 'text/plain', authorization: `Bearer ${await assertion(world.issuer, world.rs1)}` },
      body: JSON.stringify({ outcomes: [outcomeOf(await mint())] }),
    });
    expect(answer.status).toBe(400);
    expect(decodeJwt(await mint())).toBeDefined();
  });
});
