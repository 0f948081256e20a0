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
  type Broken,
  type CaseResult,
  checkPolicySet,
  combine,
  compilePolicySet,
  type DecisionInput,
  type EntityQuestion,
  type EntityVerdict,
  type Demand,
  type Deny,
  PolicyCases,
  type PolicyCheck,
  type PolicyFile,
  type PolicyFlaw,
  type PolicySet,
  type PolicyTool,
  policyTools,
  recordOf,
  type Requirement,
  runCases,
  toolsOf,
  type Verdict,
} from './set/index.js';
export type { Activation, PolicySetInfo, PolicyStore } from './ports.js';
export type { Ask, PolicyDenial, PolicyRefusal, Rules, Term } from './types.js';
