import type { Approval, Call, Frozen, Held } from '../approval/index.js';
import type { Ask } from '../policy/index.js';
import type { JsonObject } from '../protocol/index.js';
import type { AskedCall } from './asked-call.js';
import type { Decided } from './decided.js';

/** What a person would be asked: the exact call, frozen. */
export type Requested = Readonly<{ ask: Ask; frozen: Frozen; call: Call }> &
  Pick<AskedCall['about'], 'jkt' | 'task' | 'purpose'> &
  Readonly<{ network: string | undefined }>;

/** A request that holds for the call of now. */
export type Granted = Readonly<{ held: Held; approval: Approval }>;

/** An answer with what the log keeps of the question. */
export type Kept = Decided &
  Readonly<{
    about: JsonObject;
    /** What a person could be asked, where the caller may ask for it. */
    requested?: Requested | undefined;
    /** The approval that this yes spends. */
    spends?: Granted | undefined;
  }>;
