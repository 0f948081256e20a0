import { z } from 'zod';
import type { Challenges } from '../human/index.js';
import { recordKey } from '../protocol/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';

/** Kept beside the records of sign-ins, which are forgotten when they are over. */
export function openChallenges({ prisma }: Database): Challenges {
  return {
    keep: async (challenge, purpose, seconds) => {
      await guarded(() => prisma.$executeRawUnsafe(KEEP, keyOf(challenge), JSON.stringify({ purpose }), seconds));
    },
    take: async (challenge) => {
      const taken = Taken.parse(await guarded(() => prisma.$queryRawUnsafe(TAKE, keyOf(challenge))));
      return taken[0]?.isLive === true ? taken[0].purpose : undefined;
    },
  };
}

const keyOf = (challenge: string): string => recordKey('Challenge', challenge);

const KEEP = `
  INSERT INTO engine_record (key, model, payload, expires_at)
  VALUES ($1, 'Challenge', $2::jsonb, clock_timestamp() + make_interval(secs => $3::float8))`;

const TAKE = `
  DELETE FROM engine_record WHERE key = $1 AND model = 'Challenge'
  RETURNING payload ->> 'purpose' AS purpose, expires_at > clock_timestamp() AS "isLive"`;

const Taken = z.array(z.object({ purpose: z.string(), isLive: z.boolean() }));
