export { openDecisionPoints } from './call.js';
export { admit, type Breaker, CLOSED, isOpen, PROBE_EVERY_MS, settle, SILENCES } from './call-breaker.js';
export type { PointSettings, PointWatch } from './call-point.js';
export type { AuthzenDeps } from './endpoint.js';
export type { AccessRequests, AskedPeople, AskedPerson, DecisionBatch, DecisionLog } from './ports.js';
export { authzenRoutes } from './routes.js';
export { bindingTokens } from './binding-token.js';
