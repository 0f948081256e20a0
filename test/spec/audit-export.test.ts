import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { run } from '../../src/cli/index.js';
import { COMPANY, ownWorld } from '../support/world.js';
import { request, tokenOf } from '../support/writ.js';

const AUDIT_TOKEN = randomBytes(32).toString('hex');
const folder = mkdtempSync(join(tmpdir(), 'writ-export-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});
const world = await ownWorld({ env: { WRIT_AUDIT_TOKEN: AUDIT_TOKEN } });
const ask = (path: string) =>
  request(`${world.issuer}/audit/v1${path}`, { headers: { authorization: `Bearer ${AUDIT_TOKEN}` } });

/** Runs a command; `most` lines, and it is interrupted. */
async function writ(args: readonly string[], most = Infinity): Promise<{ code: number; lines: string[]; err: string }> {
  const [lines, err]: [string[], string[]] = [[], []];
  const code = await run(['audit', ...args], {
    env: { WRIT_ISSUER: world.issuer, WRIT_AUDIT_TOKEN: AUDIT_TOKEN },
    readFile: (path) => readFileSync(path, 'utf8'),
    makePrivateFile: () => false,
    readStdin: () => Promise.resolve(''),
    out: (text) => {
      lines.push(...text.split('\n'));
      if (lines.length >= most) throw new Error('interrupted');
    },
    err: (text) => err.push(text),
  }).catch(() => -1);
  return { code, lines, err: err.join('\n') };
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (let waited = 0; !(await isSo()); waited += 100) {
    if (waited > 20_000) throw new Error('not in time');
    await pause(100);
  }
}

const acted = async (): Promise<{ txn: string; sub: string }> => {
  const claims = decodeJwt(tokenOf(await world.exchange())) as { txn: string; sub: string };
  await until(async () => (await ask(`/events?txn=${claims.txn}`)).text.includes('"exchange"'));
  return claims;
};
const { keys } = (await request(`${world.issuer}/audit/v1/keys`, {})).body as { keys: { vkey: string }[] };
const verify = async (name: string, lines: readonly string[]): Promise<{ code: number; lines: string[] }> => {
  const file = join(folder, name);
  writeFileSync(file, `${lines.join('\n')}\n`);
  return writ(['verify', file, '--key', keys[0]?.vkey ?? '']);
};

const first = await acted();
const { txn, sub } = await acted();
const named = `"${sub}" is "alice" at "${COMPANY}"`;

describe('writ audit bundle', () => {
  it('AU-13: names people where it is asked to, which is on record, proves it offline, and names no one who was erased', async () => {
    expect(first.sub).toBe(sub);
    const plain = await writ(['bundle', '--txn', txn]);
    expect([plain.code, plain.lines.join('\n')]).toEqual([0, expect.not.stringContaining('alice')]);
    expect((await verify('plain', plain.lines)).lines.join('\n')).not.toContain('alice');

    const opened = await writ(['bundle', '--txn', txn, '--openings']);
    expect(opened.code).toBe(0);
    expect(JSON.parse(opened.lines.at(-2) ?? '')).toEqual({
      openings: { [sub]: { issuer: COMPANY, subject: 'alice', salt: expect.any(String) } },
    });
    const proved = await verify('opened', opened.lines);
    expect([proved.code, proved.lines[0], proved.lines]).toEqual([
      0,
      `PROVED: entries of transaction ${txn}`,
      expect.arrayContaining([named, 'that these are all the entries of the transaction is not proved']),
    ]);
    const forged = opened.lines.map((line) => line.replace('"subject":"alice"', '"subject":"mallory"'));
    const refused = await verify('forged', forged);
    expect([refused.code, refused.lines[1]]).toEqual([1, expect.stringMatching(/^ {2}opening_wrong \(line \d+\): /)]);
    await until(async () => (await ask('/events?kind=access')).text.includes('"openings":"true"'));

    expect((await world.admin('DELETE', `/persons/${sub}`)).status).toBe(200);
    const closed = await writ(['bundle', '--txn', txn, '--openings']);
    expect([closed.code, closed.lines.at(-2)]).toEqual([0, '{"openings":{}}']);
    expect((await verify('closed', closed.lines)).lines[0]).toBe(`PROVED: entries of transaction ${txn}`);
    expect((await verify('opened again', opened.lines)).lines).toEqual(proved.lines);
  });

  it('answers by place and by time, and refuses what is no time', async () => {
    expect((await writ(['bundle', '--from', '0', '--to', '2'])).lines).toHaveLength(5);
    const byTime = await writ(['bundle', '--since', '2020-01-01T00:00:00Z', '--until', '2020-01-02T00:00:00Z']);
    expect([byTime.code, byTime.lines.at(-1)]).toEqual([0, '{"end":true,"entries":0}']);
    expect(await writ(['bundle', '--since', 'yesterday'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('yesterday is no time such as'),
    });
    expect(await writ(['bundle'])).toMatchObject({ code: 1, lines: [] });
    expect((await ask('/bundle?from=0&to=1&openings=yes')).status).toBe(400);
  });
});

describe('writ audit export', () => {
  const indexOf = (line: string): number => (JSON.parse(line) as { index: number }).index;

  it('prints every record from a place on, one a line', async () => {
    const { code, lines } = await writ(['export', '--after', '2']);
    expect([code, lines.map(indexOf)]).toEqual([0, lines.map((_line, n) => n + 3)]);
    expect(lines.length).toBeGreaterThan(5);
    const { lines: some } = await writ(['export', '--format', 'ocsf', '--txn', txn, '--kind', 'exchange']);
    expect(some.map((line) => JSON.parse(line) as unknown)).toEqual([
      expect.objectContaining({ class_uid: 6003, metadata: expect.objectContaining({ correlation_uid: txn }) }),
    ]);
  });

  it.each(['jsonl', 'ocsf'])('follows the log, and not its own looks at it (%s)', async (format) => {
    const before = (await writ(['export', '--kind', 'exchange'])).lines.length;
    const following = writ(['export', '--format', format, '--kind', 'exchange', '--follow'], before + 2);
    await pause(1_500);
    await world.exchange();
    await world.exchange();
    expect((await following).lines).toHaveLength(before + 2);
    const { lines } = await writ(['export', '--format', format, '--follow', '--after', '2'], 3);
    expect(lines.join('\n')).not.toContain('"what":"export"');
  });
});
