export { asClient, type AsClientDeps, claimOf, type ClientLimits } from './as-client.js';
export { replayKey, verifyAssertion } from './assertion.js';
export { withBearerAssertion } from './bearer-assertion.js';
export { authenticateClient, type AuthenticationDeps } from './authenticate.js';
export type { Caller, ClientRefusal, Spend } from './caller.js';
export { keySource, type KeySource } from './keys.js';
export { clientRefused, type FailureLog } from './refused.js';
export { isPublic, type RemoteKeys, remoteKeys } from './remote-keys.js';
export { DUMMY_SECRET_HASH, hashSecret, verifySecret } from './secret.js';
