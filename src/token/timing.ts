import type { Seconds } from '../base/index.js';

/** What decides how long keys overlap (STANDARDS 10.8). */
export type KeyTiming = Readonly<{
  /** How long others may cache the published keys. */
  cache: Seconds;
  /** The longest life of anything that is signed. */
  longestToken: Seconds;
  /** How wrong the clocks of others may be. */
  skew: Seconds;
}>;

/**
 * INVARIANT: no replica publishes or signs by what it read longer ago than this. So a key that is stored is published
 * everywhere within this time, and one that retired signs nowhere after it.
 */
export const KNOWN_WITHIN: Seconds = 10;

/** From publication to the first signature: every cache has been renewed meanwhile. */
export const leadOf = ({ cache }: KeyTiming): Seconds => cache + KNOWN_WITHIN;

/** From the last signature to the end of publication: everything signed has expired, everywhere. */
export const overlapOf = ({ cache, longestToken, skew }: KeyTiming): Seconds =>
  longestToken + cache + skew + KNOWN_WITHIN;
