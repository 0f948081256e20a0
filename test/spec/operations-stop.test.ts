import { Agent, request as httpRequest } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Compiled, compileSource } from '../support/compiled.js';
import { spawnWrit, type WritProcess } from '../support/process.js';
import { startWorld, type World } from '../support/world.js';
import { ADMIN_TOKEN, encodeForm } from '../support/writ.js';

describe('a process that is told to stop', () => {
  let compiled: Compiled;
  let world: World;
  const started: WritProcess[] = [];

  beforeAll(async () => {
    compiled = compileSource();
    world = await startWorld();
    await world.writ.close();
  });
  afterAll(async () => {
    for (const { child } of started) child.kill('SIGKILL');
    await world.close().catch(() => undefined);
    compiled.remove();
  });

  const start = async (env: Record<string, string> = {}): Promise<WritProcess> => {
    const writ = await spawnWrit(compiled, {
      WRIT_ISSUER: world.issuer,
      WRIT_TRUST_DOMAIN: 'trust.example',
      WRIT_ADMIN_TOKEN: ADMIN_TOKEN,
      WRIT_DATA_DIR: world.config.dataDir,
      DATABASE_URL: world.config.databaseUrl,
      ...env,
    });
    started.push(writ);
    return writ;
  };

  type Ended = Readonly<{ status: number; connection: string | undefined } | { failed: string; wasTaken: boolean }>;

  /** One exchange over kept connections. What fails on a connection that was answered before, or in an answer, was cut. */
  const exchange = async (agent: Agent): Promise<Ended> => {
    const body = encodeForm(await world.form()).toString();
    return new Promise((resolve) => {
      const sent = httpRequest(`${world.issuer}/token`, {
        method: 'POST',
        agent,
        headers: { 'content-type': 'application/x-www-form-urlencoded', 'content-length': body.length },
      });
      sent.on('response', (response) => {
        response.resume().on('end', () => {
          resolve({ status: response.statusCode ?? 0, connection: response.headers.connection });
        });
        response.on('error', ({ message }) => {
          resolve({ failed: message, wasTaken: true });
        });
      });
      sent.on('error', ({ message }) => {
        resolve({ failed: message, wasTaken: sent.reusedSocket });
      });
      sent.end(body);
    });
  };

  it('says so, answers every request that it took, and exits 0', async () => {
    const writ = await start({ WRIT_LOG_LEVEL: 'trace' });
    const ended: Ended[] = [];
    const client = async (): Promise<void> => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      for (;;) {
        const one = await exchange(agent);
        ended.push(one);
        if ('failed' in one) break;
      }
      agent.destroy();
    };
    const clients = [client(), client(), client(), client()];
    while (ended.length <= 4) await pause(20);
    writ.child.kill('SIGTERM');
    await pause(300);
    const ready = await fetch(`${world.issuer}/readyz`);
    expect([ready.status, await ready.json()]).toEqual([503, { status: 'not_ready', reasons: ['stopping'] }]);
    const { code, ms } = await writ.exited();
    await Promise.all(clients);
    expect(ended.filter((one) => 'status' in one && one.status !== 200)).toEqual([]);
    expect(ended.filter((one) => 'failed' in one && one.wasTaken)).toEqual([]);
    expect(ended.filter((one) => 'failed' in one)).toHaveLength(4);
    expect(ended.filter((one) => 'status' in one && one.connection === 'close').length).toBeGreaterThan(0);
    const count = (message: string): number => writ.out().split(`"message":"${message}"`).length - 1;
    expect(count('request began')).toBe(count('request'));
    expect(count('request')).toBeGreaterThanOrEqual(ended.length - 4);
    expect(writ.out()).not.toContain('"cut":true');
    expect(code).toBe(0);
    expect(ms).toBeLessThan(15_000);
    expect(writ.out()).toMatch(/"message":"Writ has stopped"}\n$/);
  });

  it('finishes a request whose body is still under way', async () => {
    const writ = await start({ WRIT_STOP_DELAY_SECONDS: '0' });
    const body = encodeForm(await world.form()).toString();
    const answered = new Promise<number>((resolve, reject) => {
      const sent = httpRequest(`${world.issuer}/token`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded', 'content-length': body.length },
      });
      sent.on('response', (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      });
      sent.on('error', reject);
      sent.write(body.slice(0, 100));
      setTimeout(() => writ.child.kill('SIGTERM'), 200);
      setTimeout(() => sent.end(body.slice(100)), 800);
    });
    expect(await answered).toBe(200);
    const { code, ms } = await writ.exited();
    expect(code).toBe(0);
    expect(ms).toBeLessThan(3_000);
  });

  it('ends at once at the second signal', async () => {
    const writ = await start({ WRIT_STOP_DELAY_SECONDS: '4' });
    writ.child.kill('SIGTERM');
    await pause(200);
    writ.child.kill('SIGTERM');
    const { code, ms } = await writ.exited();
    expect(code).toBe(1);
    expect(ms).toBeLessThan(1_000);
  });

  it('says on standard error why it does not start', async () => {
    const other = await start();
    await expect(start({ WRIT_ISSUER: world.issuer, WRIT_LOG_LEVEL: 'silent' })).rejects.toThrow(
      /"level":"error","code":"(internal|data_directory_in_use)".*"message":"Writ does not start"/,
    );
    other.child.kill('SIGTERM');
    await other.exited();
  });
});
