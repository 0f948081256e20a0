export { type Demand, type Requirement } from './annotations.js';
export { type CaseResult, PolicyCases, runCases, toolsOf } from './cases.js';
export { checkPolicySet, type PolicyCheck } from './check.js';
export { type DecisionInput } from './facts.js';
export { type PolicyFile, type PolicyFlaw } from './flaw.js';
export { compilePolicySet, type PolicySet } from './policy-set.js';
export { type ArgumentFlaw } from './projection.js';
export { type PolicyTool, policyTools } from './tool.js';
export { type Allow, type AskHuman, type Broken, combine, type Deny, recordOf, type Verdict } from './verdict.js';
