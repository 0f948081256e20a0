import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Budget, Budgets } from '../../src/protocol/index.js';
import { type BudgetedCall, debitsOf, type Spender } from '../../src/session/index.js';
import { amountOf, millionthsOf, readAmount } from '../../src/session/amount.js';

const RS = 'https://mcp.example/bank';
const NOW = 1_795_305_617;
const call = (changes: Partial<BudgetedCall> = {}): BudgetedCall => ({
  resource: RS,
  tool: 'pay',
  action: 'pay',
  money: { argument: 'amount', currency: 'EUR', minor_units: 0 },
  budgets: [],
  arguments: { amount: '12.50' },
  argumentsSha256: 'digest-of-the-arguments',
  uses: 1,
  ...changes,
});
const budget = (one: object): Budget => Budget.parse({ unit: 'calls', per: 'session', limit: 3, ...one });
const eur = (one: object = {}): Budget => budget({ unit: 'money', limit: '100.00', currency: 'EUR', ...one });
const spender = (budgets: readonly Budget[], changes: Partial<Spender> = {}): Spender => ({
  person: 'prs_1',
  agents: [{ id: 'agt_a', budgets }],
  task: undefined,
  general: [],
  personal: undefined,
  ...changes,
});
const debits = (calls: readonly BudgetedCall[], of: Spender) => {
  const reserved = debitsOf(calls, of, NOW);
  if (!reserved.ok) throw new Error(reserved.error.reason);
  return reserved.value;
};
const amounts = (calls: readonly BudgetedCall[], of: Spender): readonly unknown[] =>
  debits(calls, of).map(({ unit, amount, members }) => [unit, amount, ...members]);

describe('what a token reserves', () => {
  it('is nothing where there is no budget, whatever the call', () => {
    expect(debitsOf([call({ arguments: undefined })], spender([]), NOW)).toEqual({ ok: true, value: [] });
  });

  it.each<[string, Budget, Partial<BudgetedCall>, readonly unknown[]]>([
    ['every use of a call', budget({}), { uses: 10 }, [['calls', '10']]],
    ['a write for what does more than read', budget({ unit: 'writes' }), { action: 'send' }, [['writes', '1']]],
    ['no write for what reads', budget({ unit: 'writes' }), { action: 'read' }, []],
    ['a write for what nobody classed', budget({ unit: 'writes' }), { action: undefined }, [['writes', '1']]],
    ['a deletion for what deletes', budget({ unit: 'deletes' }), { action: 'delete' }, [['deletes', '1']]],
    ['no deletion for what writes', budget({ unit: 'deletes' }), { action: 'write' }, []],
    ['money of each use', eur(), { uses: 3 }, [['money', '37.5']]],
    ['no money for a tool that has none', eur(), { money: undefined }, []],
    ['a tool by its server and name', budget({ unit: 'tools' }), {}, [['tools', '0', `${RS}#pay`]]],
    ['a server', budget({ unit: 'servers' }), { uses: 9 }, [['servers', '0', RS]]],
    [
      'a call with the same arguments',
      budget({ unit: 'identical_calls', window_seconds: 60 }),
      { uses: 2 },
      [['identical_calls', '2']],
    ],
    [
      'nothing for arguments that nobody knows',
      budget({ unit: 'identical_calls', window_seconds: 60 }),
      { argumentsSha256: undefined },
      [],
    ],
    ['a call in this minute', budget({ unit: 'calls_per_minute' }), {}, [['calls_per_minute', '1']]],
  ])('counts %s', (_, one, changes, wanted) => {
    expect(amounts([call(changes)], spender([one]))).toEqual(wanted);
  });

  it('adds the tools of one token together on an account, and keeps them apart for what returns', () => {
    const [debit, ...others] = debits([call({ uses: 2 }), call({ tool: 'list', uses: 5 })], spender([budget({})]));
    expect(others).toEqual([]);
    expect(debit).toMatchObject({
      amount: '7',
      holds: [
        { tool: 'pay', perUse: '1', uses: 2 },
        { tool: 'list', perUse: '1', uses: 5 },
      ],
    });
  });

  it('draws on the budget of every agent of the chain, so that a child spends its parent’s', () => {
    const agents = [
      { id: 'agt_child', budgets: [budget({ limit: 9 })] },
      { id: 'agt_parent', budgets: [budget({ limit: 2 })] },
    ];
    expect(debits([call()], spender([], { agents })).map(({ key, limit }) => [key, limit])).toEqual([
      ['agent:agt_child calls session ', '9'],
      ['agent:agt_parent calls session ', '2'],
    ]);
  });

  it.each<[Budget['per'], string | undefined, string, boolean]>([
    ['session', undefined, 'agent:agt_a calls session ', true],
    ['task', 'T-1 "x"', 'agent:agt_a calls task "T-1 \\"x\\"" ', true],
    ['task', undefined, 'agent:agt_a calls task ', true],
    ['agent', undefined, 'agent:agt_a calls agent agt_a', false],
    ['person', undefined, 'agent:agt_a calls person prs_1', false],
    ['tool', undefined, `agent:agt_a calls tool ${RS}#pay`, false],
  ])('is on the account of one %s (task %s)', (per, task, key, ofSession) => {
    expect(debits([call()], spender([budget({ per })], { task }))).toMatchObject([{ key, ofSession, scope: per }]);
  });

  it('has an account for each agent of the chain where the tool, or the configuration, limits agents', () => {
    const per = budget({ per: 'agent' });
    const agents = ['agt_b', 'agt_a'].map((id) => ({ id, budgets: [] }));
    const keys = debits([call({ budgets: [per] })], spender([], { agents, general: [per] })).map(({ key }) => key);
    expect(keys).toEqual([
      `tool:${RS}#pay calls agent agt_b`,
      `tool:${RS}#pay calls agent agt_a`,
      'writ calls agent agt_b',
      'writ calls agent agt_a',
    ]);
  });

  it('begins a new account with each window', () => {
    const keyAt = (now: number) => {
      const reserved = debitsOf([call()], spender([budget({ window_seconds: 3_600 })]), now);
      return reserved.ok ? reserved.value.map(({ key, endsAt }) => [key, endsAt]) : [];
    };
    expect(keyAt(7_199)).toEqual([['agent:agt_a calls/3600@3600 session ', 7_200]]);
    expect(keyAt(7_200)).toEqual([['agent:agt_a calls/3600@7200 session ', 10_800]]);
  });

  it.each<[string, Partial<BudgetedCall>]>([
    ['no arguments', { arguments: undefined }],
    ['arguments that are not bound to the token', { argumentsSha256: undefined }],
    ['no such argument', { arguments: { sum: '1' } }],
    ['a negative amount, which would pay in', { arguments: { amount: '-1' } }],
    ['an exponent', { arguments: { amount: 1e21 } }],
    ['more places than six', { arguments: { amount: '0.0000001' } }],
    ['more digits than a double holds', { arguments: { amount: 1234567890.123456 } }],
    ['a list', { arguments: { amount: ['1'] } }],
    [
      'no currency where an argument names it',
      { money: { argument: 'amount', currency_argument: 'currency', minor_units: 0 } },
    ],
  ])('is refused where money is limited and a call has %s', (_, changes) => {
    const refused = { ok: false, error: { reason: 'amount_required', tool: 'pay' } };
    expect(debitsOf([call(changes)], spender([eur()]), NOW)).toEqual(refused);
  });

  it('is refused in a currency that no budget is in', () => {
    const money = { argument: 'amount', currency_argument: 'currency', minor_units: 0 };
    const dollars = call({ money, arguments: { amount: 1, currency: 'USD' } });
    const refused = { ok: false, error: { reason: 'currency_without_budget', tool: 'pay' } };
    expect(debitsOf([dollars], spender([eur()]), NOW)).toEqual(refused);
    expect(amounts([dollars], spender([eur(), eur({ currency: 'USD' })]))).toEqual([['money', '1']]);
  });

  it('is refused in a currency in which somebody who limits money has no budget', () => {
    const usd = budget({ unit: 'money', limit: '100.00', currency: 'USD' });
    const refused = { ok: false, error: { reason: 'currency_without_budget', tool: 'pay' } };
    const tool = call({ budgets: [usd] });
    expect(debitsOf([tool], spender([eur()]), NOW)).toEqual(refused);
    expect(debitsOf([call()], spender([eur()], { general: [usd] }), NOW)).toEqual(refused);
    const agents = [
      { id: 'agt_child', budgets: [eur()] },
      { id: 'agt_parent', budgets: [usd] },
    ];
    expect(debitsOf([call()], spender([], { agents }), NOW)).toEqual(refused);
    const both = [eur({ limit: '1' }), usd];
    expect(amounts([call({ budgets: both })], spender([eur()]))).toEqual([
      ['money', '12.5'],
      ['money', '12.5'],
    ]);
    const calls = debits([call({ budgets: [budget({})] })], spender([eur()]));
    expect(calls.map(({ unit, amount }) => [unit, amount])).toEqual([
      ['money', '12.5'],
      ['calls', '1'],
    ]);
  });

  it('is the sum of its holds, exactly, for any decimals', () => {
    const decimal = fc
      .tuple(fc.integer({ min: 0, max: 999_999_999 }), fc.integer({ min: 0, max: 999_999 }))
      .map(([whole, part]) => `${whole}.${String(part).padStart(6, '0')}`);
    fc.assert(
      fc.property(fc.array(fc.tuple(decimal, fc.integer({ min: 1, max: 100 })), { minLength: 1 }), (all) => {
        const calls = all.map(([amount, uses], n) => call({ tool: `t${n}`, arguments: { amount }, uses }));
        const sum = all.reduce((total, [amount, uses]) => total + millionthsOf(amount) * BigInt(uses), 0n);
        const [debit] = debits(calls, spender([eur()]));
        expect(millionthsOf(debit?.amount ?? '0')).toBe(sum);
      }),
    );
  });
});

describe('an amount', () => {
  it('is the same decimal after reading it', () => {
    fc.assert(fc.property(fc.bigInt({ min: 0n, max: 10n ** 21n - 1n }), (n) => millionthsOf(amountOf(n)) === n));
  });

  it('is read from a number as it stands there', () => {
    expect([0.1, 0.2, 12.5, 1e3].map((value) => readAmount(value, 0))).toEqual([
      100_000n,
      200_000n,
      12_500_000n,
      1_000_000_000n,
    ]);
  });

  it('is read in minor units where the catalogue says so, and never rounded', () => {
    expect([readAmount(1_999, 2), readAmount('0.000001', 2)]).toEqual([19_990_000n, undefined]);
  });
});

describe('a budget', () => {
  const flaws = (...budgets: readonly object[]): readonly unknown[] =>
    (
      Budgets.safeParse(budgets.map((one) => ({ unit: 'calls', per: 'session', limit: 1, ...one }))).error?.issues ?? []
    ).map(({ path, message }) => `${path.join('.')} ${message}`);

  it.each<[string, readonly object[]]>([
    ['0.currency is needed for money, and for nothing else', [{ currency: 'EUR' }]],
    ['0.currency is needed for money, and for nothing else', [{ unit: 'money', limit: '1' }]],
    [
      '0.limit must be a decimal in quotes for money, and a whole number for everything else',
      [{ unit: 'money', currency: 'EUR' }],
    ],
    [
      '0.limit must be a whole number up to 1000000000, or for money a decimal in quotes such as "250.00"',
      [{ limit: 1.5 }],
    ],
    ['0.window_seconds is needed for identical_calls', [{ unit: 'identical_calls' }]],
    [
      '0.window_seconds is a minute for calls_per_minute; leave it out, or count calls',
      [{ unit: 'calls_per_minute', window_seconds: 5 }],
    ],
    ['0.limit must be at most 512 for tools and servers', [{ unit: 'servers', limit: 513 }]],
    [' names one budget twice: same unit, per, currency and window_seconds', [{}, { limit: 2 }]],
  ])('says what is wrong: %s', (message, budgets) => {
    expect(flaws(...budgets)).toEqual([message]);
  });
});
