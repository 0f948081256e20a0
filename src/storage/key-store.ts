import { z } from 'zod';
import type { KeyStore, StoredKey } from '../token/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';

/** Signing keys, the newest first, their private halves only sealed. */
export function openKeys({ prisma }: Database): KeyStore {
  return {
    list: async () => Keys.parse(await guarded(() => prisma.$queryRawUnsafe(KEYS))),
    insertFirst: ({ kid, alg, publicJwk, sealed, createdAt }) =>
      guarded(() =>
        prisma.$transaction(async (transaction) => {
          // Replicas that start on an empty database come here at once: the first keeps its key, the others find it.
          await transaction.$queryRawUnsafe(`SELECT pg_advisory_xact_lock(${FIRST_KEY_LOCK})::text`);
          await transaction.$executeRawUnsafe(INSERT_FIRST, kid, alg, JSON.stringify(publicJwk), sealed, createdAt);
          return Keys.parse(await transaction.$queryRawUnsafe(KEYS));
        }),
      ),
  };
}

const Keys: z.ZodType<StoredKey[]> = z.array(
  z.object({
    kid: z.string(),
    alg: z.string(),
    publicJwk: z.unknown(),
    sealed: z.instanceof(Uint8Array),
    state: z.enum(['active', 'retired']),
    createdAt: z.date(),
  }),
);

/** An advisory lock of ours: "writ" in ASCII, then 1. */
const FIRST_KEY_LOCK = 0x77_72_69_74_01;

const KEYS = `
  SELECT kid, alg, public_jwk AS "publicJwk", sealed, state, created_at AS "createdAt"
  FROM signing_key ORDER BY created_at DESC, kid`;

const INSERT_FIRST = `
  INSERT INTO signing_key (kid, alg, public_jwk, sealed, state, created_at)
  SELECT $1, $2, $3::jsonb, $4, 'active', $5::timestamptz
  WHERE NOT EXISTS (SELECT FROM signing_key WHERE state = 'active')`;
