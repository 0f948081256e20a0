/** 128 random bits, base64url, behind a prefix that says what the id names: `ses_…`, `dec_…`. */
export function newId(prefix: string): string {
  return `${prefix}_${randomText(16)}`;
}

/** `bytes` random bytes as unpadded base64url. */
export function randomText(bytes: number): string {
  return Buffer.from(randomBytes(bytes)).toString('base64url');
}

/** Asking the system once for many bytes costs about what asking for a few does. */
const POOL = 4_096;
const pool = new Uint8Array(POOL);
let used = POOL;

/** INVARIANT: no byte of the pool is given out twice. */
function randomBytes(bytes: number): Uint8Array {
  if (bytes > POOL) return crypto.getRandomValues(new Uint8Array(bytes));
  if (used + bytes > POOL) {
    crypto.getRandomValues(pool);
    used = 0;
  }
  used += bytes;
  return pool.subarray(used - bytes, used);
}
