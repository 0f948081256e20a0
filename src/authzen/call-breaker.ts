/** How long a point that is silent is left alone before one question tries it again. */
export const PROBE_EVERY_MS = 500;
/** So many silences in a row open the circuit. */
export const SILENCES = 3;

/** The circuit to one decision point. While `triedAt` is set it is open; times are in milliseconds of one clock. */
export type Breaker = Readonly<{ silences: number; triedAt: number | undefined }>;

export const CLOSED: Breaker = { silences: 0, triedAt: undefined };

export const isOpen = ({ triedAt }: Breaker): boolean => triedAt !== undefined;

/** The circuit with one more question under way; `undefined`: the point is not to be asked now. */
export function admit(breaker: Breaker, now: number): Breaker | undefined {
  if (breaker.triedAt === undefined) return breaker;
  return now - breaker.triedAt < PROBE_EVERY_MS ? undefined : { ...breaker, triedAt: now };
}

/** The circuit once that question was answered, or was not. A late silence of one asked before does not delay the next try. */
export function settle(breaker: Breaker, wasAnswered: boolean, now: number): Breaker {
  if (wasAnswered) return CLOSED;
  const silences = Math.min(breaker.silences + 1, SILENCES);
  return { silences, triedAt: breaker.triedAt ?? (silences < SILENCES ? undefined : now) };
}
