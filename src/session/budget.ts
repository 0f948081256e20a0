import { err, ok, type Result, type Seconds } from '../base/index.js';
import type { ActionClass, Budget, JsonObject, PersonalBudget } from '../protocol/index.js';
import { amountOf, millionthsOf, readAmount } from './amount.js';
import type { Debit } from './types.js';

/** Which argument of a tool is money: from the tool catalogue. */
export type MoneyRule = Readonly<{
  argument: string;
  currency?: string | undefined;
  currency_argument?: string | undefined;
  minor_units: number;
}>;

/** One tool of a token that is about to be made, with everything that may count. */
export type BudgetedCall = Readonly<{
  resource: string;
  tool: string;
  action: ActionClass | undefined;
  money: MoneyRule | undefined;
  budgets: readonly Budget[];
  /** Of the exact call; a token for any arguments has none. */
  arguments: JsonObject | undefined;
  argumentsSha256: string | undefined;
  uses: number;
}>;

/** On whose account: a budget that an agent has is drawn on by every agent that acts under it. */
export type Spender = Readonly<{
  person: string;
  agents: readonly Readonly<{ id: string; budgets: readonly Budget[] }>[];
  task: string | undefined;
  /** Those of every agent. */
  general: readonly Budget[];
  /** Of the person, for everything that comes of one consent. */
  personal: PersonalBudget | undefined;
}>;

/** A money budget holds here, and what the call would spend cannot be read, or is in a currency in which one who limits money has no budget. */
export type BudgetFlaw = Readonly<{ reason: 'amount_required' | 'currency_without_budget'; tool: string }>;

type Declared = Readonly<{ by: string; agents: readonly string[]; budget: Budget }>;
type Line = Readonly<{ tool: string; perUse: bigint; uses: number }>;

/**
 * What the calls of one token reserve: every use of it, on each account that a budget has for it. Nothing where no budget
 * is. Amounts are exact decimals throughout.
 */
export function debitsOf(
  calls: readonly BudgetedCall[],
  spender: Spender,
  now: Seconds,
): Result<readonly Debit[], BudgetFlaw> {
  const accounts = new Map<string, { debit: Debit; lines: Line[]; members: Set<string> }>();
  const drawOn = (debit: Debit, line: Line, member?: string): void => {
    const account = accounts.get(debit.key) ?? { debit, lines: [], members: new Set<string>() };
    accounts.set(debit.key, account);
    account.lines.push(line);
    if (member !== undefined) account.members.add(member);
  };
  for (const call of calls) {
    const declared = budgetsFor(call, spender);
    const { personal } = spender;
    if (declared.length === 0 && personal === undefined) continue;
    const spent = moneyOf(call, declared);
    if (!spent.ok) return spent;
    if (personal !== undefined) drawOn(accountOf(personal), { tool: call.tool, perUse: ONE, uses: call.uses });
    for (const one of declared) {
      const perUse = perUseOf(one.budget, call, spent.value);
      const member = memberOf(one.budget, call);
      if (perUse === 0n && member === undefined) continue;
      for (const debit of accountsFor(one, call, spender, now)) {
        drawOn(debit, { tool: call.tool, perUse, uses: call.uses }, member);
      }
    }
  }
  return ok([...accounts.values()].map(({ debit, lines, members }) => withLines(debit, lines, members)));
}

/** Of the consent, not of a session: another session of it has nothing anew. It is forgotten when the consent is over. */
const accountOf = ({ consent, calls, until }: PersonalBudget): Debit => ({
  key: `consent:${consent} calls`,
  ...{
    ofSession: false,
    unit: 'calls',
    scope: 'consent',
    currency: undefined,
    limit: String(calls),
    onBreach: 'refuse',
  },
  ...{ endsAt: until, amount: '0', members: [], holds: [] },
});

function withLines(debit: Debit, lines: readonly Line[], members: ReadonlySet<string>): Debit {
  const total = lines.reduce((sum, { perUse, uses }) => sum + perUse * BigInt(uses), 0n);
  return {
    ...debit,
    amount: amountOf(total),
    members: [...members],
    holds: lines.map(({ tool, perUse, uses }) => ({ tool, perUse: amountOf(perUse), uses })),
  };
}

function budgetsFor(call: BudgetedCall, { agents, general }: Spender): readonly Declared[] {
  const all = agents.map(({ id }) => id);
  return [
    ...agents.flatMap(({ id, budgets }) => budgets.map((budget) => ({ by: `agent:${id}`, agents: [id], budget }))),
    ...call.budgets.map((budget) => ({ by: `tool:${call.resource}#${call.tool}`, agents: all, budget })),
    ...general.map((budget) => ({ by: 'writ', agents: all, budget })),
  ];
}

type Money = Readonly<{ currency: string; amount: bigint }>;

/** Fails closed: whoever limits money has to know what is spent, and to limit it in that currency. */
function moneyOf(call: BudgetedCall, declared: readonly Declared[]): Result<Money | undefined, BudgetFlaw> {
  const { money, tool } = call;
  const limits = declared.filter(({ budget }) => budget.unit === 'money');
  if (money === undefined || limits.length === 0) return ok(undefined);
  const given = call.argumentsSha256 === undefined ? undefined : call.arguments;
  const amount = readAmount(given?.[money.argument], money.minor_units);
  const currency = money.currency ?? given?.[money.currency_argument ?? ''];
  if (amount === undefined || typeof currency !== 'string') return err({ reason: 'amount_required', tool });
  const limiting = new Set(limits.filter(({ budget }) => budget.currency === currency).map(({ by }) => by));
  if (!limits.every(({ by }) => limiting.has(by))) return err({ reason: 'currency_without_budget', tool });
  return ok({ currency, amount });
}

const ONE = millionthsOf('1');

function perUseOf({ unit, currency }: Budget, { action, argumentsSha256 }: BudgetedCall, spent?: Money): bigint {
  switch (unit) {
    case 'calls':
    case 'calls_per_minute':
      return ONE;
    case 'identical_calls':
      return argumentsSha256 === undefined ? 0n : ONE;
    case 'writes':
      return action === 'read' ? 0n : ONE;
    case 'deletes':
      return action === 'delete' || action === undefined ? ONE : 0n;
    case 'money':
      return spent?.currency === currency ? (spent?.amount ?? 0n) : 0n;
    case 'tools':
    case 'servers':
      return 0n;
  }
}

function memberOf({ unit }: Budget, { resource, tool }: BudgetedCall): string | undefined {
  if (unit === 'tools') return `${resource}#${tool}`;
  return unit === 'servers' ? resource : undefined;
}

/** One account, or for a budget per agent that no agent has to itself one for each of the chain. */
function accountsFor(declared: Declared, call: BudgetedCall, spender: Spender, now: Seconds): readonly Debit[] {
  const { by, budget } = declared;
  const { unit, per, currency, on_breach: onBreach } = budget;
  const window = unit === 'calls_per_minute' ? 60 : budget.window_seconds;
  const start = window === undefined ? undefined : Math.floor(now / window) * window;
  const endsAt = window === undefined || start === undefined ? undefined : start + window;
  const period = window === undefined || start === undefined ? '' : `/${window}@${start}`;
  const same = unit === 'identical_calls' ? [`${call.resource}#${call.tool}:${call.argumentsSha256 ?? ''}`] : [];
  return holdersOf(declared, call, spender).map(({ holder, ofSession }) => ({
    key: [by, `${currency === undefined ? unit : `${unit}:${currency}`}${period}`, per, ...same, holder].join(' '),
    ...{ ofSession, unit, scope: per, currency, limit: String(budget.limit), onBreach, endsAt },
    ...{ amount: '0', members: [], holds: [] },
  }));
}

type Holder = Readonly<{ holder: string; ofSession: boolean }>;

/** A session's id is known to the commit alone, which puts it behind the key. Without a task all that a session does is one: a task is any text, so that accounts of its own would never end. */
function holdersOf({ agents, budget: { per } }: Declared, call: BudgetedCall, spender: Spender): readonly Holder[] {
  const fixed = (holder: string): Holder => ({ holder, ofSession: false });
  switch (per) {
    case 'session':
      return [{ holder: '', ofSession: true }];
    case 'task':
      if (spender.task === undefined) return [{ holder: '', ofSession: true }];
      return [{ holder: `${JSON.stringify(spender.task)} `, ofSession: true }];
    case 'agent':
      return agents.map(fixed);
    case 'person':
      return [fixed(spender.person)];
    case 'tool':
      return [fixed(`${call.resource}#${call.tool}`)];
  }
}
