export { boughtCall } from './bought.js';
export { deferredTokenEndpoint, type DeferredDeps } from './deferred.js';
export { tokenExchangeEndpoint, type TokenExchangeDeps } from './endpoint.js';
export type { ExchangeDeps, ExchangeSettings } from './deps.js';
export { type TransactionHandles, transactionHandles } from './handle.js';
export { tokenTarget } from './own-subject.js';
export type { Committer, Deferrals, Redeemed, NotPermitted, People, Permitted, Stale } from './ports.js';
export { type CommitRefusal, type Refusal, toWire } from './refusal.js';
export { type Remembered, rememberSignatures } from './remembered.js';
