import { type Config, describeProblem, loadConfig, readTextFile } from './config/index.js';
import type { Writ } from './server.js';
import { describeThrown, type Log, openLog } from './telemetry/index.js';

/** Serves until it is told to stop. Refuses to start with what is wrong, all of it, and what to do. */
async function main(): Promise<void> {
  const config = loadConfig(process.env, readTextFile);
  if (!config.ok) {
    for (const problem of config.error) console.error(describeProblem(problem));
    process.exitCode = 2;
    return;
  }
  const log = openLog(config.value.logLevel);
  try {
    const writ = await start(config.value, log);
    sayWhatRuns(writ, log);
    stopOnSignals(writ, log);
  } catch (thrown) {
    // Whoever started this reads what it says on standard error, not the log of a server that never was.
    console.error(JSON.stringify({ level: 'error', ...describeThrown(thrown), message: 'Writ does not start' }));
    process.exitCode = 1;
  }
}

/** The rest is loaded while the database opens. */
async function start(config: Config, log: Log): Promise<Writ> {
  const { begin } = await import('./begin.js');
  const begun = begin(config);
  const { startWrit } = await import('./server.js');
  return startWrit(config, { report: log.report, log, begun });
}

function sayWhatRuns({ config, madeSecrets }: Writ, log: Log): void {
  for (const file of madeSecrets) log.warn(`Made ${file} (for this machine only; configure it for production).`);
  if (config.databaseUrl === undefined)
    log.warn(`Database: embedded in ${config.dataDir} (survives a crash, not a power cut).`);
  log.info(`Writ serves ${config.issuer}`);
}

/** The most that a stop may take; four seconds of delay and ten for requests under way fit in it. */
const DEADLINE_MS = 14_800;

/**
 * The first signal: not ready, then no new connections, then the requests under way, then the last lines and spans.
 * A second one, or the deadline, ends it at once. An interrupt from a terminal does not wait for a load balancer.
 */
function stopOnSignals(writ: Writ, log: Log): void {
  let isStopping = false;
  const stop = (signal: NodeJS.Signals): void => {
    if (isStopping) process.exit(1);
    isStopping = true;
    writ.beginStop();
    log.info('Writ stops', { signal });
    setTimeout(() => process.exit(1), DEADLINE_MS).unref();
    const delay = signal === 'SIGTERM' ? writ.config.stopDelaySeconds * 1_000 : 0;
    setTimeout(() => void finish(writ, log), delay);
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}

async function finish(writ: Writ, log: Log): Promise<void> {
  let code = 0;
  try {
    await writ.close();
    log.info('Writ has stopped');
  } catch (thrown) {
    log.report(thrown);
    code = 1;
  }
  await log.flush();
  process.exit(code);
}

await main();
