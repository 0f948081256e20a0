import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Compiled, compileSource } from '../support/compiled.js';
import { spawnWrit, type WritProcess } from '../support/process.js';
import { redocly } from '../../scripts/redocly.js';
import { startWorld, type World } from '../support/world.js';
import { ADMIN_TOKEN } from '../support/writ.js';

const CONFIG = join(process.cwd(), 'config', 'redocly.yaml');
const WORKFLOWS = 'admin.arazzo.yaml';

describe('a client that knows nothing but the description of the admin API', () => {
  let world: World;
  let compiled: Compiled;
  let writ: WritProcess;
  let directory: string;

  beforeAll(async () => {
    compiled = compileSource();
    world = await startWorld();
    // For there to be a session.
    expect((await world.exchange()).status).toBe(200);
    await world.writ.close();
    writ = await spawnWrit(compiled, {
      WRIT_ISSUER: world.issuer,
      WRIT_TRUST_DOMAIN: 'trust.example',
      WRIT_ADMIN_TOKEN: ADMIN_TOKEN,
      WRIT_DATA_DIR: world.config.dataDir,
      DATABASE_URL: world.config.databaseUrl,
    });
    directory = mkdtempSync(join(tmpdir(), 'writ-arazzo-'));
    const { text } = await world.admin('GET', '/openapi.json');
    writeFileSync(join(directory, 'openapi.json'), text);
    copyFileSync(join('test', 'interop', WORKFLOWS), join(directory, WORKFLOWS));
  });
  afterAll(async () => {
    writ.child.kill('SIGKILL');
    await writ.exited();
    await world.close().catch(() => undefined);
    compiled.remove();
    rmSync(directory, { recursive: true });
  });

  it('finds no fault with it, nor with its examples', async () => {
    const { code, text } = await redocly(['lint', 'openapi.json', WORKFLOWS, '--config', CONFIG], directory);
    expect([code, text]).toStrictEqual([0, expect.stringContaining('Your API descriptions are valid')]);
    expect(text).not.toMatch(/\d+ warning/);
  }, 120_000);

  it('would find an example that its schema does not allow', async () => {
    const { text } = await world.admin('GET', '/openapi.json');
    writeFileSync(join(directory, 'broken.json'), text.replaceAll('"tier":"low"', '"tier":"lowest"'));
    const { code, text: found } = await redocly(['lint', 'broken.json', '--config', CONFIG], directory);
    expect([code, found]).toStrictEqual([1, expect.stringContaining('no-invalid-media-type-examples')]);
  }, 120_000);

  it('registers, changes, loses a race, retires, tries, ends, rotates and reads why it was refused', async () => {
    const results = 'results.json';
    const { code, text } = await redocly(['respect', WORKFLOWS, '--json-output', results], directory, {
      REDOCLY_CLI_RESPECT_INPUT: `admin_token=${ADMIN_TOKEN}`,
    });
    expect([code, code === 0 ? '' : text]).toStrictEqual([0, '']);
    expect(text).not.toContain(ADMIN_TOKEN);
    expect(/Workflows: (\d+) passed, (\d+) total/.exec(text)?.slice(1)).toStrictEqual(['6', '6']);
  }, 120_000);
});
