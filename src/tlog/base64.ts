/** RFC 4648 section 4, padded and in its one spelling; `undefined` for anything else. */
export function fromBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}

/** RFC 4648 section 5 without padding, in its one spelling; `undefined` for anything else. */
export function fromBase64url(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url');
  const over = text.length % 4;
  // What is no digit of base64 was left out, and makes the bytes too few; the other alphabet was taken too.
  if (bytes.length !== Math.floor((text.length * 3) / 4) || over === 1) return undefined;
  if (text.includes('+') || text.includes('/')) return undefined;
  return over === 0 || (over === 2 ? 'AQgw' : 'AEIMQUYcgkosw048').includes(text.slice(-1)) ? bytes : undefined;
}
