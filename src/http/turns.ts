import type { RequestListener } from 'node:http';

/** As many requests as one turn of the event loop begins. */
const PER_TURN = 16;

/**
 * Begins requests in the order of their arrival, a few in each turn of the event loop, so that in a rush new connections
 * are accepted and finished work is answered between them. Says nothing of how many may wait.
 */
export function inTurns(handle: RequestListener, perTurn: number = PER_TURN): RequestListener {
  const waiting: Parameters<RequestListener>[] = [];
  const turn = (): void => {
    for (const [request, response] of waiting.splice(0, perTurn)) handle(request, response);
    if (waiting.length > 0) setImmediate(turn);
  };
  return (request, response) => {
    if (waiting.push([request, response]) === 1) setImmediate(turn);
  };
}
