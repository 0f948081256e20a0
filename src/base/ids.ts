/** 128 random bits, base64url, behind a prefix that says what the id names: `ses_…`, `dec_…`. */
export function newId(prefix: string): string {
  return `${prefix}_${randomText(16)}`;
}

/** `bytes` random bytes as unpadded base64url. */
export function randomText(bytes: number): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString('base64url');
}
