import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { close, listen } from '../demo/company.js';
import type { Closing } from './closing.js';
import { Line } from './line.js';

/** The server as it is built: beside this script. */
const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));
const READY_WITHIN_MS = 120_000;

/** A server process of a drill, which may be killed and started again. */
export class ServerProcess {
  readonly address: string;
  /** The connections of the drill to this process; they end with it. */
  line: Line;
  readonly #env: Readonly<Record<string, string>>;
  #child: ChildProcess | undefined;
  #said = '';

  constructor(port: number, env: Readonly<Record<string, string>>, closing: Closing) {
    this.address = `http://127.0.0.1:${port}`;
    this.line = new Line(this.address);
    this.#env = { ...env, WRIT_PORT: String(port) };
    closing.add(
      () => this.stop(),
      () => this.#child?.kill('SIGKILL'),
    );
  }

  /** Starts it and answers when it was ready: milliseconds by the clock, and of processor time. */
  async start(): Promise<Readonly<{ ms: number; cpuMs: number }>> {
    const began = performance.now();
    const child = spawn(process.execPath, [MAIN], {
      env: { PATH: process.env['PATH'], NODE_NO_WARNINGS: '1', WRIT_LOG_LEVEL: 'error', ...this.#env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        this.#said = (this.#said + chunk.toString('utf8')).slice(-16_000);
      });
    this.#child = child;
    while (!(await this.isReady())) {
      if (child.exitCode !== null || performance.now() - began > READY_WITHIN_MS)
        throw new Error(`the server did not become ready: ${this.#said}`);
      await pause(10);
    }
    return { ms: performance.now() - began, cpuMs: cpuOf(child.pid) };
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** What `/readyz` says, which must not take longer than a second. */
  async isReady(): Promise<boolean> {
    try {
      const { status, body } = await fetch(`${this.address}/readyz`, { signal: AbortSignal.timeout(1_000) });
      await body?.cancel();
      return status === 200;
    } catch {
      return false;
    }
  }

  /** What it has used of the processor, and holds of memory now. */
  usage(): Readonly<{ cpuMs: number; rssMb: number }> {
    return { cpuMs: cpuOf(this.#child?.pid), rssMb: rssOf(this.#child?.pid) };
  }

  /** The last that it told its operator of something that it does not take for an outage. */
  get lastBug(): string | undefined {
    return this.#said
      .split('\n')
      .filter((line) => line.includes('"internal"'))
      .at(-1);
  }

  /** The last of what it told its operator. */
  get said(): string {
    return this.#said;
  }

  /** As a crash ends it: nothing is finished. */
  kill(): Promise<void> {
    return this.#end('SIGKILL');
  }

  stop(): Promise<void> {
    return this.#end('SIGTERM');
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child?.exitCode === null && child.signalCode === null) {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill(signal);
      await gone;
    }
    this.line.close();
    this.line = new Line(this.address);
  }
}

/** proc(5): the 14th and 15th field are its ticks of 10 ms; the second, its name, is in brackets. */
function cpuOf(pid: number | undefined): number {
  const fields = readFileSync(`/proc/${pid ?? 0}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** proc(5): the second field of statm is what is resident, in pages of 4 KiB. */
const rssOf = (pid: number | undefined): number =>
  (Number(readFileSync(`/proc/${pid ?? 0}/statm`, 'utf8').split(' ')[1]) * 4_096) / 1_048_576;

/** Ports that were free a moment ago, held open together until all are known. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports: number[] = [];
  for (const server of servers) ports.push(Number(new URL(await listen(server)).port));
  await Promise.all(servers.map(close));
  return ports;
}
