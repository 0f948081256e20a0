import { type Command, InvalidArgumentError, Option } from 'commander';
import { z } from 'zod';
import { connect } from './api.js';
import { describeField } from './apply.js';
import { budgetOf, withBudgets } from './budgets.js';
import { type Connected, connected } from './command.js';
import { effectLines } from './effect.js';
import type { Draft } from './fields.js';
import { Failure, type Io } from './io.js';

type Options = Connected &
  Readonly<{
    money?: string | false;
    currency?: string;
    currencyArgument?: string;
    minorUnits?: number;
    budget?: readonly Draft[];
    budgets?: boolean;
    action?: string;
    data?: string;
    tier?: string;
    dryRun?: boolean;
  }>;

/** `writ tools change`: what a tool may spend, how that is counted, and its classes. */
export function addToolChange(tools: Command, io: Io): void {
  connected(tools.command('change <server> <tool>'))
    .description('Changes one tool: what is named, and nothing else. Refused when somebody was faster.')
    .option('--money <argument>', 'the argument that says how much a call spends')
    .option('--no-money', 'no argument of it is money')
    .option('--currency <code>', 'of that money, such as EUR')
    .option('--currency-argument <argument>', 'the argument that names the currency')
    .option('--minor-units <number>', '2 where the argument counts cents', wholeNumber)
    .addOption(
      new Option(
        '--budget <fields>',
        'such as unit=money,per=session,limit=250.00,currency=EUR (may be repeated)',
      ).argParser(budgetOf),
    )
    .option('--no-budgets', 'take its budgets away (before those that are given)')
    .option('--action <class>', 'read, write, delete, execute, send or pay')
    .option('--data <class>', 'public, internal, confidential or restricted')
    .option('--tier <tier>', 'low, medium, high or critical')
    .option('--dry-run', 'only check it, and print what would be')
    .action((server: string, name: string, options: Options) => changeTool({ server, name }, options, io));
}

function wholeNumber(text: string): number {
  if (!/^\d{1,2}$/.test(text)) throw new InvalidArgumentError('It is a whole number.');
  return Number(text);
}

type At = Readonly<{ server: string; name: string }>;
const Tools = z.array(z.looseObject({ name: z.string() }));

async function changeTool({ server, name }: At, options: Options, io: Io): Promise<void> {
  const api = connect(options, io);
  const { object, etag } = await api.read(`/servers/${encodeURIComponent(server)}`);
  const all = Tools.parse(object['tools']);
  const before = all.find((tool) => tool.name === name);
  if (before === undefined) throw new Failure(1, `${server} has no tool ${name}`);
  const path = `/servers/${encodeURIComponent(server)}?dry_run=${String(options.dryRun === true)}`;
  const tools = all.map((tool) => (tool === before ? changed(tool, options) : tool));
  const answer = await explained({ server, name }, () =>
    api.send('PUT', path, { ...object, tools }, { 'If-Match': etag }),
  );
  const after = Tools.parse(z.looseObject({ tools: Tools }).parse(answer).tools).find((tool) => tool.name === name);
  if (options.json === true) {
    const { effect } = z.looseObject({ effect: z.unknown() }).parse(answer);
    io.out(JSON.stringify(effect === undefined ? after : { ...after, effect }, null, 2));
    return;
  }
  const fields = FIELDS.filter((field) => JSON.stringify(before[field]) !== JSON.stringify(after?.[field]));
  if (fields.length === 0) {
    io.out(`unchanged ${name} of ${server}`);
    return;
  }
  const lines = fields.map((field) =>
    describeField({ field, ...of(before, field, 'before'), ...of(after, field, 'after') }),
  );
  const done = options.dryRun === true ? 'would be changed:' : 'changed';
  io.out([`${done} ${name} of ${server}`, ...lines, ...effectLines(answer)].join('\n'));
}

const FIELDS = ['action', 'data', 'tier', 'money', 'budgets'] as const;

const of = (tool: Draft | undefined, field: string, as: 'before' | 'after'): Draft =>
  tool !== undefined && field in tool ? { [as]: tool[field] } : {};

function changed(tool: Draft, options: Options): Draft {
  const { action, data, tier } = options;
  const classes = Object.entries({ action, data, tier }).filter(([, value]) => value !== undefined);
  const draft = {
    ...tool,
    ...Object.fromEntries(classes),
    money: moneyOf(tool, options),
    budgets: budgetsOf(tool, options),
  };
  return Object.fromEntries(Object.entries(draft).filter(([, value]) => value !== undefined));
}

const Money = z.looseObject({}).optional().catch(undefined);

/** A currency of its own and an argument that names it exclude each other: the one that is given replaces the other. */
function moneyOf(tool: Draft, { money, currency, currencyArgument, minorUnits }: Options): unknown {
  if (money === false) return undefined;
  const given = Object.entries({
    argument: money,
    currency,
    currency_argument: currencyArgument,
    minor_units: minorUnits,
  }).filter(([, value]) => value !== undefined);
  if (given.length === 0) return tool['money'];
  const isReplaced = currency !== undefined || currencyArgument !== undefined;
  const kept = Object.entries(Money.parse(tool['money']) ?? {}).filter(
    ([field]) => !(isReplaced && field.startsWith('currency')),
  );
  return { ...Object.fromEntries(kept), ...Object.fromEntries(given) };
}

function budgetsOf(tool: Draft, { budget, budgets }: Options): unknown {
  if (budget === undefined) return budgets === false ? undefined : tool['budgets'];
  return withBudgets(budgets === false ? [] : tool['budgets'], budget);
}

async function explained<T>({ server, name }: At, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (failure) {
    if (!(failure instanceof Failure && failure.code === 'precondition_failed')) throw failure;
    const said = `the MCP server ${server} was changed after it was read, and ${name} stays as it is; look at it with writ tools show, then try again`;
    throw new Failure(1, said, { cause: failure, code: failure.code });
  }
}
