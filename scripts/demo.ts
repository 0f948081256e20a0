import { parseArgs } from 'node:util';
import { type House, openHouse } from './demo/house.js';
import { type StepResult, tell } from './demo/stage.js';
import { makeStory } from './demo/story.js';
import { makePaint, Terminal } from './demo/terminal.js';
import { whatToTryNext } from './demo/try-next.js';

const USAGE = `npm run demo            tells the story, then stays up until Ctrl-C
npm run demo -- --once  tells the story and ends; exit code 1 when a step differs
npm run demo -- --json  the same as --once, as one JSON document`;

/** The first five minutes of Writ: real servers, real agents, real HTTP, all on this machine. */
async function main(): Promise<number> {
  const started = performance.now();
  const { once, json, help } = readArguments();
  if (help) return (say(USAGE), 0);
  const hasColour = process.stdout.isTTY && (process.env['NO_COLOR'] ?? '') === '';
  const terminal = new Terminal(json ? () => undefined : say, makePaint(hasColour));
  const faults: unknown[] = [];
  const stopped = interruption();
  const house = await openHouse((thrown) => faults.push(thrown));
  try {
    introduce(house, terminal);
    const { steps, told } = makeStory(house);
    const results = await Promise.race([tell(steps, terminal), stopped]);
    if (results === undefined) return 130;
    const ok = results.length === steps.length && results.every((step) => step.ok) && faults.length === 0;
    const ms = Math.round(performance.now() - started);
    if (json) say(JSON.stringify({ ok, steps: results, log: told.log, ms }, null, 2));
    else conclude(terminal, results, { ok, ms, faults });
    if (!ok || once) return ok ? 0 : 1;
    whatToTryNext(house, terminal);
    await stopped;
    return 0;
  } finally {
    await house.close();
  }
}

function readArguments(): Readonly<{ once: boolean; json: boolean; help: boolean }> {
  const flag = { type: 'boolean', default: false } as const;
  const { values } = parseArgs({ options: { once: flag, json: flag, help: flag } });
  return { ...values, once: values.once || values.json };
}

function introduce({ issuer, company, files, payments, folder }: House, terminal: Terminal): void {
  terminal.title('Writ, the first five minutes');
  terminal.table(
    ['what runs on this machine', 'where', ''],
    [
      ['Writ', issuer, 'decides, records, signs'],
      ['The Company', company.issuer, 'where Alice signs in'],
      ['Files', files.resource, 'MCP server, offline, follows the feed'],
      ['Payments', payments.resource, 'MCP server, asks Writ at each call'],
      ['Planner, Writer', 'in this process', 'AI agents, each with its own key'],
    ],
  );
  terminal.show('', `All its files are in ${folder} until it ends.`);
}

type Ending = Readonly<{ ok: boolean; ms: number; faults: readonly unknown[] }>;

function conclude(terminal: Terminal, results: readonly StepResult[], { ok, ms, faults }: Ending): void {
  for (const fault of faults) terminal.say(`Writ reported an outage: ${String(fault)}`);
  const checks = results.reduce((count, { got }) => count + Object.keys(got).length, 0);
  const seconds = (ms / 1000).toFixed(1);
  terminal.show('');
  terminal.check(`${String(results.length)} steps, ${String(checks)} checks, ${seconds} s`, ok);
}

/** Ctrl-C ends the demo in order, a later second one at once. One key press may arrive twice: npm passes it on too. */
function interruption(): Promise<undefined> {
  return new Promise((resolve) => {
    let first: number | undefined;
    const stop = (): void => {
      first ??= performance.now();
      if (performance.now() - first > 1_000) process.exit(130);
      resolve(undefined);
    };
    process.on('SIGINT', stop).on('SIGTERM', stop);
  });
}

const say = (line: string): void => void process.stdout.write(`${line}\n`);

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error);
  process.exitCode = 1;
}
