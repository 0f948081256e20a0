import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { databaseKinds } from '../support/databases.js';

const DRILL = 'dist/scripts/drill.js';
const hasServer = databaseKinds.includes('server');

type Outcome = Readonly<{ code: number; result: Readonly<Record<string, unknown>>; said: string }>;

/** As `npm run drill` runs it after the build: in a process of its own, the result on its last line. */
function drill(...args: readonly string[]): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [DRILL, ...args, '--json'], { timeout: 280_000 }, (error, stdout, said) => {
      const last = stdout.trimEnd().split('\n').at(-1) ?? '';
      if (!last.startsWith('{')) reject(new Error(`no result: ${said}`));
      else resolve({ code: error === null ? 0 : 1, result: JSON.parse(last) as Outcome['result'], said });
    });
  });
}

beforeAll(() => {
  if (!existsSync(DRILL)) throw new Error('npm run build comes first');
});

describe.each(hasServer ? ['postgres'] : [])('two server processes on one database (%s)', () => {
  it('let one of two simultaneous uses win, make one of two changes of a session, and let nothing outlive a revocation', async () => {
    const { code, result, said } = await drill('race', '--rounds', '51');
    expect({ code, ...result, said }).toMatchObject({ code: 0, rounds: 51, double_wins: 0, no_winner: 0 });
    const rounds = Object.values(result['things'] as Readonly<Record<string, { rounds: number }>>);
    expect(rounds.map((thing) => thing.rounds)).toEqual(Array.from({ length: 17 }, () => 3));
  }, 300_000);
});

describe.each(hasServer ? ['postgres'] : [])('requests to people at two server processes (%s)', () => {
  it('have one end each, and one token for one approval, whoever answers and fetches at once', async () => {
    const { code, result, said } = await drill('approval', '--rounds', '24');
    expect({ code, ...result, said }).toMatchObject({ code: 0, rounds: 48, double_wins: 0, no_winner: 0 });
  }, 300_000);
});

describe.each(hasServer ? ['postgres', 'embedded'] : ['embedded'])('a server killed at work (%s)', (database) => {
  it('has lost nothing that a client received, and has left nothing half done', async () => {
    const { code, result, said } = await drill('kill', '--rounds', '3', '--database', database);
    expect({ code, ...result, said }).toMatchObject({ code: 0, kills: 3, lost: 0, orphans: 0, found: {} });
    expect(result['acknowledged']).toBeGreaterThan(0);
  }, 300_000);
});

describe.each(hasServer ? ['postgres'] : [])('two servers of which one is killed at work (%s)', () => {
  it('have written one log, whole, and soon up to date', async () => {
    const { code, result, said } = await drill('kill', '--replicas', '2', '--rounds', '3');
    const none = { lost: 0, orphans: 0, forks: 0, unsequenced_after_5s: 0, found: {} };
    expect({ code, ...result, said }).toMatchObject({ code: 0, kills: 3, ...none });
    expect(result['size']).toBeGreaterThan(0);
  }, 300_000);
});

describe.each(hasServer ? ['postgres'] : [])('revocations while one of two servers is killed (%s)', () => {
  it('reach every verifier that follows the feed, whichever server it followed', async () => {
    const { result, said } = await drill('revoke', '--rounds', '1', '--verifiers', '8');
    expect({ ...result, said }).toMatchObject({ kills: 1, revocations: 10, missed: 0, false_refusals: 0 });
    // Of 80: the others ran at verifiers that were blind for longer than they may, on a machine that is busy.
    expect(result['measured']).toBeGreaterThanOrEqual(20);
  }, 300_000);
});

describe.each(hasServer ? ['postgres'] : [])('a log that was changed after it was committed (%s)', () => {
  it('is found out by a copy that is older, however it was changed, and one that was not is proved', async () => {
    const { code, result, said } = await drill('tamper', '--rounds', '50', '--clean', '3', '--seconds', '240');
    expect({ code, ...result, said }).toMatchObject({ code: 0, mutations: 50, detected: 50, false_alarms: 0 });
    // By whoever runs the server: all signatures are right, and only the sessions show it.
    expect(result['found']).toMatchObject({
      record_left_out: {},
      use_or_outcome_left_out: {},
      summary_off_by_one: {},
      session_goes_on: {},
      record_twice: {},
    });
    expect(result['clean_logs']).toBeGreaterThanOrEqual(3);
  }, 300_000);
});

describe.each(hasServer ? ['postgres'] : [])('a database that fails (%s)', () => {
  it('is said to be unavailable, in bounded time, and leaves nothing half done', async () => {
    const { result, said } = await drill('db');
    expect({ ...result, said }).toMatchObject({ faults: 18, partial_effects: 0, wrong_answers: 0, found: {} });
    expect(result['recovery_ms']).toBeLessThanOrEqual(5_000);
  }, 300_000);
});

describe.each(hasServer ? ['postgres'] : [])('a real Cerbos that is killed, stopped and garbled (%s)', () => {
  it('has every call refused while it is down, and decides again when it is back', async () => {
    const { result, said } = await drill('pdp');
    expect({ ...result, said }).toMatchObject({ refused: result['requests'], unexpected: {} });
    expect(result['requests']).toBeGreaterThanOrEqual(1_000);
  }, 300_000);
});

describe.each(hasServer ? ['postgres'] : [])('a flood of bad requests (%s)', () => {
  it('is refused, all of it, and costs less than good requests, which succeed', async () => {
    const { result, said } = await drill('flood', '--seconds', '6');
    expect({ ...result, said }).toMatchObject({ good_failed: 0 });
    const statuses = Object.keys(result['bad_answers'] as object);
    // How many of them a slow machine sends decides whether a network comes to its limit and is no longer listened to.
    expect(statuses.length).toBeGreaterThan(0);
    expect(['400', '401', '429']).toEqual(expect.arrayContaining(statuses));
    const { good, bad } = result['cpu_us'] as Record<string, number>;
    expect(bad).toBeLessThan(good ?? 0);
    expect(result['rss_growth_mb']).toBeLessThanOrEqual(64);
  }, 300_000);
});

describe.each(hasServer ? ['postgres'] : [])('a bad request that is really checked (%s)', () => {
  it('costs less than a good one, of whatever kind it is, and is told what is wrong', async () => {
    const { result, said } = await drill('cost', '--rounds', '600');
    expect({ ...result, said }).toMatchObject({ good_failed: 0, bad_answers: { 400: 1_200, 401: 3_600 } });
    expect(Object.keys(result['bad_answers'] as object)).toEqual(['400', '401']);
    const { good, kinds } = result['cpu_us'] as Readonly<{ good: number; kinds: Readonly<Record<string, number>> }>;
    expect(Object.entries(kinds).filter(([, us]) => us >= good)).toEqual([]);
  }, 300_000);
});
