import { Fault } from '../base/index.js';

export type Following = Readonly<{
  everyMs: number;
  /** Told of what is thrown, once until a step succeeds again, and never of the database being down: others say that. */
  report: (thrown: unknown) => void;
  /** Told each time that there is nothing left to do for now. */
  onThrough?: () => void;
}>;

/** Takes step after step while there is more to do, and then looks again after a while. Answers how to stop. */
export function follow(
  step: () => Promise<'more' | 'done'>,
  { everyMs, report, onThrough }: Following,
): () => Promise<void> {
  let [isStopped, isReported] = [false, false];
  let timer: NodeJS.Timeout | undefined;
  let running = Promise.resolve();
  const run = async (): Promise<void> => {
    try {
      while (!isStopped && (await step()) === 'more');
      isReported = false;
      onThrough?.();
    } catch (thrown) {
      const isDown = thrown instanceof Fault && thrown.code === 'database_unavailable';
      if (!isDown && !isReported) report(thrown);
      isReported = !isDown;
    }
    if (!isStopped) timer = setTimeout(begin, everyMs).unref();
  };
  const begin = (): void => {
    running = run();
  };
  timer = setTimeout(begin, everyMs).unref();
  return async () => {
    isStopped = true;
    clearTimeout(timer);
    await running;
  };
}
