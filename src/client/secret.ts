import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { turns } from '../base/index.js';

/** `scrypt$N$r$p$salt$hash`, salt and hash in base64url. */
export async function hashSecret(secret: string): Promise<string> {
  const salt = randomBytes(16);
  const hash = await derive(secret, salt, COST);
  return ['scrypt', COST.N, COST.r, COST.p, salt.toString('base64url'), hash.toString('base64url')].join('$');
}

/** Takes as long for an unreadable or absent hash as for a wrong secret, so that time tells nothing about a client. */
export async function verifySecret(secret: string, stored: string | undefined): Promise<boolean> {
  const known = parse(stored);
  const hash = await derive(secret, known?.salt ?? Buffer.alloc(16), known?.cost ?? COST);
  return known !== undefined && timingSafeEqual(hash, known.hash);
}

/** Stands in for the hash of a client that is unknown or has none. */
export const DUMMY_SECRET_HASH = `scrypt$16384$8$1$${'A'.repeat(22)}$${'A'.repeat(43)}`;

type Cost = Readonly<{ N: number; r: number; p: number }>;
type Stored = Readonly<{ cost: Cost; salt: Buffer; hash: Buffer }>;

/** 16 MiB and about 50 ms. */
const COST: Cost = { N: 16_384, r: 8, p: 1 };
const HASH_BYTES = 32;

/** Text that no hash of ours can have is no hash, so what is stored can never ask for unbounded work. */
function parse(stored: string | undefined): Stored | undefined {
  const parts = /^scrypt\$(\d{4,7})\$(\d{1,2})\$(\d)\$([\w-]{22,86})\$([\w-]{43})$/.exec(stored ?? '');
  if (parts === null) return undefined;
  const [, N, r, p, salt = '', hash = ''] = parts;
  const cost = { N: Number(N), r: Number(r), p: Number(p) };
  if (!isBearable(cost)) return undefined;
  return { cost, salt: Buffer.from(salt, 'base64url'), hash: Buffer.from(hash, 'base64url') };
}

/** scrypt wants a power of two; 128 MiB at most. */
const isBearable = ({ N, r, p }: Cost): boolean => (N & (N - 1)) === 0 && r >= 1 && p >= 1 && N * r <= 1_048_576;

const derive = (secret: string, salt: Buffer, cost: Cost): Promise<Buffer> =>
  inTurn(
    () =>
      new Promise<Buffer>((resolve, reject) => {
        const options = { ...cost, maxmem: 256 * cost.N * cost.r };
        scrypt(secret, salt, HASH_BYTES, options, (fault, hash) => {
          if (fault === null) resolve(hash);
          else reject(fault);
        });
      }),
  );

/** Node's thread pool also serves the file system: guesses of secrets may not take all of it (RL-08). */
const inTurn = turns(2, { waiting: 32, problem: 'more secrets wait to be checked than may' });
