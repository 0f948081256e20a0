/** Whole seconds since 1970 (RFC 7519 NumericDate). */
export type Seconds = number;

/** Where time comes from. A request asks once and passes its `now` on. */
export interface Clock {
  now(): Seconds;
}

/** The machine's clock. */
export const systemClock: Clock = { now: () => Math.floor(Date.now() / 1000) };
