import { Fault, type Seconds } from '../base/index.js';

/** Our clock and the database's may differ by this many seconds before we stop deciding anything. */
export const MAX_CLOCK_DIFFERENCE: Seconds = 30;

export const clocksDiffer = (): Fault =>
  new Fault('database_unavailable', `the database's clock differs from ours by more than ${MAX_CLOCK_DIFFERENCE} s`);
