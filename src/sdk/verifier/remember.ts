import type { Clock, Seconds } from '../../base/index.js';

/** Something fetched and kept for a while. */
export interface Remembered<T> {
  /** What is held, fetched when it is missing or old. */
  get(): Promise<T>;
  /** What is held, however old. */
  held(): T | undefined;
  /** What was fetched longer ago than this is held no more, so that the next who asks has it fetched. */
  forget(age: Seconds): void;
  /** Fetched anew, but at most once per cooldown: in between it gives what {@link get} gives. */
  renew(): Promise<T>;
}

/** Seconds. While fetching fails, what is held serves on until `stale`. */
export type Ages = Readonly<{ fresh: Seconds; stale: Seconds; cooldown: Seconds }>;

type State<T> = {
  held: { value: T; at: Seconds } | undefined;
  failed: { at: Seconds; cause: unknown } | undefined;
  flight: Promise<T> | undefined;
};

/** One fetch in flight at a time, whoever asks. */
export function remember<T>(
  load: () => Promise<T>,
  clock: Clock,
  agesOf: (held: T | undefined) => Ages,
): Remembered<T> {
  const state: State<T> = { held: undefined, failed: undefined, flight: undefined };
  const attempt = (): Promise<T> => (state.flight ??= fly(state, load, clock));
  const ages = (): Ages => agesOf(state.held?.value);
  const heldWithin = (age: Seconds): { value: T } | undefined =>
    state.held && isWithin(clock, state.held.at, age) ? state.held : undefined;
  const recentFailure = (pause: Seconds): { cause: unknown } | undefined =>
    state.failed && isWithin(clock, state.failed.at, pause) ? state.failed : undefined;

  async function get(): Promise<T> {
    const fresh = heldWithin(ages().fresh);
    if (fresh) return fresh.value;
    const spare = heldWithin(ages().stale);
    const failure = recentFailure(spare ? ages().cooldown : 1);
    if (failure && state.flight === undefined) return spareOr(spare, failure.cause);
    try {
      return await attempt();
    } catch (cause) {
      return spareOr(spare, cause);
    }
  }

  async function renew(): Promise<T> {
    const failure = recentFailure(ages().cooldown);
    if (state.flight) return state.flight;
    if (failure) throw toError(failure.cause);
    const recent = heldWithin(ages().cooldown);
    return recent ? recent.value : attempt();
  }
  return {
    get,
    renew,
    held: () => state.held?.value,
    forget: (age) => {
      if (heldWithin(age) === undefined) state.held = undefined;
    },
  };
}

async function fly<T>(state: State<T>, load: () => Promise<T>, clock: Clock): Promise<T> {
  try {
    const value = await load();
    state.held = { value, at: clock.now() };
    state.failed = undefined;
    return value;
  } catch (cause) {
    state.failed = { at: clock.now(), cause };
    throw cause;
  } finally {
    state.flight = undefined;
  }
}

/** A clock that was set back makes everything old rather than young for ever. */
function isWithin(clock: Clock, at: Seconds, age: Seconds): boolean {
  const passed = clock.now() - at;
  return passed >= 0 && passed < age;
}

function spareOr<T>(spare: { value: T } | undefined, cause: unknown): T {
  if (spare) return spare.value;
  throw toError(cause);
}

const toError = (cause: unknown): Error => (cause instanceof Error ? cause : new Error('failed', { cause }));
