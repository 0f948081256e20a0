import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { run as command } from '../../src/cli/index.js';
import type { Check } from '../../src/cli/doctor.js';
import { databaseKinds } from '../support/databases.js';
import { ADMIN_TOKEN, freePort, startTestWrit, type TestWrit } from '../support/writ.js';
import { newKey, witness as witnessKey } from '../support/log-book.js';

const WITNESS_KEY = witnessKey('witness.example', newKey()).text;

describe('writ doctor', () => {
  let writ: TestWrit;
  const home = mkdtempSync(join(tmpdir(), 'doctor-'));
  beforeAll(async () => {
    writ = await startTestWrit();
  });
  afterAll(async () => {
    await writ.close();
    rmSync(home, { recursive: true, force: true });
  });

  const environment = (changes: Record<string, string | undefined> = {}): Record<string, string | undefined> => ({
    WRIT_ISSUER: writ.issuer,
    WRIT_ADMIN_TOKEN: ADMIN_TOKEN,
    WRIT_DATA_DIR: home,
    DATABASE_URL: writ.config.databaseUrl,
    ...changes,
  });

  const doctor = async (
    env: Record<string, string | undefined>,
    args: readonly string[] = ['--json'],
    readFile: (path: string) => string | undefined = () => undefined,
  ): Promise<{ code: number; text: string }> => {
    const out: string[] = [];
    const code = await command(['doctor', ...args], {
      env,
      readFile,
      makePrivateFile: () => false,
      readStdin: () => Promise.resolve(''),
      out: (text) => out.push(text),
      err: (text) => out.push(`err: ${text}`),
    });
    return { code, text: out.join('\n') };
  };
  const wrongs = async (
    env: Record<string, string | undefined>,
    readFile?: (path: string) => string | undefined,
  ): Promise<Check[]> => {
    const { code, text } = await doctor(env, ['--json'], readFile);
    expect(code).toBe(1);
    const { ok, checks } = JSON.parse(text.replace(/\nerr: .*$/, '')) as { ok: boolean; checks: Check[] };
    expect(ok).toBe(false);
    return checks.filter(({ state }) => state === 'wrong');
  };

  it('finds nothing wrong with a Writ that runs, and exits 0', async () => {
    const { code, text } = await doctor(environment());
    expect(code).toBe(0);
    const { ok, checks } = JSON.parse(text) as { ok: boolean; checks: Check[] };
    expect(ok).toBe(true);
    expect(checks.map(({ check, state }) => `${check}: ${state}`)).toEqual([
      'configuration: ok',
      'data directory: ok',
      'log key: ok',
      'log retention: ok',
      'database: ok',
      ...(writ.config.databaseUrl === undefined ? [] : ['migrations: ok', 'clock and database: ok', 'log: ok']),
      'issuer: ok',
      'keys: ok',
      'ready: ok',
      'log checkpoint: ok',
      'clock and issuer: ok',
      'TLS and proxy: ok',
      'admin token: ok',
    ]);
    const { text: readable } = await doctor(environment(), []);
    expect(readable).toMatch(/^CHECK +STATE +FOUND +DO\nconfiguration +ok +sound/);
  });

  it('names the setting that is wrong, and shows no value of it', async () => {
    const found = await wrongs(environment({ WRIT_ADMIN_TOKEN: 'canary-short' }));
    expect(found).toEqual([
      {
        check: 'configuration',
        state: 'wrong',
        found: expect.stringMatching(/^WRIT_ADMIN_TOKEN .*must be at least 32 characters/),
        do: 'correct that setting',
      },
    ]);
    expect(JSON.stringify(found)).not.toContain('canary');
  });

  it('tells an issuer that nobody answers at, and a database, without its password', async () => {
    const port = await freePort();
    const found = await wrongs(
      environment({
        WRIT_ISSUER: `http://127.0.0.1:${port}`,
        DATABASE_URL: `postgresql://writ:canary-password@127.0.0.1:${port}/writ`,
      }),
    );
    expect(found.map(({ check }) => check)).toEqual(['database', 'issuer', 'admin token']);
    expect(found.every((one) => one.do !== '')).toBe(true);
    expect(JSON.stringify(found)).not.toContain('canary');
  });

  it('tells a wrong admin token, and metadata of another issuer', async () => {
    const other = writ.issuer.replace('127.0.0.1', 'localhost');
    const found = await wrongs(
      environment({ WRIT_ISSUER: other, WRIT_ADMIN_TOKEN: 'another-admin-token-0123456789-abcdefghijk' }),
    );
    expect(found.map(({ check, found: what }) => [check, what])).toEqual([
      ['issuer', `its metadata says ${writ.issuer}`],
      ['admin token', 'the admin token is not the one of this Writ'],
    ]);
  });

  it('tells a data directory that others can read', async () => {
    chmodSync(home, 0o755);
    const found = await wrongs(environment());
    chmodSync(home, 0o700);
    expect(found).toEqual([
      {
        check: 'data directory',
        state: 'wrong',
        found: `${home} is open to other accounts`,
        do: `chmod 700 ${home}`,
      },
    ]);
  });

  // Into an embedded database nobody looks but the process that has it.
  if (databaseKinds.includes('server')) {
    const run = (sql: string): Promise<number> => writ.writ.database.prisma.$executeRawUnsafe(sql);
    const checksOf = async (env: Record<string, string | undefined>): Promise<Check[]> =>
      (JSON.parse((await doctor(env)).text.replace(/\nerr: .*$/, '')) as { checks: Check[] }).checks;

    it('tells that the log is halted and why, that records wait, and what to do', async () => {
      await run(
        `UPDATE log_tree SET halted = 'somebody halted it', holder = 'other', held_until = now() + interval '1 hour'`,
      );
      while ((await fetch(`${writ.issuer}/readyz`)).status === 200) await pause(50);
      const halted = await wrongs(environment());
      expect(halted.map(({ check, found, do: todo }) => [check, found, todo])).toEqual([
        [
          'log',
          expect.stringMatching(/^halted at \d+ entries: somebody halted it$/),
          expect.stringMatching(/audit recover/),
        ],
        ['ready', 'log_inconsistent', expect.stringMatching(/^the log is halted/)],
      ]);
      await run(`UPDATE log_tree SET halted = NULL`);
      while ((await fetch(`${writ.issuer}/readyz`)).status !== 200) await pause(50);
      await run(`INSERT INTO log_pending (leaf_id, since) SELECT min(id), now() - interval '1 minute' FROM log_leaf`);
      const late = await wrongs(environment());
      await run(`DELETE FROM log_pending WHERE since < now() - interval '30 seconds'`);
      await run('UPDATE log_tree SET holder = NULL, held_until = NULL');
      expect(late.map(({ check, found }) => [check, found])).toEqual([
        ['log', expect.stringMatching(/^\d+ entries, and a record that has waited for 6\d s$/)],
      ]);
    });

    it('tells of each witness how much it has cosigned', async () => {
      const url = 'https://witness.example/log';
      const env = environment({ WRIT_LOG_WITNESSES: `${url} ${WITNESS_KEY}` });
      const witness = async (): Promise<unknown> => {
        const found = (await checksOf(env)).find(({ check }) => check === `log witness ${url}`);
        return [found?.state, found?.found];
      };
      expect(await witness()).toEqual(['warn', 'has never cosigned']);
      await run(
        `INSERT INTO log_cosignature (size, name, line, at) VALUES (0, 'witness.example', 'x', now() - interval '1 hour')`,
      );
      expect(await witness()).toEqual(['warn', expect.stringMatching(/^cosigned 0 of \d+ entries, 60 minutes ago$/)]);
      await run(`INSERT INTO log_cosignature (size, name, line) SELECT size, 'witness.example', 'x' FROM log_tree`);
      expect(await witness()).toEqual(['ok', expect.stringMatching(/^cosigned \d+ entries$/)]);
      await run('DELETE FROM log_cosignature');
    });

    it('tells that the key here is not the one that signs', async () => {
      const file = join(home, 'other-log-key');
      const { privateKey } = generateKeyPairSync('ed25519', {
        privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
        publicKeyEncoding: { type: 'spki', format: 'pem' },
      });
      writeFileSync(file, privateKey, { mode: 0o600 });
      const found = await wrongs(environment({ WRIT_LOG_KEY_FILE: file }), (path) =>
        path === file ? privateKey : undefined,
      );
      expect(found.map(({ check, found: what }) => [check, what])).toEqual([
        ['log checkpoint', 'no key of WRIT_LOG_KEY_FILE here signed it'],
      ]);
    });
  }
});
