// Breaks Writ on purpose, within bounds, and counts what must never happen. Exit 1 when it happened.
import { Command, Option, InvalidArgumentError } from 'commander';
import { approval, type ApprovalResult } from './drill/approval.js';
import { budget, type BudgetResult } from './drill/budget.js';
import { BOUNDS_MS, db, type DbResult } from './drill/db.js';
import { cost, type CostResult, flood, FLOOD, type FloodResult } from './drill/flood.js';
import { killReplicas, type ReplicaKills } from './drill/kill-replicas.js';
import { kill, type KillResult } from './drill/kill.js';
import { pdp, PDP, type PdpResult } from './drill/pdp.js';
import { race } from './drill/race.js';
import type { Bounds } from './drill/rig.js';
import { flawsOf, revoke, type RevokeResult } from './drill/revoke.js';
import { rotate } from './drill/rotate.js';
import { raceFlaws } from './drill/verdicts.js';
import { tamper, type TamperResult } from './drill/tamper.js';

const whole = (text: string): number => {
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new InvalidArgumentError('must be a whole number above 0');
  return Number(text);
};

type Options = Readonly<{ rounds: number; seconds: number; json?: true }>;

const KINDS = ['postgres', 'embedded'] as const;

const program = new Command('drill').description('Fault rigs, each bounded by rounds and seconds.');

function drill<Result extends object>(
  name: string,
  about: Readonly<{ text: string; rounds: number; seconds: number; isClean: (result: Result) => boolean }>,
  run: (bounds: Bounds, options: Readonly<Record<string, unknown>>) => Promise<Result>,
): Command {
  return program
    .command(name)
    .description(about.text)
    .option('--rounds <number>', 'stop after so many', whole, about.rounds)
    .option('--seconds <number>', 'stop after so long', whole, about.seconds)
    .option('--json', 'the result as the last line, in JSON')
    .action(async (options: Options & Readonly<Record<string, unknown>>) => {
      const { rounds, seconds, json } = options;
      const say = (line: string): void => {
        process.stderr.write(`${line}\n`);
      };
      const result = await run({ rounds, seconds, say }, options);
      if (json === true) console.log(JSON.stringify(result));
      else console.dir(result, { depth: null });
      process.exitCode = about.isClean(result) ? 0 : 1;
    });
}

drill(
  'race',
  {
    text: 'Two server processes on PostgreSQL, and each one-time thing used twice at once.',
    rounds: 800,
    seconds: 600,
    isClean: (result) => raceFlaws(result).length === 0,
  },
  race,
);

drill(
  'approval',
  {
    text: 'Two server processes on PostgreSQL: `rounds` races of approving, denying and expiry, and as many of fetching one approval.',
    rounds: 1_000,
    seconds: 900,
    isClean: (result: ApprovalResult) => raceFlaws(result).length === 0,
  },
  approval,
);

drill(
  'budget',
  {
    text: 'Two server processes on PostgreSQL, and more exchanges at once than the budgets of agent and people have room for.',
    rounds: 10_000,
    seconds: 600,
    isClean: ({ debits, permitted, overspent, lost_units, failed }: BudgetResult) =>
      debits > 0 && permitted > 0 && overspent === 0 && lost_units === 0 && failed === 0,
  },
  budget,
);

drill(
  'kill',
  {
    text: 'The server killed under load, `rounds` times on each database; or one of two on PostgreSQL.',
    rounds: 50,
    seconds: 600,
    isClean: (result: KillResult | ReplicaKills) =>
      result.lost === 0 &&
      result.orphans === 0 &&
      (!('forks' in result) || (result.forks === 0 && result.unsequenced_after_5s === 0)),
  },
  (bounds, { database, replicas }): Promise<KillResult | ReplicaKills> =>
    replicas === '2'
      ? killReplicas(bounds)
      : kill(
          bounds,
          KINDS.filter((kind) => database === undefined || kind === database),
        ),
)
  .addOption(new Option('--database <kind>', 'only this one').choices(KINDS))
  .addOption(new Option('--replicas <number>', 'server processes').choices(['1', '2']).default('1'));

drill(
  'revoke',
  {
    text: 'Verifiers that follow the feed of two processes on PostgreSQL, one killed in each of `rounds` storms of revocations.',
    rounds: 10,
    seconds: 300,
    isClean: (result: RevokeResult) => flawsOf(result).length === 0,
  },
  (bounds, { verifiers }) => revoke(bounds, whole(String(verifiers))),
).addOption(new Option('--verifiers <number>', 'how many follow').default('100'));

drill(
  'tamper',
  {
    text: 'Logs of a server that is killed, all of which must be proved; and one of them changed, each change to be found.',
    rounds: 500,
    seconds: 1_200,
    isClean: ({ mutations, detected, false_alarms }: TamperResult) => detected === mutations && false_alarms === 0,
  },
  (bounds, { clean }) => tamper(bounds, whole(String(clean))),
).addOption(new Option('--clean <number>', 'how many untouched logs').default('100'));

drill(
  'db',
  {
    text: 'The database killed, paused, slow, cut off, full and failing by statement, each under load and `rounds` times.',
    rounds: 1,
    seconds: 600,
    isClean: ({ partial_effects, wrong_answers, slowest_ms, recovery_ms }: DbResult) =>
      partial_effects + wrong_answers === 0 && slowest_ms <= BOUNDS_MS.answer && recovery_ms <= BOUNDS_MS.recovery,
  },
  db,
);

drill(
  'flood',
  {
    text: 'Good exchanges, alone and then beside 2,000 bad requests a second, half of `seconds` each.',
    rounds: 1,
    seconds: 20,
    isClean: ({ slowdown, rss_growth_mb, good_failed, bad_per_second }: FloodResult) =>
      slowdown <= FLOOD.slowdown &&
      rss_growth_mb <= FLOOD.growthMb &&
      good_failed === 0 &&
      bad_per_second >= FLOOD.badPerSecond * FLOOD.reached,
  },
  (bounds) => flood(bounds),
);

drill(
  'cost',
  {
    text: 'Bad requests of each kind, `rounds` of each, all of them checked: what one costs beside a good exchange.',
    rounds: 1_000,
    seconds: 600,
    isClean: ({ cpu_us: { good, bad, kinds }, good_failed }: CostResult) =>
      good_failed === 0 && bad < good && Object.values(kinds).every((us) => us < good),
  },
  cost,
);

drill(
  'pdp',
  {
    text: 'A real Cerbos as decision point, killed, stopped and garbled under load: 1,000 requests in each round.',
    rounds: 1,
    seconds: 300,
    isClean: ({ requests, refused, max_ms, recovery_ms }: PdpResult) =>
      requests > 0 && refused === requests && max_ms <= PDP.answerMs && recovery_ms <= PDP.recoveryMs,
  },
  pdp,
);

drill(
  'rotate',
  {
    text: 'Signing keys rotated `rounds` times under light load, with verifiers that cache them.',
    rounds: 100,
    seconds: 900,
    isClean: ({ failures, rotations, keys }) => failures === 0 && keys === rotations + 1,
  },
  rotate,
);

await program.parseAsync();
