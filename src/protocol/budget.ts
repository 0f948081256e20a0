import { z } from 'zod';

/**
 * What a budget counts. `writes` are calls that do more than read, `deletes` those that delete; `money` is what a call names
 * in its exact arguments; `tools` and `servers` count different ones; `identical_calls` those with the same arguments.
 */
export const BudgetUnit = z.enum([
  'calls',
  'calls_per_minute',
  'identical_calls',
  'writes',
  'deletes',
  'money',
  'tools',
  'servers',
]);
export type BudgetUnit = z.infer<typeof BudgetUnit>;

/** Who has a budget of this size to itself. */
export const BudgetScope = z.enum(['session', 'task', 'agent', 'person', 'tool']);
export type BudgetScope = z.infer<typeof BudgetScope>;

/** An exact decimal: no sign, no exponent, up to 15 digits before the point and six behind it. */
export const Amount = z.string().regex(/^(0|[1-9]\d{0,14})(\.\d{1,6})?$/, {
  error: 'must be a decimal in quotes with at most six places, such as "250.00"',
});

/** ISO 4217. */
export const Currency = z.string().regex(/^[A-Z]{3}$/, { error: 'must be three capital letters, such as EUR' });

const MOST = 1_000_000_000;
const YEAR = 31_622_400;

/** A limit that holds across tokens, reserved when a token is made. */
export const Budget = z
  .strictObject({
    unit: BudgetUnit,
    per: BudgetScope.describe('Who has this budget to itself: each session, task, agent, person or tool.'),
    limit: z
      .union([z.number().int().min(0).max(MOST), Amount], {
        error: `must be a whole number up to ${MOST}, or for money a decimal in quotes such as "250.00"`,
      })
      .describe('How much; a decimal in quotes for money.'),
    currency: Currency.optional().describe('Of money, and of money only.'),
    window_seconds: z
      .number()
      .int()
      .min(1)
      .max(YEAR)
      .optional()
      .describe('It begins anew after so long, counted from 1970. Without it: never.'),
    on_breach: z
      .enum(['refuse', 'pause'])
      .default('refuse')
      .describe('Whether what goes beyond it is refused, or the session paused too.'),
  })
  .refine(({ unit, currency }) => (unit === 'money') === (currency !== undefined), {
    error: 'is needed for money, and for nothing else',
    path: ['currency'],
  })
  .refine(({ unit, limit }) => (unit === 'money') === (typeof limit === 'string'), {
    error: 'must be a decimal in quotes for money, and a whole number for everything else',
    path: ['limit'],
  })
  .refine(({ unit, window_seconds }) => unit !== 'identical_calls' || window_seconds !== undefined, {
    error: 'is needed for identical_calls',
    path: ['window_seconds'],
  })
  .refine(({ unit, window_seconds }) => unit !== 'calls_per_minute' || window_seconds === undefined, {
    error: 'is a minute for calls_per_minute; leave it out, or count calls',
    path: ['window_seconds'],
  })
  .refine(({ unit, limit }) => !(unit === 'tools' || unit === 'servers') || Number(limit) <= 512, {
    error: 'must be at most 512 for tools and servers',
    path: ['limit'],
  });
export type Budget = z.infer<typeof Budget>;

const sameBudget = ({ unit, per, currency, window_seconds }: Budget): string =>
  [unit, per, currency, window_seconds].join(' ');

/** The budgets of one object. */
export const Budgets = z
  .array(Budget)
  .max(32)
  .refine((budgets) => new Set(budgets.map(sameBudget)).size === budgets.length, {
    error: 'names one budget twice: same unit, per, currency and window_seconds',
  });

/** Whose account it is: of what the person allowed with a consent, that consent's. */
export const AccountScope = z.enum([...BudgetScope.options, 'consent']);
export type AccountScope = z.infer<typeof AccountScope>;

/** A budget that is used up, for the agent's program. Decimals are texts. */
export const BudgetState = z.object({
  unit: BudgetUnit,
  scope: AccountScope,
  limit: z.string().max(32),
  used: z.string().max(32),
  currency: Currency.exactOptional(),
});
export type BudgetState = z.infer<typeof BudgetState>;
