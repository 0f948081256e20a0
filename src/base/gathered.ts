/**
 * Work for many that is done for all who wait by then at once, and never twice at a time: who asks while it is under way is
 * served by the run after it, which begins when that one is over, however it ended.
 */
export function gathered<T>(work: (items: readonly T[]) => Promise<void>): (item: T) => Promise<void> {
  let running: Promise<unknown> = Promise.resolve();
  let next: Readonly<{ items: T[]; done: Promise<void> }> | undefined;
  return (item) => {
    if (next !== undefined) {
      next.items.push(item);
      return next.done;
    }
    const items = [item];
    const done = running.then(() => {
      next = undefined;
      return work(items);
    });
    running = done.catch(() => undefined);
    next = { items, done };
    return done;
  };
}
