import { beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { PrivateJwk } from '../../src/protocol/index.js';
import { createAgent } from '../../src/sdk/agent/index.js';
import { openBudgets } from '../../src/storage/index.js';
import { OWNER } from '../support/accountable.js';
import { outcomeOf, report } from '../support/outcomes.js';
import { reviewedTool } from '../support/tools.js';
import { ownWorld, RS1, RS2, tool, tools } from '../support/world.js';
import { type Reply, tokenOf } from '../support/writ.js';

const world = await ownWorld();
const { prisma } = world.writ.database;
const YEAR = 31_622_400;

type Call = Readonly<{ name: string; args?: object; uses?: number; resource?: string }>;
const read: Call = { name: 'read_file' };
const list: Call = { name: 'list_files' };
const write = (path = '/a'): Call => ({ name: 'write_file', args: { path } });
const drop = (repo: string): Call => ({ name: 'drop', args: { repo } });
const pay = (cents: number, currency = 'EUR'): Call => ({ name: 'pay', args: { amount: cents, currency } });
const note = (uses: number): Call => ({ name: 'note', uses });

const get = async (path: string): Promise<Record<string, unknown>> =>
  (await world.admin('GET', path)).body as Record<string, unknown>;
async function give(kind: 'agents' | 'servers', id: string, changes: object): Promise<void> {
  const object = await get(`/${kind}/${encodeURIComponent(id)}`);
  const applied = await world.admin('POST', '/apply', { [kind]: [{ ...object, ...changes }] });
  if (applied.status !== 200) throw new Error(applied.text);
}
const limited = (...budgets: object[]): Promise<void> =>
  give('agents', 'agt_a1', { budgets: budgets.map((one) => ({ per: 'session', ...one })) });
const ask = (subject_token: string, { name, args, uses, resource = RS1 }: Call): Promise<Reply> => {
  const more = {
    ...(args === undefined ? {} : { arguments: args }),
    ...(uses === undefined ? {} : { max_uses: uses }),
  };
  return world.exchange({ subject_token, resource, authorization_details: tools(tool(name, more, resource)) });
};
const sessionOf = (token: string): string => decodeJwt<{ writ: { session: string } }>(token).writ.session;
const budgetsOf = async (token: string): Promise<unknown> => (await get(`/sessions/${sessionOf(token)}`))['budgets'];

/** As if an hour had gone by since the last token. */
async function settle(): Promise<void> {
  await prisma.$executeRawUnsafe(`UPDATE budget_hold SET expires_at = expires_at - interval '1 hour'`);
  do await openBudgets(world.writ.database).settle(600);
  while ((await prisma.budgetHold.count()) > 0);
}

beforeAll(async () => {
  const server = (await get(`/servers/${encodeURIComponent(RS1)}`)) as { tools: object[] };
  const paying = {
    ...reviewedTool('pay', {
      ...{ scopes: ['repo:write'], tier: 'high', action: 'pay' },
      inputSchema: { type: 'object', properties: { amount: { type: 'integer' }, currency: { type: 'string' } } },
    }),
    money: { argument: 'amount', currency_argument: 'currency', minor_units: 2 },
  };
  const dropping = reviewedTool('drop', { scopes: ['repo:write'], tier: 'high', action: 'delete' });
  const noting = reviewedTool('note', { scopes: ['repo:write'], tier: 'low', action: 'write' });
  await give('servers', RS1, { tools: [...server.tools, paying, dropping, noting] });
  const scopes = ['repo:read', 'repo:write'];
  const allow = [RS1, RS2].map((resource) => ({ resource, scopes, tools: '*' }));
  await give('agents', 'agt_a1', { allow });
});

describe('a budget of a session', () => {
  type Row = [unit: string, budget: object, spent: Call, refused: Call, free: Call, state: object];
  it.each<Row>([
    [
      'calls',
      { limit: 3 },
      { ...read, uses: 2 },
      { ...read, uses: 2 },
      { ...list, uses: 1 },
      { limit: '3', used: '2' },
    ],
    ['identical_calls', { limit: 1, window_seconds: YEAR }, write(), write(), write('/b'), { limit: '1', used: '1' }],
    ['writes', { limit: 1 }, write(), write('/b'), read, { limit: '1', used: '1' }],
    ['deletes', { limit: 1 }, drop('a'), drop('b'), write(), { limit: '1', used: '1' }],
    ['money', { limit: '10.00', currency: 'EUR' }, pay(999), pay(2), pay(1), { limit: '10.00', used: '9.99' }],
    ['tools', { limit: 1 }, read, list, read, { limit: '1', used: '1' }],
    ['servers', { limit: 1 }, read, { ...read, resource: RS2 }, list, { limit: '1', used: '1' }],
  ])(
    'counts %s, refuses what goes beyond it, says which it was, and lets go on what has room',
    async (unit, more, spent, refused, free, state) => {
      await limited({ unit, ...more });
      const subject = await world.personToken(`person of ${unit}`);
      const session = sessionOf(tokenOf(await ask(subject, spent)));
      const answer = await ask(subject, refused);
      const { session_state: said, ...rest } = answer.body as { session_state: object; error: string };
      expect([answer.status, rest]).toEqual([
        400,
        { error: 'transaction_denied', error_description: expect.stringContaining('per session has not enough left') },
      ]);
      const currency = unit === 'money' ? { currency: 'EUR' } : {};
      expect(said).toEqual({
        ...{ status: 'budget_exhausted', session, reason: 'budget_exhausted' },
        ...('window_seconds' in more ? { resets_at: expect.any(Number) } : {}),
        budget: { unit, scope: 'session', ...state, ...currency },
      });
      expect((await ask(subject, free)).status).toBe(200);
    },
  );

  it('counts calls per minute, and begins anew with the next one', async () => {
    await limited({ unit: 'calls_per_minute', limit: 2 });
    const subject = await world.personToken('in a hurry');
    const before = Math.floor(Date.now() / 60_000) * 60;
    const answer = await ask(subject, { ...read, uses: 3 });
    const { session_state: state } = answer.body as { session_state: { resets_at: number } };
    expect(state).toEqual({
      ...{ status: 'budget_exhausted', reason: 'budget_exhausted', resets_at: expect.any(Number) },
      budget: { unit: 'calls_per_minute', scope: 'session', limit: '2', used: '0' },
    });
    expect([60, 120]).toContain(state.resets_at - before);
    expect(Number(answer.headers.get('retry-after'))).toBeLessThanOrEqual(60);
    expect((await ask(subject, { ...read, uses: 2 })).status).toBe(200);
  });

  it('refuses money that cannot be read, or in a currency without a budget', async () => {
    await limited({ unit: 'money', limit: '10.00', currency: 'EUR' });
    const subject = await world.personToken('abroad');
    const said = async (call: Call): Promise<unknown> =>
      ((await ask(subject, call)).body as { error_description: string }).error_description;
    expect(await said(pay(100, 'USD'))).toBe('the tool pay spends in a currency that has no budget here');
    expect(await said({ name: 'pay', args: { amount: -1, currency: 'EUR' } })).toContain('pay');
    expect((await ask(subject, pay(100))).status).toBe(200);
  });

  it('refuses or pauses by what the budget says: paused, the session gives nothing until it is resumed', async () => {
    const subject = await world.personToken('paused');
    await limited({ unit: 'writes', limit: 1, on_breach: 'refuse' });
    const first = tokenOf(await ask(subject, write()));
    const session = sessionOf(first);
    const stateNow = async (call: Call): Promise<unknown> =>
      ((await ask(subject, call)).body as { session_state?: object }).session_state;
    expect(await stateNow(write('/b'))).toMatchObject({ status: 'budget_exhausted', session });
    expect(await get(`/sessions/${session}`)).toMatchObject({ status: 'active' });
    expect((await ask(subject, read)).status).toBe(200);

    await limited({ unit: 'writes', limit: 1, on_breach: 'pause' });
    const budget = { unit: 'writes', scope: 'session', limit: '1', used: '1' };
    expect(await stateNow(write('/b'))).toEqual({ status: 'paused', session, reason: 'budget_exhausted', budget });
    expect(await get(`/sessions/${session}`)).toMatchObject({
      ...{ status: 'paused', paused_by: 'writ', paused_reason: 'budget: writes per session', resumes_at: null },
    });
    expect(await stateNow(read)).toEqual({ status: 'paused', session, reason: 'budget: writes per session' });
    await limited({ unit: 'writes', limit: 2, on_breach: 'pause' });
    await world.admin('POST', `/sessions/${session}/resume`);
    expect((await ask(subject, write('/b'))).status).toBe(200);
  });

  it('is shown with what is spent of it, what tokens hold, and who declared it', async () => {
    await limited(
      { unit: 'money', limit: '10.00', currency: 'EUR' },
      { unit: 'calls', limit: 9, window_seconds: YEAR },
    );
    const token = tokenOf(await ask(await world.personToken('shown'), pay(250)));
    const resetsAt = new Date((Math.floor(Date.now() / 1_000 / YEAR) * YEAR + YEAR) * 1_000).toISOString();
    const common = { declared_by: 'agent:agt_a1', scope: 'session' };
    expect(await budgetsOf(token)).toEqual([
      { ...common, unit: 'calls', limit: '9', used: '1', reserved: '1', currency: null, resets_at: resetsAt },
      { ...common, unit: 'money', limit: '10', used: '2.5', reserved: '2.5', currency: 'EUR', resets_at: null },
    ]);
    await report(world, [outcomeOf(token)], world.rs1);
    await settle();
    expect(await budgetsOf(token)).toMatchObject([
      { unit: 'calls', used: '1', reserved: '0' },
      { unit: 'money', used: '2.5', reserved: '0' },
    ]);
  });

  it('is one for a session and those below it, and is shown at each of them', async () => {
    await limited({ unit: 'calls', limit: 5 });
    const subject_token = await world.personToken('parent');
    const first = tokenOf(await ask(subject_token, { ...read, uses: 2 }));
    const wide = { resource: undefined, audience: 'agt_a2', authorization_details: undefined, scope: 'repo:read' };
    const handed = tokenOf(await world.exchange({ subject_token, ...wide }));
    const asked = { subject_token: handed, authorization_details: tools(tool('read_file', { max_uses: 2 })) };
    const below = tokenOf(await world.exchange(asked, world.a2));
    expect(sessionOf(below)).not.toBe(sessionOf(first));
    const state = [{ declared_by: 'agent:agt_a1', unit: 'calls', used: '4', reserved: '4' }];
    expect([await budgetsOf(first), await budgetsOf(below)]).toMatchObject([state, state]);
    expect((await world.exchange(asked, world.a2)).body).toMatchObject({
      session_state: { status: 'budget_exhausted', session: sessionOf(below), budget: { limit: '5', used: '4' } },
    });
  });
});

describe('a budget of a task, an agent, a person, a tool', () => {
  const with_ = (task: string): object => ({ request_details: JSON.stringify({ task }) });
  it('is had by each of them to itself', async () => {
    await limited({ unit: 'calls', limit: 2, per: 'task' });
    const subject_token = await world.personToken('tasks');
    const asked = async (task: string): Promise<number> => {
      const authorization_details = tools(tool('read_file', { max_uses: 2 }));
      return (await world.exchange({ subject_token, authorization_details, ...with_(task) })).status;
    };
    expect([await asked('T-1'), await asked('T-1'), await asked('T-2')]).toEqual([200, 400, 200]);

    await limited({ unit: 'calls', limit: 2, per: 'person' });
    const [one, other] = [await world.personToken('one'), await world.personToken('other')];
    const two = { ...read, uses: 2 };
    expect([(await ask(one, two)).status, (await ask(await world.personToken('one'), two)).status]).toEqual([200, 400]);
    expect((await ask(other, two)).status).toBe(200);

    await limited({ unit: 'calls', limit: 2, per: 'tool' });
    expect([(await ask(one, two)).status, (await ask(other, two)).status]).toEqual([200, 400]);
    expect((await ask(other, { ...list, uses: 2 })).status).toBe(200);
  });

  it('is drawn on by every use that a token reserves; the agent is told what is used up, and when it begins anew', async () => {
    await limited({ unit: 'calls', per: 'agent', limit: 3, window_seconds: YEAR, on_breach: 'refuse' });
    const subject = await world.personToken('of the agent');
    expect((await ask(subject, { ...read, uses: 2 })).status).toBe(200);
    const refused = await ask(await world.personToken('somebody new'), { ...read, uses: 2 });
    const resetsAt = Math.floor(Date.now() / 1_000 / YEAR) * YEAR + YEAR;
    const budget = { unit: 'calls', scope: 'agent', limit: '3', used: '2' };
    expect([refused.status, refused.body]).toEqual([
      400,
      {
        error: 'transaction_denied',
        error_description: 'the budget of 3 calls per agent has not enough left: 2 are spent or reserved',
        session_state: { status: 'budget_exhausted', reason: 'budget_exhausted', resets_at: resetsAt, budget },
      },
    ]);
    expect((await ask(subject, { ...read, uses: 1 })).status).toBe(200);
  });

  it('is declared by a tool for all agents too', async () => {
    await limited();
    const server = (await get(`/servers/${encodeURIComponent(RS2)}`)) as { tools: { name: string }[] };
    const budgets = [{ unit: 'calls', per: 'session', limit: 1 }];
    const changed = server.tools.map((one) => (one.name === 'list_files' ? { ...one, budgets } : one));
    await give('servers', RS2, { tools: changed });
    const subject = await world.personToken('at the tool');
    const call = { ...list, uses: 1, resource: RS2 };
    const token = tokenOf(await ask(subject, call));
    expect(await budgetsOf(token)).toMatchObject([{ declared_by: `tool:${RS2}#list_files`, limit: '1', used: '1' }]);
    expect((await ask(subject, call)).body).toMatchObject({ session_state: { status: 'budget_exhausted' } });
    expect((await ask(subject, { ...read, resource: RS2 })).status).toBe(200);
  });
});

describe('what a failed call did not spend', () => {
  const failed = (token: string): ReturnType<typeof outcomeOf> =>
    outcomeOf(token, { outcome: 'failed', error: 'TimeoutError', result_sha256: undefined });
  const says = (...outcomes: object[]): Promise<Reply> => report(world, outcomes, world.rs1);
  const money = { unit: 'money', limit: '10.00', currency: 'EUR' };

  it('returns at once, once, though it is reported twice; the call itself is spent', async () => {
    await limited(money, { unit: 'calls', limit: 9 });
    const subject = await world.personToken('refunded');
    const token = tokenOf(await ask(subject, pay(999)));
    expect((await ask(subject, pay(2))).status).toBe(400);
    const outcome = failed(token);
    expect((await says(outcome)).status).toBe(200);
    const after = [
      { unit: 'calls', used: '1', reserved: '1' },
      { unit: 'money', used: '0', reserved: '0' },
    ];
    expect(await budgetsOf(token)).toMatchObject(after);
    await says(outcome, outcome);
    await says(failed(token));
    expect(await budgetsOf(token)).toMatchObject(after);
    expect((await ask(subject, pay(1_000))).status).toBe(200);
    await settle();
    expect((await ask(subject, pay(1))).status).toBe(200);
  });

  it('is never more than was reserved, however many calls are said to have failed', async () => {
    await limited({ unit: 'writes', limit: 5 });
    const subject = await world.personToken('many failures');
    tokenOf(await ask(subject, note(2)));
    const token = tokenOf(await ask(subject, note(3)));
    await says(...Array.from({ length: 5 }, () => failed(token)));
    expect(await budgetsOf(token)).toMatchObject([{ unit: 'writes', used: '2', reserved: '2' }]);
    await settle();
    // Of the other token nobody reported a use.
    expect(await budgetsOf(token)).toMatchObject([{ unit: 'writes', used: '0', reserved: '0' }]);
  });

  it('is not for what was executed, and not on the word of another server', async () => {
    await limited({ unit: 'writes', limit: 5 });
    const token = tokenOf(await ask(await world.personToken('executed'), note(2)));
    await says(outcomeOf(token));
    await report(world, [failed(token)], world.rs2);
    expect(await budgetsOf(token)).toMatchObject([{ unit: 'writes', used: '2', reserved: '2' }]);
  });

  it.each([
    ['the id of the agent’s owner', OWNER],
    ['issuer and subject, who may be anybody', 'https://people.example#somebody'],
  ])('is not told by a server whose owner is %s', async (_, owner) => {
    await give('servers', RS1, { owner });
    await limited(money);
    const subject = await world.personToken(`owned by ${owner}`);
    const token = tokenOf(await ask(subject, pay(1_000)));
    await says(failed(token));
    await settle();
    expect(await budgetsOf(token)).toMatchObject([{ unit: 'money', used: '10' }]);
    expect((await ask(subject, pay(1))).status).toBe(400);
    await give('servers', RS1, { owner: 'platform team' });
  });
});

describe('an agent’s program', () => {
  it('is told which budget is used up, in which session or before there is one', async () => {
    await limited({ unit: 'calls', limit: 2, window_seconds: YEAR });
    const jwk = PrivateJwk.parse({
      ...world.a1.key.privateKey.export({ format: 'jwk' }),
      ...{ kid: world.a1.key.jwk.kid, alg: 'ES256' },
    });
    const agent = createAgent({ issuer: world.issuer, clientId: world.a1.id, key: jwk });
    const wish = async (uses: number, subjectToken: string): Promise<unknown> =>
      agent.exchange({ resource: RS1, subjectToken, tools: [{ name: 'read_file', uses }] });
    const subject = await world.personToken('program');
    const state = { status: 'budget_exhausted', reason: 'budget_exhausted', resets_at: expect.any(Number) };
    const budget = { unit: 'calls', scope: 'session', limit: '2' };
    await expect(wish(3, subject)).rejects.toMatchObject({
      ...{ name: 'AgentError', code: 'transaction_denied' },
      session: { ...state, budget: { ...budget, used: '0' } },
    });
    await expect(wish(3, subject)).rejects.not.toHaveProperty('session.session');
    const { accessToken } = (await wish(2, subject)) as { accessToken: string };
    await expect(wish(1, subject)).rejects.toMatchObject({
      code: 'transaction_denied',
      session: { ...state, session: sessionOf(accessToken), budget: { ...budget, used: '2' } },
    });
  });
});
