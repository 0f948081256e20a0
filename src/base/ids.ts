/** 128 random bits, base64url, behind a prefix that says what the id names: `ses_…`, `dec_…`. */
export function newId(prefix: string): string {
  return `${prefix}_${randomText(16)}`;
}

/** `bytes` random bytes as unpadded base64url. */
export function randomText(bytes: number): string {
  const at = take(bytes);
  return at === undefined
    ? Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString('base64url')
    : pool.toString('base64url', at, at + bytes);
}

/** Random bytes. */
export function randomBytes(bytes: number): Uint8Array {
  const at = take(bytes);
  return at === undefined ? crypto.getRandomValues(new Uint8Array(bytes)) : Buffer.from(pool.subarray(at, at + bytes));
}

/** Asking the system once for many bytes costs about what asking for a few does. */
const POOL = 4_096;
const pool = Buffer.alloc(POOL);
let used = POOL;

/** Where in the pool so many bytes are that nobody has. INVARIANT: no byte of the pool is given out twice. */
function take(bytes: number): number | undefined {
  if (bytes > POOL) return undefined;
  if (used + bytes > POOL) {
    crypto.getRandomValues(pool);
    used = 0;
  }
  used += bytes;
  return used - bytes;
}

/** {@link randomText} that does not begin with a hyphen: people give it to commands, which take that for an option. */
export function randomName(bytes: number): string {
  const text = randomText(bytes);
  return text.startsWith('-') ? randomName(bytes) : text;
}
