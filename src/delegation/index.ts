export { delegate, type DelegationLimits } from './delegate.js';
export type {
  Brought,
  Delegation,
  DelegationRefusal,
  Person,
  Presenter,
  Subject,
  Target,
  Wanted,
  WantedTool,
} from './types.js';
