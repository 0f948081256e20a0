export { decide, type Decision, POLICY_VERSION } from './decide.js';
export type { Grant, Permit } from './permit.js';
export {
  ACTION_CLASSES,
  type ActionClass,
  type Allow,
  type ArgumentFlaw,
  type AskHuman,
  type Broken,
  combine,
  compilePolicySet,
  DATA_CLASSES,
  type DataClass,
  type DecisionInput,
  type Demand,
  type Deny,
  type PolicyFile,
  type PolicyFlaw,
  type PolicySet,
  type PolicyTool,
  type Requirement,
  type Verdict,
} from './set/index.js';
export type { Activation, PolicySetInfo, PolicyStore } from './ports.js';
export type { Ask, PolicyRefusal, Rules, Term } from './types.js';
