// Mutation testing: `npm run mutation -- [room …] [--force]`. Without a room all of them, one after the other. Reports
// go to dist/mutation; what did not change since the last run is not run again unless --force says so.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { rooms } from '../config/mutation-rooms.mjs';
import setUp from '../test/support/global-setup.mjs';
import tearDown from '../test/support/global-teardown.mjs';

const words = process.argv.slice(2);
const asked = words.filter((word) => !word.startsWith('-'));
const unknown = asked.filter((name) => !(name in rooms));
if (unknown.length > 0) {
  console.error(`no room ${unknown.join(', ')}; there are ${Object.keys(rooms).join(', ')}`);
  process.exit(2);
}
mkdirSync('dist/mutation', { recursive: true });
const flags = words.filter((word) => word.startsWith('-'));
let status = 0;
setUp();
startServer(join(process.env.WRIT_TEST_RUN_DIR, 'pg'));
for (const name of asked.length > 0 ? asked : Object.keys(rooms)) {
  const run = spawnSync(
    process.execPath,
    ['node_modules/@stryker-mutator/core/bin/stryker.js', 'run', 'config/stryker.config.mjs', ...flags],
    { stdio: 'inherit', env: { ...process.env, MUTATION_ROOM: name } },
  );
  status ||= run.status ?? 1;
}
await tearDown();
process.exit(status);

/** DANGER: a runner that is restarted is killed with all that descend from it, a server that its tests started too. */
function startServer(directory) {
  const program = `
    import { register } from 'node:module';
    register('./config/mutation-loader.mjs', 'file://' + process.cwd() + '/', { data: {} });
    const { findPostgres, startPostgres } = await import('./scripts/postgres.ts');
    if (findPostgres() !== undefined) await startPostgres(${JSON.stringify(directory)});`;
  const { status } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { stdio: 'inherit' });
  if (status !== 0) process.exit(1);
}
