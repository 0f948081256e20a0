// Measures Writ beside the physical floor and its peers. See scripts/bench/README.md for what each figure means.
import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { measure, type Plan } from './bench/measure.js';
import { canPin, CORES, pin } from './bench/process.js';
import { writeReport } from './bench/report.js';
import { summaryOf, tableOf } from './bench/summary.js';

const NAMES = [
  'exchange',
  'embedded',
  'dpop',
  'library',
  'introspection',
  'connect',
  'verify',
  'feed',
  'audit',
  'decision',
  'policy',
  'growth',
  'processes',
  'sessions',
  'reevaluation',
  'pages',
];
const USAGE = `npm run bench -- [--only NAME[,NAME]] [--seconds N] [--rounds N] [--quick] [--json]
  [--entries N] [--against PATH/TO/main.js] [--profile DIRECTORY] [--report FILE]
  names: ${NAMES.join(', ')}`;

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: NAMES.join(',') },
    seconds: { type: 'string' },
    rounds: { type: 'string' },
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    entries: { type: 'string' },
    against: { type: 'string' },
    profile: { type: 'string' },
    report: { type: 'string', default: 'dist/bench/report.html' },
    help: { type: 'boolean', default: false },
  },
});
const only = values.only.split(',');
const unknown = only.find((name) => !NAMES.includes(name));
const [seconds, rounds, entries] = [
  bounded(values.seconds, values.quick ? 1.5 : 3),
  bounded(values.rounds, values.quick ? 2 : 5),
  bounded(values.entries, values.quick ? 100_000 : 10_000_000, 20_000_000),
];
if (values.help || unknown !== undefined || seconds === undefined || rounds === undefined || entries === undefined) {
  console.error(USAGE);
  process.exit(values.help ? 0 : 2);
}

const about = `Node.js ${process.version}, ${cpus()[0]?.model ?? 'unknown CPU'}, ${availableParallelism()} cores; ${
  canPin
    ? 'what is measured alone on one core, load and PostgreSQL on the other'
    : 'cores could not be chosen, so the load disturbs what is measured'
}; medians of ${rounds} interleaved rounds of ${seconds} s.`;
const plan: Plan = {
  rounds,
  seconds,
  growth: values.quick ? [10, 1_000, 10_000] : [10, 1_000, 10_000, 100_000],
  entries,
  maxRate: 5_000,
  only: (name) => only.includes(name),
  against: values.against,
  profileDir: values.profile,
  say: (line) => {
    console.error(line);
  },
};
pin(process.pid, CORES.load);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
const results = await measure(plan);
writeReport(values.report, results, about);
console.log(`${about}\n\n${tableOf(results)}\n\nplots: ${values.report}`);
if (values.json) console.log(JSON.stringify(summaryOf(results)));
process.exit(0);

/** A positive number of at most a minute or sixty rounds, so that no load is left running by a slip of a finger. */
function bounded(text: string | undefined, standard: number, most = 60): number | undefined {
  const value = text === undefined ? standard : Number(text);
  return value > 0 && value <= most ? value : undefined;
}
