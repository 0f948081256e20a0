import { BurstyRateLimiter, RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import type { Seconds } from '../base/index.js';

/** How often something may happen under a name; `undefined` is yes, else the seconds to wait. */
export interface Limit {
  take(name: string): Promise<Seconds | undefined>;
}

/** A client's requests: so many a second, and twice as many at once when it was quiet before. Of this process alone. */
export function requestLimit(perSecond: number): Limit {
  const steady = new RateLimiterMemory({ points: perSecond, duration: 1 });
  const burst = new RateLimiterMemory({ keyPrefix: 'burst', points: perSecond, duration: 5 });
  const limiter = new BurstyRateLimiter(steady, burst);
  return { take: async (name) => waitOf(() => limiter.consume(name)) };
}

/** At most so many in a window of so many seconds. Of this process alone. */
export function windowLimit(points: number, duration: Seconds): Limit {
  const limiter = new RateLimiterMemory({ points, duration });
  return { take: async (name) => waitOf(() => limiter.consume(name)) };
}

/** Failures of a network: past the limit everything from there is answered 429 before it is read. */
export interface FailureLimit {
  /** The seconds to wait, or `undefined` while the network may go on. */
  blocked(network: string): Promise<Seconds | undefined>;
  failed(network: string): Promise<void>;
}

const WINDOW: Seconds = 10;

export function failureLimit(perWindow: number): FailureLimit {
  const limiter = new RateLimiterMemory({ points: perWindow, duration: WINDOW });
  return {
    blocked: async (network) => {
      const state = await limiter.get(network);
      return state === null || state.consumedPoints < perWindow ? undefined : secondsOf(state);
    },
    failed: async (network) => {
      await waitOf(() => limiter.consume(network));
    },
  };
}

async function waitOf(consume: () => Promise<unknown>): Promise<Seconds | undefined> {
  try {
    await consume();
    return undefined;
  } catch (refusal) {
    if (refusal instanceof RateLimiterRes) return secondsOf(refusal);
    throw refusal;
  }
}

const secondsOf = ({ msBeforeNext }: RateLimiterRes): Seconds => Math.max(1, Math.ceil(msBeforeNext / 1000));
