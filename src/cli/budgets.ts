import { InvalidArgumentError } from 'commander';
import { z } from 'zod';

type Fields = Readonly<Record<string, unknown>>;

/** `unit=money,per=session,limit=250.00,currency=EUR`: what each field may be Writ says. */
export function budgetOf(text: string, before: readonly Fields[] = []): readonly Fields[] {
  const fields = text.split(',').map((part): readonly [string, string] => {
    const [, name, value] = /^\s*(unit|per|limit|currency|window_seconds|on_breach)\s*=\s*(\S+)\s*$/.exec(part) ?? [];
    if (name === undefined || value === undefined)
      throw new InvalidArgumentError('Write it as unit=calls,per=session,limit=10.');
    return [name, value];
  });
  const budget = Object.fromEntries(fields);
  const isCount = (name: string): boolean =>
    name === 'window_seconds' || (name === 'limit' && budget['unit'] !== 'money');
  return [
    ...before,
    Object.fromEntries(fields.map(([name, value]) => [name, isCount(name) ? numberOf(value) : value])),
  ];
}

const numberOf = (text: string): number | string => (/^\d{1,15}$/.test(text) ? Number(text) : text);

const Listed = z.array(z.looseObject({}));
const ofOne = ({ unit, per, currency, window_seconds: seconds }: Fields): string =>
  JSON.stringify([unit, per, currency ?? null, seconds ?? null]);

/** Those that are there, with these in the place of those of the same unit, holder, currency and window, or behind them. */
export function withBudgets(there: unknown, given: readonly Fields[]): readonly Fields[] {
  const old: readonly Fields[] = Listed.catch([]).parse(there);
  const kept = old.map((one) => given.find((other) => ofOne(other) === ofOne(one)) ?? one);
  return [...kept, ...given.filter((one) => !old.some((other) => ofOne(other) === ofOne(one)))];
}
