export { introspectionEndpoint, type IntrospectionDeps } from './introspect.js';
export type {
  HandleReader,
  Renewal,
  RunningRules,
  StateQuestion,
  TokenRevoker,
  TokenState,
  TokenStates,
} from './ports.js';
export { type DeferralEnder, revocationEndpoint, type RevocationDeps } from './revoke.js';
