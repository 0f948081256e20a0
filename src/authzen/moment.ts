import type { Seconds } from '../base/index.js';
import type { Caller } from '../client/index.js';
import type { DecisionPoints, Rules } from '../policy/index.js';
import type { FormRequest, JsonObject } from '../protocol/index.js';
import type { Decided } from './decided.js';
import type { AskedPeople } from './ports.js';

/** Who asks, and by what it is decided. */
export type Moment = Readonly<{
  caller: Caller;
  rules: Rules & Readonly<{ points: DecisionPoints | undefined }>;
  people: AskedPeople;
  now: Seconds;
  /** The request that asks. */
  http: Pick<FormRequest, 'requestId' | 'traceId' | 'network'>;
}>;

/** An answer with what the log keeps of the question. */
export type Kept = Decided & Readonly<{ about: JsonObject }>;
