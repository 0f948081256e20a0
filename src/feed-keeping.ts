import { Fault } from './base/index.js';
import type { Feed } from './signals/index.js';
import { sleeper } from './sleeper.js';

/** A revocation waits for no longer than this, plus the read itself, before it is on its way to every follower. */
const TICK_MS = 100;

/**
 * Sends the feed until it is closed, and ends every stream then. What fails is tried again at the next tick: meanwhile
 * nothing is sent, and whoever follows refuses. Requests tell of an outage of the database, so it is not reported here.
 */
export function keepFeed(feed: Feed, report: (thrown: unknown) => void): () => Promise<void> {
  const sleep = sleeper();
  let hasFailed = false;
  const turn = async (): Promise<number> => {
    try {
      const hasMore = await feed.step();
      hasFailed = false;
      return hasMore ? 0 : TICK_MS;
    } catch (thrown) {
      if (!hasFailed && !(thrown instanceof Fault && thrown.code === 'database_unavailable')) report(thrown);
      hasFailed = true;
      return TICK_MS;
    }
  };
  const running = (async () => {
    while (!sleep.isOver()) await sleep.until(await turn());
  })();
  return async () => {
    sleep.end();
    await running;
    feed.end();
  };
}
