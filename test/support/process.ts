import { type ChildProcess, spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { close, listen } from './company.js';
import type { Compiled } from './compiled.js';

/** A process of Writ's own, as operators run it. */
export type WritProcess = Readonly<{
  child: ChildProcess;
  out(): string;
  err(): string;
  /** Its exit code and after how many milliseconds from now. */
  exited(): Promise<Readonly<{ code: number | null; ms: number }>>;
}>;

export async function spawnWrit(
  { directory }: Compiled,
  env: Readonly<Record<string, string | undefined>>,
): Promise<WritProcess> {
  const child = spawn(process.execPath, [join(directory, 'src', 'main.js')], {
    env: { PATH: process.env['PATH'], NODE_NO_WARNINGS: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  for (let waited = 0; !out.includes('Writ serves'); waited += 20) {
    if (child.exitCode !== null || waited > 60_000) throw new Error(`Writ did not start: ${out}${err}`);
    await pause(20);
  }
  return {
    child,
    out: () => out,
    err: () => err,
    exited: async () => {
      const began = performance.now();
      const code = await ended;
      return { code, ms: performance.now() - began };
    },
  };
}

/** Takes what an OpenTelemetry collector takes, and keeps it as it came. */
export async function startCollector(): Promise<
  Readonly<{ url: string; bodies: readonly string[]; close(): Promise<void> }>
> {
  const bodies: string[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => (body += text));
    request.on('end', () => {
      bodies.push(body);
      response.setHeader('content-type', 'application/json').end('{}');
    });
  });
  return { url: await listen(server), bodies, close: () => close(server) };
}
