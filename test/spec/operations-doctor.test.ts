import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { run } from '../../src/cli/index.js';
import type { Check } from '../../src/cli/doctor.js';
import { ADMIN_TOKEN, freePort, startTestWrit, type TestWrit } from '../support/writ.js';

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
  ): Promise<{ code: number; text: string }> => {
    const out: string[] = [];
    const code = await run(['doctor', ...args], {
      env,
      readFile: () => undefined,
      makePrivateFile: () => false,
      readStdin: () => Promise.resolve(''),
      out: (text) => out.push(text),
      err: (text) => out.push(`err: ${text}`),
    });
    return { code, text: out.join('\n') };
  };
  const wrongs = async (env: Record<string, string | undefined>): Promise<Check[]> => {
    const { code, text } = await doctor(env);
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
      ...(writ.config.databaseUrl === undefined ? [] : ['migrations: ok', 'clock and database: ok']),
      'issuer: ok',
      'keys: ok',
      'ready: ok',
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
});
