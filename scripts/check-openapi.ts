// Proves that the description of the admin API, as a running Writ gives it, is what others can generate from, and that
// the workflows of test/interop name operations that it has. `npm run test:interop` also runs them.
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { randomText } from '../src/base/index.js';
import { loadConfig } from '../src/config/index.js';
import { startWrit } from '../src/server.js';
import { freePort } from './bench/process.js';
import { redocly } from './redocly.js';

const directory = mkdtempSync(join(tmpdir(), 'writ-openapi-'));
try {
  writeFileSync(join(directory, 'openapi.json'), await description());
  copyFileSync(join('test', 'interop', 'admin.arazzo.yaml'), join(directory, 'admin.arazzo.yaml'));
  const config = resolve('config', 'redocly.yaml');
  const { code, text } = await redocly(['lint', 'openapi.json', 'admin.arazzo.yaml', '--config', config], directory);
  if (code !== 0) console.error(text);
  process.exitCode = code ?? 1;
} finally {
  rmSync(directory, { recursive: true });
}

/** `GET /admin/v1/openapi.json` of a Writ of its own. */
async function description(): Promise<string> {
  const token = randomText(32);
  const issuer = `http://127.0.0.1:${String(await freePort())}`;
  const env = { WRIT_ISSUER: issuer, WRIT_DATA_DIR: join(directory, 'data'), WRIT_ADMIN_TOKEN: token };
  const config = loadConfig(env, () => undefined);
  if (!config.ok) throw new Error(JSON.stringify(config.error));
  const writ = await startWrit(config.value);
  try {
    const answer = await fetch(`${issuer}/admin/v1/openapi.json`, { headers: { Authorization: `Bearer ${token}` } });
    return await answer.text();
  } finally {
    await writ.close();
  }
}
