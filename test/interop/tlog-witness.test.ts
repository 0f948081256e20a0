import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from '@jest/globals';
import { parseVerifierKey, verifyLog } from '../../src/sdk/auditor/index.js';
import { startWorld, type World } from '../support/world.js';
import { freePort, request } from '../support/writ.js';

const GO = process.env['WRIT_TEST_GO'] ?? 'go';
const LITEWITNESS = 'filippo.io/torchwood/cmd/litewitness';
const AUDIT_TOKEN = randomBytes(32).toString('hex');
const folder = mkdtempSync(join(tmpdir(), 'writ-witness-'));
const running: ChildProcess[] = [];
afterAll(() => {
  for (const child of running) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

/** The witness and the client of torchwood, of the versions in go.mod. `undefined`: it was built. */
function build(): string | undefined {
  const { status, error, stderr } = spawnSync(GO, ['build', '-o', folder, './client', './witness', LITEWITNESS], {
    cwd: 'test/interop/go',
    encoding: 'utf8',
    timeout: 280_000,
    env: { ...process.env, GOTOOLCHAIN: 'local' },
  });
  return status === 0 ? undefined : (error?.message ?? stderr.trim().split('\n', 1)[0] ?? 'it was not built');
}

/** Starts a program; answers the first match of what it prints. */
async function started(name: string, args: readonly string[], wanted: RegExp): Promise<string> {
  const child = spawn(join(folder, name), args, { cwd: folder, stdio: ['pipe', 'pipe', 'pipe'] });
  running.push(child);
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (said += text));
  for (let waited = 0; ; waited += 50) {
    const found = wanted.exec(said)?.[1];
    if (found !== undefined) return found;
    if (child.exitCode !== null || waited > 20_000) throw new Error(`${name}: ${said}`);
    await pause(50);
  }
}

/** Not in the way of the server, which runs in this process. */
const program = (name: string, ...args: string[]) =>
  promisify(execFile)(join(folder, name), args, { cwd: folder, timeout: 60_000 });

async function eventually<T>(ask: () => Promise<T>, isThere: (answer: T) => boolean): Promise<T> {
  for (let waited = 0; ; waited += 100) {
    const answer = await ask();
    if (isThere(answer) || waited > 30_000) return answer;
    await pause(100);
  }
}

const missing = build();

if (missing === undefined) {
  describe('litewitness, and the client of torchwood', () => {
    it('cosign what grows, and read and prove all of it: checkpoint, tiles, entries and proofs', async () => {
      const fingerprint = await started('witness', ['agent', 'agent.sock'], /^(SHA256:\S+)/);
      const listen = `127.0.0.1:${await freePort()}`;
      const place = ['-name', 'witness.example/w1', '-listen', listen, '-db', 'logs.db', '-ssh-agent', 'agent.sock'];
      const witness = await started('litewitness', [...place, '-key', fingerprint], /vkey="?(\S+?)"?\n[^]*listening/);
      const world: World = await startWorld({
        env: { WRIT_AUDIT_TOKEN: AUDIT_TOKEN, WRIT_LOG_WITNESSES: `http://${listen} ${witness}` },
      });
      try {
        const log = `${world.issuer}/audit/v1`;
        const { keys } = (await request(`${log}/keys`, {})).body as { keys: { vkey: string }[] };
        const vkey = keys[0]?.vkey ?? '';
        await program('witness', 'add', 'logs.db', `${new URL(world.issuer).host}/audit`, vkey);

        const checkpoint = async (): Promise<string> => (await request(`${log}/checkpoint`, {})).text;
        const sizeIn = (note: string): number => Number(note.split('\n')[1]);
        const cosignedFrom = (size: number) =>
          eventually(checkpoint, (note) => note.includes('witness.example/w1') && sizeIn(note) >= size);
        const exchanges = async (count: number): Promise<void> => {
          const answers = await Promise.all(Array.from({ length: count }, () => world.exchange()));
          expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
        };
        await exchanges(3);
        const first = await cosignedFrom(3);
        // More than one full tile, and by a proof from the one that it has cosigned.
        for (let n = 0; n < 9; n++) await exchanges(30);
        const second = await cosignedFrom(270);
        expect(sizeIn(second)).toBeGreaterThanOrEqual(270);

        const read = await program('client', log, vkey, witness, AUDIT_TOKEN, first);
        expect(read.stderr).toBe('');
        const found = JSON.parse(read.stdout) as { size: number };
        expect(found).toEqual({ entries: found.size, size: sizeIn(second), from: sizeIn(first), witnessed: true });

        const trusted = [vkey, witness].map((text) => {
          const key = parseVerifierKey(text);
          if (!key.ok) throw new Error(key.error);
          return key.value;
        });
        const verdict = await verifyLog(
          {
            hasEntries: true,
            // Reading the log is in the log, so by now there is a newer checkpoint that the witness has not seen.
            earlier: [second],
            read: async (path) => {
              const response = await fetch(`${log}/${path}`, { headers: { authorization: `Bearer ${AUDIT_TOKEN}` } });
              return response.ok ? Buffer.from(await response.arrayBuffer()) : undefined;
            },
          },
          { keys: trusted.slice(0, 1), witnesses: { keys: trusted.slice(1), quorum: 1 }, copies: [first] },
        );
        expect(verdict.problems).toEqual([]);
        expect(verdict.witnessed?.by).toEqual(['witness.example/w1']);
        expect(world.faults.filter((fault) => !String(fault).includes('did not cosign'))).toEqual([]);
      } finally {
        await world.close();
      }
    }, 120_000);
  });
} else {
  process.stderr.write(`Go, or a module of it, was not found, so no witness of others cosigned a log: ${missing}\n`);
  it('is left out where Go cannot build it', () => {
    expect(missing).toBeTruthy();
  });
}
