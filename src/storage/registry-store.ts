import type { RegistryReader, RegistrySnapshot, RegistryWriter } from '../registry/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';
import { readChanges, readRegistry, readVersion } from './registry-rows.js';
import { CHANGED, type RegistryWriting, writeRegistry } from './registry-writes.js';
import { numberDerived } from './revocations.js';

/** The registry of this process: a snapshot in memory over the rows in the database. */
export type RegistryStore = RegistryReader & RegistryWriter & Readonly<{ watch(everyMs?: number): () => void }>;

/** Reads the registry once, so that there is a snapshot from the start. */
export async function openRegistry({ prisma, rows }: Database, writing: RegistryWriting): Promise<RegistryStore> {
  let current = await readRegistry(rows);
  let running: Promise<unknown> | undefined;
  let next: Promise<RegistrySnapshot> | undefined;

  const readNewer = async (): Promise<RegistrySnapshot> => {
    if ((await readVersion(rows)) === current.version) return current;
    const read = (await readChanges(rows, current)) ?? (await readRegistry(rows));
    if (read.version > current.version) current = read;
    return current;
  };

  /** Who asks while a read is under way may know of something newer than it will see, and shares the one after it. */
  const refresh = (): Promise<RegistrySnapshot> => {
    next ??= settled(running).then(() => {
      next = undefined;
      const read = readNewer();
      running = read;
      return read;
    });
    return next;
  };

  return {
    current: () => current,
    refresh,
    write: async (changes, by, basis) => {
      const { version, cutOff } = await guarded(() => writeRegistry(prisma, writing, changes, { by, basis }));
      // The change is made: a failed read now is made good by the next one.
      await settled(refresh());
      await guarded(() => numberDerived(prisma, cutOff, { by, reason: CHANGED }));
      return version;
    },
    watch: (everyMs = 1_000) => every(everyMs, refresh),
  };
}

/** During an outage the old snapshot stays: no commit obeys it, because none is possible. */
const settled = async (work: Promise<unknown> | undefined): Promise<void> => {
  await Promise.allSettled([work]);
};

function every(intervalMs: number, work: () => Promise<unknown>): () => void {
  const timer = setInterval(() => void settled(work()), intervalMs);
  timer.unref();
  return () => {
    clearInterval(timer);
  };
}
