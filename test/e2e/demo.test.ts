import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

/** Of the compiled demo, which `npm run build` makes. */
const DEMO = join(process.cwd(), 'dist/scripts/demo.js');
const JWT = /\beyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]{5,}/;

type Ran = Readonly<{ code: number | null; out: string; err: string }>;

let home: string;
beforeAll(() => {
  if (!existsSync(DEMO)) throw new Error('run npm run build first');
  home = mkdtempSync(join(tmpdir(), 'demo-test-'));
});
afterAll(() => {
  rmSync(home, { recursive: true, force: true });
});

/** Runs the demo in a temporary folder of its own; `act` sees what it prints while it runs. */
function demo(
  flags: readonly string[],
  act?: (out: string, stop: (signal: NodeJS.Signals) => void) => void,
): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, TMPDIR: home, NODE_OPTIONS: '' };
    const child = spawn(process.execPath, [DEMO, ...flags], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let [out, err] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
      act?.(out, (signal) => child.kill(signal));
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
    child.once('error', reject).once('close', (code) => {
      resolve({ code, out, err });
    });
  });
}

const portsIn = (out: string): readonly number[] => [
  ...new Set([...out.matchAll(/http:\/\/(?:127\.0\.0\.1|localhost):(\d+)/g)].map(([, port]) => Number(port))),
];

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => {
      resolve(false);
    });
  });
}

/** Nothing listens where the demo listened, and its temporary folder is empty. */
async function expectNothingLeft(out: string): Promise<void> {
  const ports = portsIn(out);
  expect(ports.length).toBeGreaterThanOrEqual(2);
  expect(await Promise.all(ports.map(answers))).toEqual(ports.map(() => false));
  expect(readdirSync(home)).toEqual([]);
}

type Report = {
  ok: boolean;
  steps: { name: string; ok: boolean; expected: object; got: object; ms: number }[];
  log: Record<string, string>[];
  ms: number;
};

describe('npm run demo', () => {
  it('-- --once --json tells every step as it has to come out, and leaves nothing', async () => {
    const { code, out, err } = await demo(['--once', '--json']);
    const report = JSON.parse(out) as Report;
    expect(report.steps.filter(({ ok }) => !ok)).toEqual([]);
    expect({ code, err, ok: report.ok }).toEqual({ code: 0, err: '', ok: true });
    expect(report.steps.map(({ name, ok }) => [name, ok])).toEqual([
      ['Alice signs in and allows Planner to act for her', true],
      ['An allowed call', true],
      ['A tool that nobody granted', true],
      ['A delete that a person has to approve', true],
      ['Alice approves the delete', true],
      ['A payment that policy refuses', true],
      ['A tool that changed under it', true],
      ['Changed arguments', true],
      ['A token at the wrong server', true],
      ['A token past its end', true],
      ['A token used twice', true],
      ['Planner hands over to Writer', true],
      ['Revoked', true],
      ['A session that its budget pauses', true],
      ['A session that ends while a call is running', true],
      ['The log', true],
      ['The proof', true],
    ]);
    for (const { name, expected, got } of report.steps) {
      expect({ name, checks: Object.keys(expected).length > 0 }).toEqual({ name, checks: true });
      expect(got).toEqual(expected);
    }
    expect(report.log).toContainEqual({
      id: expect.any(String),
      at: expect.any(String),
      who: 'Alice Archer',
      through: 'Planner > Writer',
      what: 'Files: write_file',
      decision: 'permit',
      reason: 'permitted',
    });
    expect(report.ms).toBeLessThan(60_000);
    expect(out).not.toMatch(JWT);
    await expectNothingLeft(out);
  }, 90_000);

  it('-- --once prints pictures and no token, in 100 columns without colour', async () => {
    const { code, out, err } = await demo(['--once']);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(
      /Alice Archer +prs_\S+ .*\n +└─ Planner .*\n +└─ Writer .*\n +└─ Files .*\n +tool +write_file, once/,
    );
    expect(out).not.toMatch(JWT);
    expect(out).not.toMatch(/\u001b/);
    expect(out.split('\n').filter((line) => line.length > 100)).toEqual([]);
    await expectNothingLeft(out);
  }, 90_000);

  it('stays up and says what to try next, until Ctrl-C', async () => {
    let isUp: Promise<number> | undefined;
    const { code, out, err } = await demo([], (seen, stop) => {
      if (isUp !== undefined || !seen.includes('Ctrl-C stops everything')) return;
      const issuer = /WRIT_ISSUER=(\S+)/.exec(seen)?.[1] ?? '';
      isUp = fetch(`${issuer}/readyz`).then(({ status }) => status);
      void isUp.finally(() => {
        stop('SIGINT');
      });
    });
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(await isUp).toBe(200);
    expect(out).toContain('node dist/src/cli/main.js log --follow');
    await expectNothingLeft(out);
  }, 90_000);

  it('ends in order when it is interrupted in the middle', async () => {
    let isStopped = false;
    const { code, out, err } = await demo(['--once'], (seen, stop) => {
      if (!isStopped && seen.includes('2  An allowed call')) stop('SIGINT');
      isStopped ||= seen.includes('2  An allowed call');
    });
    expect({ code, err }).toEqual({ code: 130, err: '' });
    await expectNothingLeft(out);
  }, 90_000);
});
