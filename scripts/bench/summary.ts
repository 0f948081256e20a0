import type { Figure, Results } from './measure.js';

/** What scripts read: ratios and limits that the issue names, and nothing that was not measured. */
export function summaryOf({
  figures,
  verify,
  decision,
  connect,
  growth,
  processes,
  audit,
  feed,
  reevaluation,
  pages,
}: Results): Readonly<Record<string, number>> {
  const figure = (name: string): Figure | undefined => figures.find((one) => one.name === name);
  const ratio = (ours: string, floor: string): number | undefined => over(figure(ours)?.rate, figure(floor)?.rate);
  const cpuRatio = (ours: string, floor: string): number | undefined => over(figure(floor)?.cpu, figure(ours)?.cpu);
  const [smallest, largest] = [growth[0], growth.at(-1)];
  const [first, last] = [decision[0], decision.at(-1)];
  const dpop = minus(figure('exchange postgres dpop')?.cpu, figure('exchange postgres fresh')?.cpu);
  const all: Readonly<Record<string, number | undefined>> = {
    'floor.rate': figure('floor fresh')?.rate,
    'exchange.postgres.rate': figure('exchange postgres fresh')?.rate,
    'exchange.postgres.ratio_to_floor': ratio('exchange postgres fresh', 'floor fresh'),
    'exchange.postgres.reused_ratio_to_floor': ratio('exchange postgres reused', 'floor reused'),
    'exchange.postgres.cpu_ratio_to_floor': cpuRatio('exchange postgres fresh', 'floor fresh'),
    'exchange.postgres.reused_cpu_ratio_to_floor': cpuRatio('exchange postgres reused', 'floor reused'),
    'exchange.postgres.p99_ms': figure('exchange postgres fresh')?.full.p99,
    'exchange.postgres.half_load_p99_ms': figure('exchange postgres fresh')?.half.p99,
    'exchange.embedded.ratio_to_floor': ratio('exchange embedded fresh', 'floor fresh'),
    'exchange.embedded.reused_ratio_to_floor': ratio('exchange embedded reused', 'floor reused'),
    'exchange.dpop_extra_us': dpop,
    'exchange.connect_p99_ms': connect.length === 0 ? undefined : Math.max(...connect.map(({ p99 }) => p99)),
    'introspect.postgres.rate': figure('introspect postgres')?.rate,
    'introspect.postgres.p99_ms': figure('introspect postgres')?.full.p99,
    'oidc_provider.rate': figure('oidc-provider')?.rate,
    'verify.ratio_to_jose': over(verify?.['ours'], verify?.['jose']),
    'verify.ratio_to_jose_without_keys': over(verify?.['oursFresh'], verify?.['joseFresh']),
    'decision.p50_ms': over(last?.varied.p50, 1_000),
    'decision.p99_ms': over(last?.varied.p99, 1_000),
    'decision.ratio_to_cedar': over(last?.varied.p50, last?.bare.p50),
    'decision.growth_ratio': first === last ? undefined : over(last?.varied.p50, first?.varied.p50),
    'decision.repeating_p50_ms': over(last?.repeating.p50, 1_000),
    'decision.repeating_forgotten_p50_ms': over(last?.forgetful.p50, 1_000),
    'decision.exchange_varied_share': ratio('policy varied', 'permitting varied'),
    'decision.exchange_repeating_share': ratio('policy repeating', 'permitting repeating'),
    'decision.exchange_varied_cpu_share': cpuRatio('policy varied', 'permitting varied'),
    'decision.exchange_repeating_cpu_share': cpuRatio('policy repeating', 'permitting repeating'),
    'decision.keeping_us': minus(figure('policy varied')?.cpu, figure('not keeping varied')?.cpu),
    'growth.cpu_ratio': smallest === largest ? undefined : over(largest?.cpu, smallest?.cpu),
    'processes.ratio': processes?.ratio,
    'sessions.rate_ratio': least(
      ratio('sessions among fresh', 'sessions alone fresh'),
      ratio('sessions among reused', 'sessions alone reused'),
    ),
    'sessions.cpu_ratio': least(
      cpuRatio('sessions among fresh', 'sessions alone fresh'),
      cpuRatio('sessions among reused', 'sessions alone reused'),
    ),
    'sessions.database_us': minus(
      figure('sessions among fresh')?.databaseCpu,
      figure('sessions alone fresh')?.databaseCpu,
    ),
    'audit.cost_ratio': least(ratio('logged fresh', 'unlogged fresh'), ratio('logged reused', 'unlogged reused')),
    'audit.cpu_cost_ratio': least(
      cpuRatio('logged fresh', 'unlogged fresh'),
      cpuRatio('logged reused', 'unlogged reused'),
    ),
    'audit.database_us': minus(figure('logged reused')?.databaseCpu, figure('unlogged reused')?.databaseCpu),
    ...Object.fromEntries(Object.entries(feed ?? {}).map(([name, value]) => [`feed.${name}`, value])),
    ...Object.fromEntries(Object.entries(audit ?? {}).map(([name, value]) => [`audit.${name}`, value])),
    ...Object.fromEntries(Object.entries(reevaluation ?? {}).map(([name, value]) => [`reevaluation.${name}`, value])),
    ...Object.fromEntries(Object.entries(pages ?? {}).map(([name, value]) => [`pages.${name}`, value])),
  };
  return Object.fromEntries(
    Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [[name, Number(value.toFixed(3))]])),
  );
}

const over = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? undefined : a / b;
const least = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? undefined : Math.min(a, b);
const minus = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? undefined : a - b;

/** The figures for people, as text. */
export function tableOf(results: Results): string {
  const { figures, verify, decision, connect, growth, processes } = results;
  const lines: string[] = [];
  if (figures.length > 0) {
    lines.push(
      row(['', 'answers/s', 'µs CPU', 'µs of db', 'p50 full', 'p99 full', 'p50 half', 'p99 half', 'MB', 'failed']),
      ...figures.map((one) =>
        row([
          one.name,
          whole(one.rate),
          whole(one.cpu),
          one.databaseCpu === undefined ? '' : whole(one.databaseCpu),
          ...[one.full.p50, one.full.p99, one.half.p50, one.half.p99].map((ms) => ms.toFixed(1)),
          whole(one.rssMb),
          whole(one.failed),
        ]),
      ),
    );
  }
  if (connect.length > 0) {
    lines.push('', row(['128 clients connect at once', 'p50 ms', 'p99 ms', 'worst ms']));
    for (const { name, p50, p99, worst } of connect)
      lines.push(row([name, ...[p50, p99, worst].map((ms) => ms.toFixed(1))]));
  }
  if (verify !== undefined) {
    lines.push('', row(['verify one token', 'µs CPU']));
    for (const [name, micros] of Object.entries(verify)) lines.push(row([VERIFIERS[name] ?? name, micros.toFixed(1)]));
  }
  if (decision.length > 0) {
    const header = ['p50 µs', 'p99 µs', 'bare p50', 'bare p99', 'same p50', 'no memory', 'ready ms'];
    lines.push('', row(['decision: policies / tools', ...header]));
    for (const { policies, tools, varied, bare, repeating, forgetful, compileMs } of decision) {
      const cells = [varied.p50, varied.p99, bare.p50, bare.p99, repeating.p50, forgetful.p50, compileMs];
      lines.push(row([`${policies} / ${tools}`, ...cells.map(whole)]));
    }
  }
  if (growth.length > 0) {
    lines.push('', row(['agents, servers, tools', 'answers/s', 'µs CPU', 'MB', 'start s']));
    for (const one of growth)
      lines.push(
        row([String(one.count), whole(one.rate), whole(one.cpu), whole(one.rssMb), one.startSeconds.toFixed(1)]),
      );
  }
  if (processes !== undefined) {
    const { one, two, ratio, oneCpu, twoCpu } = processes;
    lines.push('', row(['processes', 'answers/s', 'µs CPU', 'ratio']));
    lines.push(row(['one', whole(one), whole(oneCpu), '']), row(['two', whole(two), whole(twoCpu), ratio.toFixed(2)]));
  }
  lines.push('', ...Object.entries(summaryOf(results)).map(([name, value]) => `${name.padEnd(46)} ${value}`));
  return lines.join('\n');
}

/** What the figures of the verifier are of. */
export const VERIFIERS: Readonly<Record<string, string>> = {
  ours: 'writ/verifier',
  jose: 'jose, keys remembered',
  oursFresh: 'writ/verifier made anew',
  joseFresh: 'jose, key imported anew',
};

const whole = (value: number): string => value.toFixed(0);
const row = ([name = '', ...cells]: readonly string[]): string =>
  [name.padEnd(28), ...cells.map((cell) => cell.padStart(10))].join('').trimEnd();
