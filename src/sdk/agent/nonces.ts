/** The last DPoP nonce of each origin (RFC 9449 section 8.2). */
export interface Nonces {
  for(url: string): string | undefined;
  /** Keeps the nonce of an answer; true when it is a new one. */
  learn(url: string, headers: Headers): boolean;
}

/** See {@link Nonces}. */
export function createNonces(): Nonces {
  const known = new Map<string, string>();
  return {
    for: (url) => known.get(new URL(url).origin),
    learn(url, headers) {
      const nonce = headers.get('dpop-nonce');
      if (nonce === null || nonce === known.get(new URL(url).origin)) return false;
      known.set(new URL(url).origin, nonce);
      return true;
    },
  };
}
