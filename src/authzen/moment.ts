import type { Seconds } from '../base/index.js';
import type { Caller } from '../client/index.js';
import type { DecisionPoints, Rules } from '../policy/index.js';
import type { FormRequest } from '../protocol/index.js';
import type { BindingTokens } from './binding-token.js';
import type { AccessRequests, AskedPeople } from './ports.js';

/** Who asks, and by what it is decided. */
export type Moment = Readonly<{
  caller: Caller;
  rules: Rules & Readonly<{ points: DecisionPoints | undefined }>;
  people: AskedPeople;
  now: Seconds;
  requests: AccessRequests;
  bindings: BindingTokens;
  /** Where a server asks for what was denied. */
  endpoint: string;
  /** Approvals that are spent, or that another question of the same request spends. */
  taken: Set<string>;
  /** The request that asks. */
  http: Pick<FormRequest, 'requestId' | 'traceId' | 'network'>;
}>;
