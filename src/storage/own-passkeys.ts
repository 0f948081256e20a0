import { z } from 'zod';
import type { Clock } from '../base/index.js';
import type { OwnPasskeys } from '../human/index.js';
import { sha256 } from '../protocol/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';
import { append } from './records.js';

export function openOwnPasskeys({ prisma }: Database, clock: Clock): OwnPasskeys {
  return {
    has: async (person) => {
      const [row] = Has.parse(await guarded(() => prisma.$queryRawUnsafe(HAS, person)));
      return row?.has === true;
    },
    first: (person, { id, publicKey, counter, transports, mayBeCopied, isBackedUp }) =>
      guarded(() =>
        prisma.$transaction(async (transaction) => {
          const key = [id, Buffer.from(publicKey), counter, [...transports], mayBeCopied, isBackedUp];
          // Of two at once for one person the second waits for the first, and then sees its passkey.
          await transaction.$queryRawUnsafe(LOCK, person);
          const [row] = Has.parse(await transaction.$queryRawUnsafe(HAS, person));
          if (row?.has === true) return 'has_one';
          if ((await transaction.$executeRawUnsafe(FIRST, person, ...key)) === 0) return 'taken';
          const facts = { what: 'enrolled', person, credential: sha256(id) };
          const at = clock.now();
          await append(transaction, { kind: 'authentication', at, facts, decision: 'done', reason: 'enrolled' });
          return 'done';
        }),
      ),
  };
}

const HAS = 'SELECT EXISTS (SELECT 1 FROM passkey WHERE person_id = $1) AS has';

const LOCK = `SELECT id FROM person WHERE id = $1 AND status = 'active' FOR UPDATE`;

/** WebAuthn section 7.1, step 26: a credential id that somebody has is refused. */
const FIRST = `
  INSERT INTO passkey (id, person_id, public_key, counter, transports, may_be_copied, is_backed_up)
  SELECT $2, p.id, $3::bytea, $4::bigint, $5::text[], $6, $7 FROM person p WHERE p.id = $1 AND p.status = 'active'
  ON CONFLICT (id) DO NOTHING`;

const Has = z.array(z.object({ has: z.boolean() }));
