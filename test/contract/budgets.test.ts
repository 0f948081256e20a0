import { beforeEach, expect, it } from '@jest/globals';
import { recordHead } from '../../src/audit/index.js';
import type { Committer } from '../../src/exchange/index.js';
import { Permit } from '../../src/policy/permit.js';
import { Budget } from '../../src/protocol/index.js';
import { type Debit, debitsOf } from '../../src/session/index.js';
import { openBudgets, openCommitter, openOutcomes } from '../../src/storage/index.js';
import { prepare } from '../../src/token/index.js';
import { describeDatabases } from '../support/databases.js';
import { delegation, ISS, RS } from '../support/delegations.js';

type Permitted = Parameters<Committer['permit']>[0];
type Wish = Readonly<{
  uses?: number;
  tool?: string;
  amount?: string;
  run?: string;
  personId?: string;
  session?: Permitted['session'];
}>;

const now = (): number => Math.floor(Date.now() / 1000);
const LIVES = { transactionalAccessToken: 180, transactionToken: 180, handOver: 180 };
let counter = 0;
const fresh = (what: string): string => `${what}-${process.pid}-${(counter += 1)}`;

describeDatabases('budgets in the commit', (database) => {
  let registryVersion = 0;
  let person = '';
  let agent = '';
  let committer: Committer;

  beforeEach(async () => {
    const state = await database().prisma.registryState.upsert({ where: { id: 1 }, create: { id: 1 }, update: {} });
    registryVersion = Number(state.version);
    person = await somebody();
    agent = fresh('agt');
    committer = openCommitter(database());
  });

  async function somebody(): Promise<string> {
    const id = fresh('prs');
    await database().prisma.person.create({ data: { id, issuer: ISS, subject: id } });
    return id;
  }
  const budget = (one: object): Budget => Budget.parse({ unit: 'calls', per: 'agent', limit: 3, ...one });
  const euros = (limit: string): Budget => budget({ unit: 'money', limit, currency: 'EUR' });
  const debits = (
    budgets: readonly Budget[],
    { uses = 1, tool = 'pay', amount = '1', personId = person }: Wish,
  ): readonly Debit[] => {
    const money = { argument: 'amount', currency: 'EUR', minor_units: 0 };
    const call = {
      ...{ resource: RS, tool, action: 'pay' as const, money, budgets: [], uses },
      ...{ arguments: { amount }, argumentsSha256: `digest of ${amount}` },
    };
    const spender = {
      person: personId,
      agents: [{ id: agent, budgets }],
      task: undefined,
      general: [],
      personal: undefined,
    };
    const reserved = debitsOf([call], spender, now());
    if (!reserved.ok) throw new Error(reserved.error.reason);
    return reserved.value;
  };
  const wish = (budgets: readonly Budget[], one: Wish = {}): Permitted => {
    const personId = one.personId ?? person;
    const grant = {
      ...{
        decision: 'dec_1',
        policies: [],
        policy: 'rules/1',
        delegation: delegation({}),
        shape: 'txnat+jwt' as const,
      },
      ...{ audience: RS, scopes: ['files:read'], details: undefined, localUses: true, notAfter: now() + 600 },
    };
    const token = prepare(new Permit(grant), { issuer: ISS, personId, kid: 'key-1', now: now(), lifetimes: LIVES });
    return {
      ...{ decision: 'permit', requestId: fresh('req'), record: recordHead('exchange', now(), { fact: 'one' }) },
      ...{ spends: [], registryVersion, now: now(), isOver: () => false, token, personId, newcomer: undefined },
      ...{ lineage: [], parent: undefined, marks: [], issuedSince: now() },
      session: one.session ?? {
        open: {
          runKey: one.run ?? fresh('run'),
          newId: fresh('ses'),
          personId,
          agentId: agent,
          expiresAt: now() + 3_600,
        },
      },
      reservation: { debits: debits(budgets, one), server: RS, toldBy: 'report' },
    };
  };
  const commit = async (outcome: Permitted, by = committer): Promise<unknown> => {
    const kept = await by.permit(outcome);
    return kept.ok ? 'permitted' : kept.error;
  };
  const all = (outcomes: readonly Permitted[]): Promise<readonly unknown[]> =>
    Promise.all(outcomes.map((outcome) => commit(outcome)));
  const used = async (): Promise<readonly unknown[]> => {
    const rows = await database().prisma.budgetAccount.findMany({
      where: { key: { startsWith: `agent:${agent} ` } },
      orderBy: { key: 'asc' },
    });
    return rows.map((row) => [row.unit, row.used.toString()]);
  };
  const breach = (changes: object, more: object = {}): object => ({
    reason: 'budget_exhausted',
    session: undefined,
    budget: { unit: 'calls', scope: 'agent', limit: '3', used: '3', ...changes },
    onBreach: 'refuse',
    resetsAt: undefined,
    ...more,
  });

  it('debit every use of a token, and refuse what does not fit, which debits nothing and opens no session', async () => {
    const budgets = [budget({})];
    expect(await all([wish(budgets, { uses: 2 })])).toEqual(['permitted']);
    expect(await all([wish(budgets, { uses: 2 })])).toEqual([breach({ used: '2' })]);
    const run = fresh('run');
    expect(await all([wish(budgets), wish(budgets, { run })])).toEqual(['permitted', breach({})]);
    expect(await used()).toEqual([['calls', '3']]);
    expect(await database().prisma.agentSession.count({ where: { runKey: run } })).toBe(0);
  });

  it('let in what fits of a batch, though a neighbour before it does not', async () => {
    const budgets = [budget({})];
    const verdicts = await all([2, 5, 1, 1].map((uses) => wish(budgets, { uses })));
    expect(verdicts).toEqual(['permitted', breach({ used: '2' }), 'permitted', breach({})]);
    expect(await used()).toEqual([['calls', '3']]);
  });

  it('shape no session by an exchange that breaches one, and count in that session what is opened beside it', async () => {
    const budgets = [budget({ per: 'session' })];
    const [run, ids] = [fresh('run'), [fresh('ses'), fresh('ses')]];
    const opening = (purpose: string, newId = ''): Permitted['session'] => ({
      open: { runKey: run, newId, personId: person, agentId: agent, expiresAt: now() + 3_600, purpose },
    });
    const two = [
      wish(budgets, { uses: 4, session: opening('too much', ids[0]) }),
      wish(budgets, { uses: 3, session: opening('mine', ids[1]) }),
    ];
    const state = { used: '0', scope: 'session' };
    expect(await all(two)).toMatchObject([breach(state, { session: ids[0] }), 'permitted']);
    const row = await database().prisma.agentSession.findUniqueOrThrow({ where: { runKey: run } });
    expect([row.id, row.purpose, row.lastSequence]).toEqual([ids[0], 'mine', 2]);
    const more = wish(budgets, { session: opening('mine', fresh('ses')) });
    expect(await commit(more)).toEqual(breach({ scope: 'session' }, { session: ids[0] }));
  });

  it('debit all accounts of a token or none', async () => {
    const budgets = [budget({ limit: 9 }), budget({ unit: 'writes', limit: 1 })];
    expect(await all([wish(budgets), wish(budgets)])).toEqual([
      'permitted',
      breach({ unit: 'writes', limit: '1', used: '1' }),
    ]);
    expect(await used()).toEqual([
      ['calls', '1'],
      ['writes', '1'],
    ]);
  });

  it('count money exactly: ten times 0.1 is 1', async () => {
    const budgets = [euros('1')];
    const tenth = (): Permitted => wish(budgets, { amount: '0.1' });
    expect(await all(Array.from({ length: 10 }, tenth))).toEqual(Array.from({ length: 10 }, () => 'permitted'));
    expect(await used()).toEqual([['money', '1']]);
    const refused = breach({ unit: 'money', limit: '1', used: '1', currency: 'EUR' });
    expect(await all([wish(budgets, { amount: '0.000001' })])).toEqual([refused]);
  });

  it('count different tools once each', async () => {
    const budgets = [budget({ unit: 'tools', limit: 2 })];
    const tools = ['read', 'write', 'read', 'delete', 'write'];
    expect(await all(tools.map((tool) => wish(budgets, { tool })))).toEqual([
      ...['permitted', 'permitted', 'permitted'],
      breach({ unit: 'tools', limit: '2', used: '2' }),
      'permitted',
    ]);
  });

  it('count the same arguments, and others apart from them, until the window ends', async () => {
    const budgets = [budget({ unit: 'identical_calls', limit: 1, window_seconds: 3_600_000 })];
    const verdicts = await all(['1', '2', '1'].map((amount) => wish(budgets, { amount })));
    const resetsAt = Math.floor(now() / 3_600_000) * 3_600_000 + 3_600_000;
    const refused = breach({ unit: 'identical_calls', limit: '1', used: '1' }, { resetsAt });
    expect(verdicts).toEqual(['permitted', 'permitted', refused]);
  });

  it('belong to one session, and name it when they are used up', async () => {
    const budgets = [budget({ per: 'session', limit: 2 })];
    const run = fresh('run');
    const [one, other] = [wish(budgets, { run }), wish(budgets, { run })];
    expect(await all([one, other])).toEqual(['permitted', 'permitted']);
    const { id } = await database().prisma.agentSession.findUniqueOrThrow({ where: { runKey: run } });
    const refused = breach({ scope: 'session', limit: '2', used: '2' }, { session: id });
    expect(await all([wish(budgets, { run }), wish(budgets)])).toEqual([refused, 'permitted']);
    expect(await all([wish(budgets, { session: { continue: id } })])).toEqual([refused]);
  });

  it('pause the session of a breach where they say so, and then it gives nothing', async () => {
    const budgets = [budget({ on_breach: 'pause' })];
    const run = fresh('run');
    expect(await all([wish(budgets, { run, uses: 3 })])).toEqual(['permitted']);
    const { id } = await database().prisma.agentSession.findUniqueOrThrow({ where: { runKey: run } });
    expect(await all([wish(budgets, { run })])).toEqual([breach({}, { session: id, onBreach: 'pause' })]);
    const standing = { session: id, reason: 'budget: calls per agent', resumesAt: undefined };
    expect(await all([wish([], { run })])).toEqual([{ reason: 'session_paused', standing }]);
    expect(await database().prisma.revocation.count({ where: { target: `session:${id}` } })).toBe(1);
  });

  it('are one for a session and all below it', async () => {
    const budgets = [budget({ per: 'session', limit: 3 })];
    const run = fresh('run');
    expect(await all([wish(budgets, { run, uses: 2 })])).toEqual(['permitted']);
    const { id } = await database().prisma.agentSession.findUniqueOrThrow({ where: { runKey: run } });
    const child = fresh('run');
    const below = (): Permitted => {
      const open = { runKey: child, newId: fresh('ses'), personId: person, agentId: agent, expiresAt: now() + 3_600 };
      return wish(budgets, { session: { open: { ...open, above: id } } });
    };
    expect(await all([below()])).toEqual(['permitted']);
    const refused = { scope: 'session', limit: '3', used: '3' };
    const opened = await database().prisma.agentSession.findUniqueOrThrow({ where: { runKey: child } });
    expect(await all([below(), wish(budgets, { run })])).toEqual([
      breach(refused, { session: opened.id }),
      breach(refused, { session: id }),
    ]);
    expect(await used()).toEqual([['calls', '3']]);
  });

  it('debit nothing for what is refused for another reason', async () => {
    expect(await all([wish([budget({})], { session: { continue: fresh('ses') } })])).toEqual([
      { reason: 'session_ended' },
    ]);
    expect(await used()).toEqual([]);
  });

  it('hold each use for its tool until it is known what becomes of it', async () => {
    const outcome = wish([budget({})], { uses: 3 });
    await commit(outcome);
    const { tokenHash } = outcome.token;
    const [hold, ...others] = await database().prisma.budgetHold.findMany({ where: { tokenHash } });
    expect(others).toEqual([]);
    expect(hold).toMatchObject({
      tool: 'pay',
      account: `agent:${agent} calls agent ${agent}`,
      uses: 3,
      toldBy: 'report',
    });
  });

  /** A token whose life is over, and how its uses are known. */
  const over = async (
    budgets: readonly Budget[],
    toldBy: 'use' | 'report' | undefined,
    one: Wish = {},
  ): Promise<Permitted> => {
    const made = wish(budgets, one);
    const outcome = { ...made, reservation: { debits: debits(budgets, one), server: RS, toldBy } };
    expect(await commit(outcome)).toBe('permitted');
    const where = { tokenHash: outcome.token.tokenHash };
    await database().prisma.budgetHold.updateMany({ where, data: { expiresAt: new Date(Date.now() - 3_600_000) } });
    return outcome;
  };
  const report = async ({ token: { tokenHash } }: Permitted, ...outcomes: readonly string[]): Promise<void> => {
    await database().prisma.outcomeReporter.upsert({ where: { server: RS }, create: { server: RS }, update: {} });
    for (const outcome of outcomes)
      await database().prisma.outcome.create({
        data: {
          ...{ key: fresh('key'), content: '', server: RS, tokenHash, tool: 'pay', outcome },
          leafHash: Buffer.of(0),
        },
      });
  };

  it('get back what a token did not use, once, though two processes look at the same time', async () => {
    const budgets = [budget({ limit: 9 })];
    await report(await over(budgets, 'report', { uses: 9 }), 'executed', 'unknown');
    await Promise.all([1, 2, 3].map(() => openBudgets(database()).settle(600)));
    expect(await used()).toEqual([['calls', '2']]);
    await openBudgets(database()).settle(600);
    expect(await used()).toEqual([['calls', '2']]);
  });

  it('get back what Writ gave no use of', async () => {
    const outcome = await over([budget({})], 'use', { uses: 3 });
    const { useKey } = await database().prisma.budgetHold.findFirstOrThrow({
      where: { tokenHash: outcome.token.tokenHash },
    });
    await database().prisma.tokenUse.create({ data: { key: useKey, used: 1, expiresAt: new Date() } });
    await openBudgets(database()).settle(600);
    expect(await used()).toEqual([['calls', '1']]);
  });

  it('get back the money and the writes of a call that failed, but not the call, and never more than was reserved', async () => {
    const budgets = [euros('9'), budget({ unit: 'writes' }), budget({})];
    await report(await over(budgets, 'report', { amount: '2.50' }), 'failed', 'failed', 'executed');
    await openBudgets(database()).settle(600);
    expect(await used()).toEqual([
      ['calls', '1'],
      ['money', '0'],
      ['writes', '0'],
    ]);
  });

  it('get back at once what failed calls did not spend, once, though two reports of it race and the token ends meanwhile', async () => {
    const budgets = [budget({ unit: 'writes', limit: 90 }), budget({ limit: 90 })];
    for (let round = 0; round < 5; round += 1) {
      const before = await used();
      const outcome = wish(budgets, { uses: 3 });
      expect(await commit(outcome)).toBe('permitted');
      const calls = Array.from({ length: 4 }, () => fresh('call'));
      const keep = (names: readonly string[]): Promise<unknown> =>
        openOutcomes(database(), { now }, 600).keep({
          ...{ requestId: fresh('req'), registryVersion, spends: [] },
          outcomes: names.map((key) => ({
            ...{ key, content: key, server: RS, tokenHash: outcome.token.tokenHash, tool: 'pay', outcome: 'failed' },
            ...{ flaw: undefined, txn: undefined, session: undefined, head: recordHead('outcome', now(), { of: key }) },
          })),
        });
      await Promise.all([
        keep(calls),
        keep([...calls].reverse()),
        keep([fresh('call')]),
        openBudgets(database()).settle(0),
      ]);
      const where = { tokenHash: outcome.token.tokenHash };
      const holds = await database().prisma.budgetHold.findMany({ where, orderBy: { account: 'asc' } });
      expect(holds.map(({ returned }) => returned)).toEqual([0, 3]);
      await database().prisma.budgetHold.updateMany({ where, data: { expiresAt: new Date(Date.now() - 3_600_000) } });
      await Promise.all([
        openBudgets(database()).settle(600),
        keep([fresh('call')]),
        openBudgets(database()).settle(600),
      ]);
      const [[, calls_ = '0'] = []] = before as string[][];
      expect(await used()).toEqual([
        ['calls', String(Number(calls_) + 3)],
        ['writes', '0'],
      ]);
    }
  });

  it('get nothing back on the word of nobody, nor while a token lives or its server may still report', async () => {
    await over([budget({ limit: 9 })], undefined, { uses: 2 });
    await commit(wish([budget({ limit: 9 })], { uses: 2 }));
    const late = await over([budget({ limit: 9 })], 'report', { uses: 2 });
    const where = { tokenHash: late.token.tokenHash };
    await database().prisma.budgetHold.updateMany({ where, data: { expiresAt: new Date(Date.now() - 300_000) } });
    await openBudgets(database()).settle(600);
    expect(await used()).toEqual([['calls', '6']]);
  });

  it('are never overdrawn by committers that debit at once, nor is anything of them lost', async () => {
    const committers = [1, 2, 3].map(() => openCommitter(database()));
    const people = await Promise.all(Array.from({ length: 8 }, somebody));
    const budgets = [
      budget({ limit: 150 }),
      budget({ per: 'person', limit: 30 }),
      budget({ per: 'session', limit: 17 }),
    ];
    const runs = people.map((personId) => ({ personId, run: fresh('run') }));
    const races = Array.from({ length: 400 }, (_, n) =>
      commit(wish(budgets, { ...runs[n % runs.length], uses: 1 + (n % 3) }), committers[n % committers.length]),
    );
    const first = await Promise.all(races);
    const last = await all([...runs, ...runs].map((run) => wish(budgets, run)));
    const won =
      first.reduce<number>((sum, verdict, n) => sum + (verdict === 'permitted' ? 1 + (n % 3) : 0), 0) +
      last.filter((verdict) => verdict === 'permitted').length;
    const rows = await database().prisma.budgetAccount.findMany({ where: { key: { startsWith: `agent:${agent} ` } } });
    const sums = ['agent', 'person', 'session'].map((scope) => {
      const accounts = rows.filter((row) => row.scope === scope);
      expect(accounts.filter((row) => row.used.greaterThan(row.ceiling))).toEqual([]);
      return accounts.reduce((sum, row) => sum + row.used.toNumber(), 0);
    });
    expect(sums).toEqual([won, won, won]);
    const held = await database().prisma.budgetHold.findMany({
      where: { account: `agent:${agent} calls agent ${agent}` },
    });
    expect(held.reduce((sum, { uses }) => sum + uses, 0)).toBe(won);
    expect(rows.filter(({ scope }) => scope === 'session').map(({ used: spent }) => spent.toNumber())).toEqual(
      runs.map(() => 17),
    );
  });
});
