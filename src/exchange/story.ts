import type { Held } from '../approval/index.js';
import type { Seconds } from '../base/index.js';
import type { Caller, Spend } from '../client/index.js';
import type { Delegation, Presenter } from '../delegation/index.js';
import type { Judged, Permit } from '../policy/index.js';
import type { RegistrySnapshot } from '../registry/index.js';
import type { Transaction } from './handle.js';
import type { Known } from './record.js';
import type { ExchangeRequest } from './request.js';

/** What happened so far, for the record of however it ends: all of it grows as the exchange goes on. */
export type Story = Readonly<{ spends: Spend[]; judged: Judged[]; known: Known }>;
/** A request that people have granted, and what was frozen with it (DT-01). */
export type Redeeming = Readonly<{
  held: Held;
  approval: NonNullable<Held['approval']>;
  request: ExchangeRequest;
  presenter: Presenter;
}>;

/** What one exchange is decided with. */
export type Step = Readonly<{
  caller: Caller;
  registry: RegistrySnapshot;
  now: Seconds;
  story: Story;
  /** What a person has approved and is redeemed now. */
  redeeming?: Redeeming | undefined;
}>;
/** `joined`: the transaction that goes on. */
export type Decided = Readonly<{ permit: Permit; delegation: Delegation; joined: Transaction | undefined }>;

/** Keeps for the record what the exchange found out. */
export const learn = ({ known }: Story, more: Partial<Known>): void => void Object.assign(known, more);
