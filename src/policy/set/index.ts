export { type Demand, type Requirement } from './annotations.js';
export { type DecisionInput } from './facts.js';
export { type PolicyFile, type PolicyFlaw } from './flaw.js';
export { compilePolicySet, type PolicySet } from './policy-set.js';
export { type ArgumentFlaw } from './projection.js';
export { ACTION_CLASSES, type ActionClass, DATA_CLASSES, type DataClass, type PolicyTool } from './tool.js';
export { type Allow, type AskHuman, type Broken, combine, type Deny, type Verdict } from './verdict.js';
