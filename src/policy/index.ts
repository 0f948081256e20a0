export { type ActivePolicies, openActivePolicies } from './active.js';
export { decide, type Decision, policyVersion } from './decide.js';
export type { AskedTool, DecisionPoints, Opinion, Opinions, PointRefusal, Question, Silence } from './opinion.js';
export { toldOf } from './opinion.js';
export type { Grant, Permit } from './permit.js';
export { type CallQuestion, type CallVerdict, decideCall, type DecidedCall } from './call.js';
export { questionOf } from './question.js';
export {
  type Allow,
  type ArgumentFlaw,
  type AskHuman,
  type BlastRadius,
  type Broken,
  type CaseResult,
  type Change,
  checkPolicySet,
  combine,
  compilePolicySet,
  type DecisionInput,
  type EntityQuestion,
  type EntityVerdict,
  type Demand,
  type Deny,
  KeptInput,
  Outcome,
  outcomeOf,
  type Past,
  PolicyCases,
  type PolicyCheck,
  type PolicyFile,
  type PolicyFlaw,
  type PolicySet,
  type PolicyTool,
  policyTools,
  recordOf,
  Replay,
  type Requirement,
  runCases,
  type SessionFacts,
  toolsOf,
  type Undecidable,
  type Verdict,
  withoutArguments,
} from './set/index.js';
export {
  beyondCeilings,
  type LivePage,
  type LivePermits,
  type LiveToken,
  type Loss,
  reexamine,
  type Reexamined,
  type RulesOfNow,
} from './live.js';
export type { PublishedKeysOf } from './accepted.js';
export { inputDigest } from './input-digest.js';
export { mayRunOn, type RunningCall, type RunningRefusal } from './running.js';
export type { Activation, DecisionInputs, Judged, KeptInputs, PastPage, PolicySetInfo, PolicyStore } from './ports.js';
export { type Ended, ENDED_BECAUSE, foresee, type Foreseen, type Narrowing, type Outlook } from './foresee.js';
export type { Ask, PolicyDenial, PolicyRefusal, Rules, Term } from './types.js';
