// Sends a real server broken requests of every kind, and tells the first that it must not take so. Exit 1 when there is one.
import { randomBytes } from 'node:crypto';
import { Command, InvalidArgumentError, Option } from 'commander';
import { fuzz, type FuzzResult, type Kind, KINDS, MAY_GROW_MB } from './fuzz/fuzz.js';

const whole = (text: string): number => {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('must be a whole number');
  return Number(text);
};

type Options = Readonly<{ seconds: number; seed?: string; only?: Kind; case?: number; json?: true }>;

const isClean = ({ found, before, after, exchanges_at_end }: FuzzResult): boolean =>
  found === 0 &&
  exchanges_at_end &&
  after.heap_mb - before.heap_mb <= MAY_GROW_MB.heap &&
  after.rss_mb - before.rss_mb <= MAY_GROW_MB.rss;

await new Command('fuzz')
  .description('Mutated requests against a started server: no 5xx, no hang, no growth, and sound at the end.')
  .option('--seconds <number>', 'stop after so long', whole, 60)
  .option('--seed <text>', 'the same cases again')
  .addOption(new Option('--only <kind>', 'one kind of case').choices(KINDS))
  .option('--case <number>', 'one case of this seed (and kind), shown whole', whole)
  .option('--json', 'the result as the last line, in JSON')
  .action(async ({ seconds, seed = randomBytes(4).toString('hex'), only, case: one, json }: Options) => {
    const say = (line: string): void => {
      process.stderr.write(`${line}\n`);
    };
    say(`seed ${seed}`);
    const result = await fuzz({ seconds, seed, kinds: only === undefined ? KINDS : [only], only: one, say });
    if (json === true) console.log(JSON.stringify(result));
    else console.dir(result, { depth: null });
    process.exitCode = isClean(result) ? 0 : 1;
  })
  .parseAsync();
