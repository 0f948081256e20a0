import { Fault } from './base/index.js';

/**
 * Does the work again and again, never twice at once; what it returns stops it and resolves when nothing of it runs any
 * more. An outage of the database is told by every request, so here it is only waited out.
 */
export function every(ms: number, work: () => Promise<void>, report: (thrown: unknown) => void): () => Promise<void> {
  let running = Promise.resolve();
  let stopped = false;
  let timer: NodeJS.Timeout;
  const again = (): void => {
    timer = setTimeout(() => {
      running = work()
        .catch((thrown: unknown) => {
          if (!isOutage(thrown)) report(thrown);
        })
        .then(() => {
          if (!stopped) again();
        });
    }, ms);
    timer.unref();
  };
  again();
  return () => {
    stopped = true;
    clearTimeout(timer);
    return running;
  };
}

type Parts = Readonly<Record<string, () => Promise<void>>>;

/**
 * One round of work in parts, one after the other: what fails stops none of the others, and is reported by its name. Where
 * all of them find no database it is an outage. Where only some do, they ask more of it than it does in its time.
 */
export const inParts =
  (parts: Parts, report: (thrown: unknown) => void): (() => Promise<void>) =>
  async () => {
    const failed: [name: string, thrown: unknown][] = [];
    for (const [name, work] of Object.entries(parts)) {
      await work().catch((thrown: unknown) => failed.push([name, thrown]));
    }
    if (failed.length === Object.keys(parts).length && failed.every(([, thrown]) => isOutage(thrown))) return;
    for (const [name, cause] of failed) report(failureOf(name, cause));
  };

export const isOutage = (thrown: unknown): boolean => thrown instanceof Fault && thrown.code === 'database_unavailable';

const failureOf = (name: string, cause: unknown): Fault =>
  cause instanceof Fault
    ? new Fault(cause.code, `${name}: ${cause.message}`, { cause })
    : new Fault('internal', `${name} failed`, { cause });
