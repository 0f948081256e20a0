import { describeProblem, loadConfig, readTextFile } from './config/index.js';
import { Fault } from './base/index.js';
import { startWrit } from './server.js';

/** Serves until it is told to stop. Refuses to start with what is wrong, all of it, and what to do. */
async function main(): Promise<void> {
  const config = loadConfig(process.env, readTextFile);
  if (!config.ok) {
    for (const problem of config.error) console.error(describeProblem(problem));
    process.exitCode = 2;
    return;
  }
  const writ = await startWrit(config.value, { report });
  for (const file of writ.madeSecrets)
    console.log(`Made ${file} (for this machine only; configure it for production).`);
  if (config.value.databaseUrl === undefined)
    console.log(`Database: embedded in ${config.value.dataDir} (survives a crash, not a power cut).`);
  console.log(`Writ serves ${config.value.issuer}`);
  let stopping = false;
  const stop = (): void => {
    if (stopping) return;
    stopping = true;
    writ.close().then(
      () => process.exit(0),
      (error: unknown) => {
        report(error);
        process.exit(1);
      },
    );
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

/** One JSON line per outage or bug: the code, the sentence for operators and its causes, never a request's contents. */
function report(thrown: unknown, requestId?: string): void {
  const causes: string[] = [];
  for (let at = thrown; at instanceof Error && causes.length < 5; at = at.cause)
    causes.push(`${at.name}: ${at.message}`);
  const code = thrown instanceof Fault ? thrown.code : 'internal';
  console.error(
    JSON.stringify({ level: 'error', code, causes, ...(requestId === undefined ? {} : { request: requestId }) }),
  );
}

main().catch((error: unknown) => {
  report(error);
  process.exitCode = 1;
});
