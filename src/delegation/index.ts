export { delegate, type DelegationLimits } from './delegate.js';
export type { Delegation, DelegationRefusal, Person, Presenter, Subject, Target, Wanted, WantedTool } from './types.js';
