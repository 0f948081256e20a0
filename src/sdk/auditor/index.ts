/** What auditors verify offline, without Writ: no database, no network. */
export { parseVerifierKey, type VerifierKey } from '../../tlog/index.js';
export { verifyBundle } from './bundle.js';
export { type LogSource, verifyLog } from './log.js';
export type { Asked, AuditorOptions } from './options.js';
export type { Problem, ProblemCode, Verdict } from './verdict.js';
export type { Witnesses } from './witnessed.js';
