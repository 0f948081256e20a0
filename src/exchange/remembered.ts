import type { z } from 'zod';
import { ok, type Result } from '../base/index.js';
import {
  type Jws,
  type JwsFlaw,
  type JsonObject,
  MAX_TOKEN_LENGTH,
  parseJws,
  sha256,
  type VerificationKey,
  verifySignature,
} from '../protocol/index.js';

/**
 * Tokens whose signature verified, by the exact bytes and the key. What is remembered is what their text alone decides:
 * its parts and the signature's verdict. Permission, audience, proof of possession, revocation and policy run every time.
 */
export interface Remembered {
  /** Takes a token apart, or gives the parts of the same one that came before. */
  parse(token: string): Result<Jws, JwsFlaw>;
  /** Says nothing of any token but those that {@link parse} took apart. */
  verify(jws: Jws, key: VerificationKey): boolean;
}

/** Bounded in number and in characters; the oldest go first. A key that was replaced is another object, so nothing outlives its issuer record. */
export function rememberSignatures({ tokens = 10_000, characters = 8_000_000 } = {}): Remembered {
  const verified = new Map<string, Readonly<{ jws: Jws; key: VerificationKey['key']; length: number }>>();
  const named = new WeakMap<Jws, Readonly<{ name: string; length: number }>>();
  let held = 0;
  const forget = (name: string): void => {
    held -= verified.get(name)?.length ?? 0;
    verified.delete(name);
  };
  const makeRoom = (): void => {
    for (const name of verified.keys()) {
      if (verified.size <= tokens && held <= characters) return;
      forget(name);
    }
  };
  return {
    parse: (token) => {
      if (token.length > MAX_TOKEN_LENGTH) return parseJws(token);
      const name = sha256(token);
      const known = verified.get(name);
      if (known !== undefined) return ok(known.jws);
      const parsed = parseJws(token);
      if (parsed.ok) named.set(parsed.value, { name, length: token.length });
      return parsed;
    },
    verify: (jws, key) => {
      const token = named.get(jws);
      const known = token && verified.get(token.name);
      if (known?.key === key.key && key.algs.includes(jws.alg)) return true;
      if (!verifySignature(jws, key)) return false;
      if (token === undefined) return true;
      forget(token.name);
      verified.set(token.name, { jws, key: key.key, length: token.length });
      held += token.length;
      makeRoom();
      return true;
    },
  };
}

/** What a schema makes of claims, made once for the same object: the parts of a remembered token are. */
export function readOnce<T>(schema: z.ZodType<T>): (claims: JsonObject) => T | undefined {
  const read = new WeakMap<JsonObject, Readonly<{ data: T | undefined }>>();
  return (claims) => {
    const known = read.get(claims);
    if (known !== undefined) return known.data;
    const { data } = schema.safeParse(claims);
    read.set(claims, { data });
    return data;
  };
}
