export { type KeyRing, type KeyStore, openKeyRing, type SigningKey, type StoredKey } from './keyring.js';
export { type Lifetimes, prepare, type PreparedToken } from './prepare.js';
export type { Commitment, Recorded } from './recorded.js';
export { type Issued, sign } from './sign.js';
