import type { Clock, Seconds } from '../../base/index.js';
import { VerifierError } from './errors.js';

/**
 * Counts how often a name was taken. For several replicas give all of them one that is shared and atomic (an increment
 * that expires): the one in memory knows its own process only.
 */
export interface OnceStore {
  /** True for the first `limit` takes of `name`, false after that, until `until` has passed. */
  take(name: string, limit: number, until: Seconds): boolean | Promise<boolean>;
}

/** In memory and bounded. A full store refuses rather than forgets: forgetting would be a replay. */
export function memoryOnceStore(clock: Clock, capacity = 100_000): OnceStore {
  const taken = new Map<string, { count: number; until: Seconds }>();
  let swept: Seconds = 0;
  return {
    take(name, limit, until) {
      const now = clock.now();
      const known = taken.get(name);
      if (known && known.until >= now) return ++known.count <= limit;
      if (taken.size >= capacity && swept !== now) forgetExpired(taken, (swept = now));
      if (taken.size >= capacity) throw new VerifierError('replay_store_unavailable');
      taken.set(name, { count: 1, until });
      return limit > 0;
    },
  };
}

function forgetExpired(taken: Map<string, { until: Seconds }>, now: Seconds): void {
  for (const [name, { until }] of taken) {
    if (until < now) taken.delete(name);
  }
}

/** A store that fails is an outage, and an outage is no permission. */
export async function takeOnce(store: OnceStore, name: string, limit: number, until: Seconds): Promise<boolean> {
  try {
    return await store.take(name, limit, until);
  } catch (cause) {
    throw cause instanceof VerifierError ? cause : new VerifierError('replay_store_unavailable', { cause });
  }
}
