// Ends the PostgreSQL server of this run, if a test started one, and removes what the run left.
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

export default async function tearDown() {
  const directory = process.env.WRIT_TEST_RUN_DIR;
  if (directory === undefined) return;
  await stop(join(directory, 'pg', 'data', 'postmaster.pid'));
  rmSync(directory, { recursive: true, force: true });
}

async function stop(pidFile) {
  if (!existsSync(pidFile)) return;
  try {
    process.kill(Number(readFileSync(pidFile, 'utf8').split('\n')[0]), 'SIGINT');
  } catch (thrown) {
    // It has ended already, killed by whoever ended the run.
    if (thrown.code === 'ESRCH') return;
    throw thrown;
  }
  // The server removes the file as the last thing it does.
  for (let waited = 0; existsSync(pidFile) && waited < 10_000; waited += 50) await pause(50);
}
