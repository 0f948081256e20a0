import type { Reader } from './auditor.js';

/** Who asked for what. `filter` is what was asked for by, never an answer. */
export type Access = Readonly<{
  who: Reader;
  what: string;
  filter: Readonly<Record<string, string>>;
  /** The id of the request. */
  request: string;
}>;

/** Keeps every access in the log before it is answered; throws when it cannot, and then nothing is answered. */
export interface AccessLog {
  note(access: Access): Promise<void>;
}

/** Hears of whoever may not ask: counted, and recorded once for each cause, route and minute. Never throws. */
export interface AccessFailures {
  note(failure: Readonly<{ client: undefined; cause: 'no_token' | 'wrong_token'; route: string }>): void;
}
