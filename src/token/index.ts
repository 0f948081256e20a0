export { type KeyInfo, keysAdmin, type KeysAdmin, type Withdrawal } from './key-admin.js';
export { type KeyRing, type KeyRingDeps, type LiveKeyRing, openKeyRing, type SigningKey } from './keyring.js';
export { type Lifetimes, prepare, type PreparedToken, signable, type SignableToken } from './prepare.js';
export type { EncryptionKeys } from './private-key.js';
export type { Commitment, Recorded } from './recorded.js';
export { seal, unseal } from './seal.js';
export { type Issued, sign } from './sign.js';
export type { KeyOrder, KeyState, KeyStore, NewKey, StoredKey, StoredKeys } from './stored-key.js';
export { type KeyTiming, leadOf, overlapOf } from './timing.js';
