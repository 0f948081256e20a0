import type { Call, Frozen, Held } from '../approval/index.js';
import type { Seconds } from '../base/index.js';
import type { Ask } from '../policy/index.js';
import type { JsonObject } from '../protocol/index.js';
import type { AskedCall } from './asked-call.js';
import type { Decided } from './decided.js';

/** What a person would be asked: the exact call, frozen. */
export type Requested = Readonly<{ ask: Ask; frozen: Frozen; call: Call }> &
  Pick<AskedCall['about'], 'jkt' | 'task' | 'purpose'> &
  Readonly<{ network: string | undefined }>;

/** A request that holds for the call of now, until then, with the policies that it lifts. */
export type Granted = Readonly<{
  held: Held;
  lifted: readonly string[];
  until: Seconds;
  /** A yes spends it; not that of a token which it has bought already. */
  isSpent: boolean;
}>;

/** An answer with what the log keeps of the question. */
export type Kept = Decided &
  Readonly<{
    about: JsonObject;
    /** What a person could be asked, where the caller may ask for it. */
    requested?: Requested | undefined;
    /** The approval that this yes spends. */
    spends?: Granted | undefined;
  }>;
