import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tryLock } from 'fs-native-extensions';
import { z } from 'zod';
import { Fault } from '../base/index.js';

/** Frees the data directory for the next process. */
export type Release = () => void;

/**
 * Holds a data directory for this process alone. Two processes on one embedded database lose each other's rows, so a
 * second one is refused. The operating system frees the lock however the holder ends; the files that stay mean nothing.
 */
export function holdDataDirectory(dataDir: string): Release {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const lockFile = openSync(join(dataDir, 'writ.lock'), 'a+', 0o600);
  if (!tryLock(lockFile)) {
    closeSync(lockFile);
    throw new Fault('data_directory_in_use', inUse(dataDir));
  }
  writeFileSync(holderFile(dataDir), JSON.stringify(thisProcess()), { mode: 0o600 });
  return () => {
    closeSync(lockFile);
  };
}

const holderFile = (dataDir: string): string => join(dataDir, 'writ.holder.json');

const Holder = z.object({ pid: z.number().int(), started_at: z.string().max(64) });
type Holder = z.infer<typeof Holder>;

const thisProcess = (): Holder => ({
  pid: process.pid,
  started_at: new Date(performance.timeOrigin).toISOString(),
});

function inUse(dataDir: string): string {
  return `The data directory ${dataDir} is in use by ${holder(dataDir)}. Stop that process, or give this one its own directory (WRIT_DATA_DIR) or a PostgreSQL server (DATABASE_URL).`;
}

function holder(dataDir: string): string {
  try {
    const { pid, started_at } = Holder.parse(JSON.parse(readFileSync(holderFile(dataDir), 'utf8')));
    return `process ${pid}, started at ${started_at}`;
  } catch {
    // Between locking and writing its name, a holder has none.
    return 'another process';
  }
}
