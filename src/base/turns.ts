import { Fault } from './fault.js';

/** Does a piece of work when it is its turn. */
export type InTurn = <T>(work: () => Promise<T>) => Promise<T>;

/**
 * At most `atOnce` pieces of work at a time, the others in the order in which they came. Throws a Fault (`overloaded`, with
 * `problem` as its message) for what comes when `waiting` wait already: it would be done too late to be of use.
 */
export function turns(atOnce: number, { waiting, problem }: Readonly<{ waiting: number; problem: string }>): InTurn {
  const queue: (() => void)[] = [];
  let running = 0;
  return async (work) => {
    if (running < atOnce) running += 1;
    else if (queue.length >= waiting) throw new Fault('overloaded', problem);
    else await new Promise<void>((go) => queue.push(go));
    try {
      return await work();
    } finally {
      // Who ends hands its place to the next in line.
      const next = queue.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  };
}
