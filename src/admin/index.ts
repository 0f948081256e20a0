export { type AdminDeps, adminPrefix, createAdmin } from './create.js';
export type { FieldChange } from './difference.js';
export { adminTokenDigest } from './guard.js';
export type { Beginning, Begun, IdempotencyStore } from './idempotency.js';
export type { Invitation, Invitations } from './invitations.js';
export type { HeldPasskey, HeldPasskeys, RemovedPasskeys } from './passkeys.js';
export type { ObjectChange } from './plan.js';
