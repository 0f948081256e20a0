/** Runs one piece of work after the other. */
export type InTurn = <T>(work: () => Promise<T>) => Promise<T>;

export function makeTurns(): InTurn {
  let last: Promise<unknown> = Promise.resolve();
  return async (work) => {
    const mine = last.then(work);
    last = mine.catch(() => undefined);
    return mine;
  };
}
