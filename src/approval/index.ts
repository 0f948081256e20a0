export { type Approver, FRESH, isFresh, mayAnswer } from './approvers.js';
export {
  Binding,
  Call,
  callDigest,
  Demand,
  freeze,
  type Frozen,
  MOST_ARGUMENTS,
  type Unfreezable,
  waitsUntil,
} from './binding.js';
export { discharged, type PolicyTexts, stillLifted, textsOf } from './discharge.js';
export {
  type About,
  A_NO,
  approvalKey,
  type Approvals,
  type Asked,
  type Asking,
  type Difference,
  type Held,
  KEY_KEPT,
  MOST_OF_AGENT,
  MOST_OF_PERSON,
  POLL_INTERVAL,
  WAIT,
} from './ports.js';
export {
  type Answer,
  type Approval,
  type ApprovalEvent,
  type ApprovalState,
  asked,
  type NotPossible,
  standing,
  STATES,
  transition,
} from './transition.js';
