import { execFileSync, spawn } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { canPin, CORES, cpuSecondsOfChildren } from './process.js';

/** A PostgreSQL server as it comes: fsync and synchronous_commit on, so that what it acknowledges is on the disk. */
export type DurablePostgres = Readonly<{
  urlOf(database: string): string;
  create(database: string): void;
  sql(database: string, script: string): string;
  cpuSeconds(): number;
  stop(): Promise<void>;
}>;

/** Debian's programs on a directory and socket of their own, without network; undefined where there are none. */
export async function startDurablePostgres(): Promise<DurablePostgres | undefined> {
  const bin = programs();
  if (bin === undefined) return undefined;
  const directory = mkdtempSync(join(tmpdir(), 'writ-bench-'));
  const account = unprivileged();
  if (account) chownSync(directory, account.uid, account.gid);
  const options = { cwd: directory, ...account };
  const data = join(directory, 'data');
  execFileSync(join(bin, 'initdb'), ['-D', data, '-U', 'postgres', '--auth=trust', '-E', 'UTF8', '--locale=C'], {
    ...options,
    stdio: 'ignore',
  });
  const command = [
    join(bin, 'postgres'),
    '-D',
    data,
    '-k',
    directory,
    '-c',
    'listen_addresses=',
    '-c',
    'max_connections=100',
  ];
  const [program = '', ...args] = canPin ? ['taskset', '-c', CORES.load, ...command] : command;
  const server = spawn(program, args, { ...options, stdio: 'ignore' });
  const pid = server.pid ?? 0;
  process.on('exit', () => server.kill('SIGQUIT'));
  await untilReady(join(data, 'postmaster.pid'));
  const psql = (database: string, script: string): string =>
    execFileSync(join(bin, 'psql'), ['-h', directory, '-U', 'postgres', '-v', 'ON_ERROR_STOP=1', '-qAt', database], {
      input: script,
      encoding: 'utf8',
    });
  return {
    urlOf: (database) => `postgresql:///${database}?host=${encodeURIComponent(directory)}&user=postgres`,
    create: (database) => {
      psql('postgres', `CREATE DATABASE ${database}`);
    },
    sql: psql,
    cpuSeconds: () => cpuSecondsOfChildren(pid),
    stop: async () => {
      const ended = new Promise((resolve) => server.once('exit', resolve));
      server.kill('SIGINT');
      await ended;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function programs(): string | undefined {
  const root = '/usr/lib/postgresql';
  const versions = existsSync(root) ? readdirSync(root).sort((a, b) => Number(b) - Number(a)) : [];
  return versions.map((version) => join(root, version, 'bin')).find((bin) => existsSync(join(bin, 'initdb')));
}

/** PostgreSQL refuses to run as root. */
function unprivileged(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const entry = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .find(([name]) => name === 'postgres');
  return { uid: Number(entry?.[2] ?? 65_534), gid: Number(entry?.[3] ?? 65_534) };
}

async function untilReady(file: string): Promise<void> {
  for (let waited = 0; waited < 20_000; waited += 50) {
    if (existsSync(file) && readFileSync(file, 'utf8').split('\n')[7]?.trim() === 'ready') return;
    await pause(50);
  }
  throw new Error('PostgreSQL did not start');
}
