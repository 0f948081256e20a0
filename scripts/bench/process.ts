import { spawn, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';

/** What is measured runs alone on one core; the load, and PostgreSQL with it, on another. */
export const CORES = { server: '0', load: '1' } as const;

/** Whether this machine lets us choose cores: without taskset, or with one core, the figures say less. */
export const canPin = availableParallelism() > 1 && spawnSync('taskset', ['-p', '1']).status === 0;

export function pin(pid: number, core: string): void {
  if (canPin) spawnSync('taskset', ['-a', '-c', '-p', core, String(pid)]);
}

/** A child of ours: its output, its cost so far, its end. */
export type Child = Readonly<{
  pid: number;
  cpuSeconds(): number;
  rssMb(): number;
  /** Resolves when it has ended by itself or by our signal, with what it printed. */
  ended: Promise<string>;
  /** The end of what it said on stderr. */
  complaint(): string;
  stop(): Promise<void>;
}>;

export type Start = Readonly<{
  script: string;
  args?: readonly string[];
  env?: Readonly<Record<string, string>>;
  core?: string;
  nodeOptions?: readonly string[];
  /** Text that it prints when it is ready; without it, it is not waited for. */
  ready?: RegExp;
}>;

/** Starts a Node.js process on its core, with an environment of its own, and waits until it says that it is ready. */
export async function start({
  script,
  args = [],
  env = {},
  core = CORES.server,
  nodeOptions = [],
  ready,
}: Start): Promise<Child> {
  const command = [process.execPath, ...nodeOptions, script, ...args];
  const pinned = canPin ? ['taskset', '-c', core, ...command] : command;
  const [program = '', ...rest] = pinned;
  const child = spawn(program, rest, {
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [out, err, isReady] = ['', '', false];
  child.stderr.on('data', (chunk: Buffer) => (err = (err + chunk.toString('utf8')).slice(-4_000)));
  const ended = new Promise<string>((resolve) => {
    child.on('exit', () => {
      resolve(out);
    });
  });
  const stop = async (): Promise<void> => {
    if (child.exitCode === null) child.kill('SIGINT');
    await ended;
  };
  await new Promise<void>((resolve, reject) => {
    child.stdout.on('data', (chunk: Buffer) => {
      if (isReady) return;
      out += chunk.toString('utf8');
      isReady = ready?.test(out) === true;
      if (isReady) resolve();
    });
    child.on('exit', () => {
      reject(new Error(`${script} ended before it was ready: ${err}`));
    });
    if (ready === undefined) resolve();
  });
  const pid = child.pid ?? 0;
  stopAtExit.add(() => child.kill('SIGKILL'));
  return { pid, cpuSeconds: () => cpuSeconds(pid), rssMb: () => rssMb(pid), ended, complaint: () => err, stop };
}

/** Whatever happens to this run, nothing that it started stays. */
const stopAtExit = new Set<() => unknown>();
process.on('exit', () => {
  for (const stop of stopAtExit) stop();
});

/** User and system time of a process so far (proc(5): fields 14 and 15, in hundredths of a second). */
export function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** The same of all processes whose parent this is, and those that have ended: PostgreSQL has one for each connection. */
export function cpuSecondsOfChildren(parent: number): number {
  let sum = cpuSecondsOfTheEnded(parent);
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const fields = readFileSync(`/proc/${name}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
      if (Number(fields[1]) === parent) sum += (Number(fields[11]) + Number(fields[12])) / 100;
    } catch {
      // it ended meanwhile
    }
  }
  return sum;
}

/** Fields 16 and 17: what children that a process has waited for have spent. */
function cpuSecondsOfTheEnded(parent: number): number {
  const fields = readFileSync(`/proc/${parent}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[13]) + Number(fields[14])) / 100;
}

const rssMb = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1_024;

/** A compiled script beside this one. */
export const beside = (name: string): string => fileURLToPath(new URL(`./${name}.js`, import.meta.url));

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
