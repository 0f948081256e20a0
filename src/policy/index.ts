export { decide, type Decision, POLICY_VERSION } from './decide.js';
export type { Grant, Permit } from './permit.js';
export type { Ask, PolicyRefusal, Rules, Term } from './types.js';
