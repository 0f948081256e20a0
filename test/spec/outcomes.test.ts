import { createHash } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { basic } from '../support/authzen.js';
import { recordsAfter, stateOf } from '../support/invariants.js';
import { answersOf, type Outcome, OUTCOMES, outcomeOf, report } from '../support/outcomes.js';
import { ownWorld, tool, tools } from '../support/world.js';
import { answerOf, type Form, type Reply, tokenOf } from '../support/writ.js';

const world = await ownWorld();
const hash = (text: string): string => createHash('sha256').update(text).digest('base64url');

const mint = async (changes: Form = {}): Promise<string> => tokenOf(await world.exchange(changes));
const write = (): Promise<string> => mint({ authorization_details: tools(tool('write_file')) });
const domainToken = (): Promise<string> =>
  mint({ resource: undefined, audience: 'trust.example', authorization_details: undefined, scope: 'repo:read' });
const as = (by = world.rs1) => ({ send: (...outcomes: Outcome[]): Promise<Reply> => report(world, outcomes, by) });
const newRecords = async (work: () => Promise<unknown>) => {
  const { lastRecord } = await stateOf(world);
  await work();
  await world.writ.flush();
  return recordsAfter(world, lastRecord);
};

describe('POST /audit/v1/outcomes', () => {
  it('records what became of a call, in its session and transaction, and answers with the hash of the record', async () => {
    const token = await write();
    const { jti, txn, writ } = decodeJwt<{ jti: string; txn: string; writ: { session: string; leaf: string } }>(token);
    const outcome = outcomeOf(token);
    let answer: Reply | undefined;
    const [record, ...others] = await newRecords(async () => {
      answer = await as().send(outcome);
    });
    const wanted = { call: outcome['call'], result: 'recorded', leaf: expect.stringMatching(/^[\w-]{43}$/) };
    expect(answer && answerOf(answer)).toEqual([200, { outcomes: [wanted] }]);
    expect(answer?.headers.get('cache-control')).toBe('no-store');
    expect(others).toEqual([]);
    expect(record).toEqual({
      id: expect.any(String),
      at: expect.any(String),
      kind: 'outcome',
      txn,
      leaf_hash: answersOf(answer ?? { body: undefined, text: '' })[0]?.leaf,
      facts: {
        what: 'call',
        request: expect.stringMatching(/^req_/),
        trace: null,
        client: 'srv_one',
        server: 'https://mcp1.example',
        token: hash(jti),
        txn,
        permit: writ.leaf,
        tool: 'write_file',
        call_sha256: hash(String(outcome['call'])),
        outcome: 'executed',
        result_sha256: 'A'.repeat(43),
        duration_ms: 12,
        error: null,
        reported_at: outcome['at'],
      },
      outcome: { decision: 'done', reason: 'reported', session: writ.session, sequence: null, seen: 0 },
    });
  });

  it('records a failed call with the class of its error, and one of which nothing is known', async () => {
    const failed = outcomeOf(await write(), { outcome: 'failed', error: 'TimeoutError', result_sha256: undefined });
    const unknown = outcomeOf(await write(), { outcome: 'unknown', duration_ms: undefined });
    const records = await newRecords(() => as().send(failed, unknown));
    expect(
      records
        .map(({ facts }) => [facts['outcome'], facts['error'], facts['result_sha256'], facts['duration_ms']])
        .sort(),
    ).toEqual([
      ['failed', 'TimeoutError', null, 12],
      ['unknown', null, 'A'.repeat(43), null],
    ]);
  });

  it('gives the same report the same answer, however often it comes, and records it once', async () => {
    const outcome = outcomeOf(await write());
    const records = await newRecords(async () => {
      const first = await as().send(outcome);
      expect(answersOf(await as().send(outcome))).toEqual(answersOf(first));
      expect(answersOf(await as().send(outcome, outcome))).toEqual([...answersOf(first), ...answersOf(first)]);
    });
    expect(records).toHaveLength(1);
  });

  it('lets the first report of a call stand: another one is a conflict, alone or in one batch', async () => {
    const outcome = outcomeOf(await write());
    const other = { ...outcome, outcome: 'failed', result_sha256: undefined };
    const conflict = { call: outcome['call'], result: 'conflict' };
    const recorded = { call: outcome['call'], result: 'recorded', leaf: expect.any(String) };
    const records = await newRecords(async () => {
      expect(answersOf(await as().send(outcome, other))).toEqual([recorded, conflict]);
      expect(answersOf(await as().send(other))).toEqual([conflict]);
      expect(answersOf(await as().send(outcome))).toEqual([recorded]);
    });
    expect(records.map(({ facts }) => facts['outcome'])).toEqual(['executed']);
  });

  it('keeps the names that each server gives its calls apart', async () => {
    const outcome = outcomeOf(await domainToken(), { tool: 'read_file' });
    const answers = [await as().send(outcome), await as(world.rs2).send({ ...outcome, outcome: 'failed' })];
    expect(answers.map((answer) => answersOf(answer)[0]?.result)).toEqual(['recorded', 'recorded']);
  });

  it('answers a batch of 100 in the order it came, each for itself', async () => {
    const token = await mint({ authorization_details: tools(tool('read_file', { max_uses: 100 })) });
    const batch = Array.from({ length: 100 }, (_, at) =>
      outcomeOf(token, at % 10 === 3 ? { txn: 'x'.repeat(22) } : {}),
    );
    const answers = answersOf(await as().send(...batch));
    expect(answers.map(({ call }) => call)).toEqual(batch.map(({ call }) => call));
    expect(answers.map(({ result }) => result)).toEqual(
      batch.map((_, at) => (at % 10 === 3 ? 'not_permitted' : 'recorded')),
    );
  });

  it('takes what a server says of a transaction token of the trust domain', async () => {
    const [answer] = answersOf(await as(world.rs2).send(outcomeOf(await domainToken(), { tool: 'read_file' })));
    expect(answer?.result).toBe('recorded');
  });
});

describe('a request with outcomes is refused', () => {
  const good = async (changes: Outcome = {}): Promise<Outcome> => outcomeOf(await write(), changes);
  const invalid = (error_description: string): unknown[] => [400, { error: 'invalid_request', error_description }];
  const ID = 'must be 16 to 64 letters, digits, - and _';

  it.each<[string, Outcome, string]>([
    ['no jti', { jti: undefined }, 'jti is missing'],
    ['a token as jti', { jti: 'eyJhbGciOiJFUzI1NiJ9.e30.c2ln' }, `jti ${ID}`],
    ['a short txn', { txn: 'abc' }, `txn ${ID}`],
    ['no call', { call: undefined }, 'call is missing'],
    ['a line break in call', { call: 'a'.repeat(20) + '\n' }, `call ${ID}`],
    ['a tool that is no name', { tool: 'drop table' }, 'tool must be a tool name'],
    ['another outcome', { outcome: 'done' }, 'outcome must be executed, failed or unknown'],
    ['a result', { result_sha256: 'the result itself' }, 'result_sha256 must be a base64url SHA-256'],
    ['a part of a millisecond', { duration_ms: 1.5 }, 'duration_ms must be whole milliseconds, at most a day'],
    [
      'a sentence as error',
      { outcome: 'failed', error: 'could not open /etc/passwd' },
      'error must be the class of an error in letters, and none when executed',
    ],
    [
      'an error of what was executed',
      { error: 'Error' },
      'error must be the class of an error in letters, and none when executed',
    ],
    ['a time in text', { at: '2026-11-22' }, 'at must be a time in seconds since 1970'],
  ])('with %s, by the item and the field', async (_what, changes, hint) => {
    const { lastRecord } = await stateOf(world);
    const before = [await good(), await good()];
    const records = await recordsAfter(world, lastRecord);
    const answer = await as().send(...before, await good(changes));
    expect(answerOf(answer)).toEqual(invalid(`outcomes.2.${hint}`));
    expect((await recordsAfter(world, lastRecord)).filter(({ kind }) => kind === 'outcome')).toEqual([]);
    expect(records.length).toBeGreaterThan(0);
  });

  it.each<[string, unknown, string]>([
    ['no list', {}, 'outcomes is missing'],
    ['an empty list', [], 'outcomes must be a list of 1 to 100'],
    ['another member', { outcomes: [], more: 1 }, 'the body must have outcomes and nothing else'],
    ['text', { outcomes: 'x' }, 'outcomes must be a list of 1 to 100'],
    ['an item that is no object', [1], 'outcomes.0 must be a JSON object'],
    ['one more than 100', Array.from({ length: 101 }, () => ({})), 'outcomes must be a list of 1 to 100'],
  ])('with %s', async (_what, body, error_description) => {
    expect(answerOf(await report(world, body, world.rs1))).toEqual(invalid(error_description));
  });

  it('with a member that is not known, whose name is not repeated', async () => {
    const answer = await as().send({ ...(await good()), arguments: { password: 'x' } });
    expect(answerOf(answer)).toEqual(invalid('outcomes.0 has a member that is not known'));
  });

  it('from an agent, from nobody, and with an assertion for the second time', async () => {
    const outcome = await good();
    const agent = await report(world, [outcome], world.a1);
    expect(answerOf(agent)).toEqual([
      400,
      { error: 'unauthorized_client', error_description: 'only an MCP server reports outcomes' },
    ]);
    const unknown = { error: 'invalid_client', error_description: 'client authentication failed' };
    for (const headers of [{}, basic('srv_one', 'x'.repeat(20)), { authorization: 'Bearer x' }]) {
      const answer = await report(world, [outcome], headers);
      expect(answerOf(answer)).toEqual([401, unknown]);
      expect(answer.headers.get('www-authenticate')).toBe('Bearer realm="writ", Basic realm="writ"');
    }
  });

  it('as a form, and by GET', async () => {
    const form = await world.post(OUTCOMES, { outcomes: 'x' });
    expect(answerOf(form)).toEqual(invalid('Content-Type must be application/json'));
  });
});

describe('a report and its record', () => {
  it('are of the same statement: what cannot be recorded is not kept, and may come again', async () => {
    const { prisma } = world.writ.database;
    const outcome = outcomeOf(await write());
    await prisma.$executeRawUnsafe(`
      CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '53100'; END $$`);
    await prisma.$executeRawUnsafe('CREATE TRIGGER t BEFORE INSERT ON log_leaf FOR EACH ROW EXECUTE FUNCTION fail()');
    const failed = await as().send(outcome);
    await prisma.$executeRawUnsafe('DROP TRIGGER t ON log_leaf');
    expect([failed.status, failed.headers.get('retry-after')]).toEqual([503, '1']);
    expect(world.faults.splice(0)).toMatchObject([{ code: 'database_unavailable' }]);
    const key = hash(`https://mcp1.example\n${String(outcome['call'])}`);
    expect(await prisma.outcome.count({ where: { key } })).toBe(0);
    expect(answersOf(await as().send(outcome))[0]?.result).toBe('recorded');
  });

  it('that come when the session is long over belong to no session', async () => {
    const { prisma } = world.writ.database;
    const token = await mint({
      subject_token: await world.personToken('late'),
      authorization_details: tools(tool('write_file')),
    });
    const { session } = decodeJwt<{ writ: { session: string } }>(token).writ;
    const [inTime] = await newRecords(() => as().send(outcomeOf(token)));
    await prisma.$executeRawUnsafe(
      `UPDATE agent_session SET status = 'ended', ended_at = now() - interval '2 hours' WHERE id = $1`,
      session,
    );
    const [late] = await newRecords(() => as().send(outcomeOf(token)));
    expect([inTime?.outcome, late?.outcome]).toMatchObject([{ session }, { session: null, decision: 'done' }]);
  });
});
