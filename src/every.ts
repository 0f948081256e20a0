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
          if (!(thrown instanceof Fault && thrown.code === 'database_unavailable')) report(thrown);
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
