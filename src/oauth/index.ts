export type { BeginningLimits } from './beginnings.js';
export { grantHash } from './adapter.js';
export { companySignOut, type CompanySignOutDeps } from './company-sign-out.js';
export type { EngineLifetimes } from './configuration.js';
export { createEngine, type Engine, type EngineDeps, ENGINE_LIFETIMES } from './engine.js';
export type { LocalSignIn } from './step.js';
export type { Metadata } from './metadata.js';
export type { EngineLog, EngineRecord, EngineSigningKey, EngineStore, SignOuts, StoredEngineRecord } from './ports.js';
export { DEFERRED_METADATA } from './metadata.js';
