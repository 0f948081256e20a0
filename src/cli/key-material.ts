import { generateKeyPairSync } from 'node:crypto';
import { z } from 'zod';
import { PrivateJwk, PublicJwk, thumbprint } from '../protocol/index.js';
import { Failure, type Io } from './io.js';

/** A new key pair: its public half, and how to keep the private one in a new file that only its owner may read. */
export type NewKey = Readonly<{ publicJwk: PublicJwk; privateJwk: PrivateJwk; save(): void }>;

export function newKey(file: string, io: Io): NewKey {
  if (io.readFile(file) !== undefined) throw taken(file);
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const bare = PublicJwk.parse(publicKey.export({ format: 'jwk' }));
  const named = { kid: thumbprint(bare).slice(0, 16), alg: 'ES256' } as const;
  const privateJwk = PrivateJwk.parse({ ...privateKey.export({ format: 'jwk' }), ...named });
  const text = `${JSON.stringify(privateJwk, null, 2)}\n`;
  return {
    publicJwk: { ...bare, ...named },
    privateJwk,
    save: () => {
      if (!io.makePrivateFile(file, text)) throw taken(file);
    },
  };
}

const taken = (file: string): Failure =>
  new Failure(2, `${file} is there already, and a key is never written over; name another file`);

/** The private key of a file. */
export function readPrivateKey(file: string, io: Io): PrivateJwk {
  const text = io.readFile(file);
  if (text === undefined) throw new Failure(2, `there is no file ${file}`);
  const parsed = PrivateJwk.safeParse(json(text));
  if (!parsed.success) throw new Failure(2, `${file} is no private JWK`);
  return parsed.data;
}

/** The public keys of a file: a JWK Set, or one JWK. A private key stays where it is. */
export function readPublicKeys(file: string, io: Io): Readonly<{ keys: readonly unknown[] }> {
  const text = io.readFile(file);
  if (text === undefined) throw new Failure(2, `there is no file ${file}`);
  const parsed = KeyFile.safeParse(json(text));
  if (!parsed.success) throw new Failure(2, `${file} is neither a JWK nor a JWK Set`);
  const { keys } = parsed.data;
  if (keys.some((key) => 'd' in key || 'k' in key))
    throw new Failure(2, `${file} holds a private key, which nobody but its owner may have: name its public half`);
  return { keys };
}

const Key = z.looseObject({ kty: z.string() });
const KeyFile = z.union([z.object({ keys: z.array(Key).min(1) }), Key.transform((key) => ({ keys: [key] }))]);

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
