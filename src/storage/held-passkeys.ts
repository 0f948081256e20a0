import { z } from 'zod';
import type { HeldPasskeys } from '../admin/index.js';
import type { Clock } from '../base/index.js';
import { sha256 } from '../protocol/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';
import { append } from './records.js';
import { lockAccount } from './recovery-codes.js';
import { revokeScope } from './revocation-scopes.js';
import { endInGroups } from './session-tree.js';

export function openHeldPasskeys({ prisma }: Database, clock: Clock): HeldPasskeys {
  return {
    of: async (person) => {
      const [row] = Held.parse(await guarded(() => prisma.$queryRawUnsafe(HELD, person)));
      return row?.passkeys.map(({ lastUsedAt, ...passkey }) => ({ ...passkey, lastUsedAt: lastUsedAt ?? undefined }));
    },
    remove: async ({ person, id, by }) => {
      const now = clock.now();
      const order = { by, now, reason: id === undefined ? 'the passkeys were replaced' : 'a passkey was removed' };
      const removed = await guarded(() =>
        prisma.$transaction(async (transaction) => {
          await lockAccount(transaction, person);
          // Waits for whoever makes a passkey by an open link; only a statement that begins after that sees the passkey.
          const links = id === undefined ? await transaction.$executeRawUnsafe(END_LINKS, person) : 0;
          const gone = Gone.parse(await transaction.$queryRawUnsafe(REMOVE, person, id ?? null));
          const passkeys = gone.flatMap((one) => one.passkey ?? []).sort();
          if (gone.length + links === 0) return undefined;
          const facts = { what: 'passkeys_removed', person, credentials: passkeys.map(sha256), by };
          await append(transaction, { kind: 'authentication', at: now, facts, decision: 'done', reason: order.reason });
          const ended = await revokeScope(transaction, { kind: 'person', id: person }, order);
          if (ended === undefined) throw new Error('somebody whose passkey was there is gone');
          return { passkeys, sessions: ended.sessions, consents: ended.consents, rest: ended.rest };
        }),
      );
      if (removed === undefined) return undefined;
      const { rest, ...said } = removed;
      await endInGroups(prisma, rest, order);
      return said;
    },
  };
}

const HELD = `
  SELECT coalesce((SELECT jsonb_agg(jsonb_build_object(
      'id', k.id, 'mayBeCopied', k.may_be_copied, 'isBackedUp', k.is_backed_up,
      'createdAt', extract(epoch FROM k.created_at), 'lastUsedAt', extract(epoch FROM k.last_used_at))
    ORDER BY k.created_at, k.id) FROM passkey k WHERE k.person_id = p.id), '[]') AS passkeys
  FROM person p WHERE p.id = $1`;

const END_LINKS = 'DELETE FROM enrolment WHERE person_id = $1 AND used_at IS NULL AND expires_at > clock_timestamp()';

/**
 * $2: the one passkey; without it all of them. Recovery codes, the password and where the person is told go with either: whoever
 * has the passkey that is taken away may have made them.
 */
const REMOVE = `
  WITH gone AS (
    DELETE FROM passkey WHERE person_id = $1 AND ($2::text IS NULL OR id = $2) RETURNING id
  ), codes AS (
    DELETE FROM recovery_code WHERE person_id = $1 AND ($2::text IS NULL OR EXISTS (SELECT 1 FROM gone)) RETURNING code_hash
  ), secret AS (
    DELETE FROM password WHERE person_id = $1 AND ($2::text IS NULL OR EXISTS (SELECT 1 FROM gone)) RETURNING person_id
  ), channel AS (
    DELETE FROM notice_channel WHERE person_id = $1 AND ($2::text IS NULL OR EXISTS (SELECT 1 FROM gone))
  )
  SELECT id AS passkey FROM gone UNION ALL SELECT NULL FROM codes UNION ALL SELECT NULL FROM secret`;

const Held = z.array(
  z.object({
    passkeys: z.array(
      z.object({
        id: z.string(),
        createdAt: z.number(),
        lastUsedAt: z.number().nullable(),
        mayBeCopied: z.boolean(),
        isBackedUp: z.boolean(),
      }),
    ),
  }),
);
const Gone = z.array(z.object({ passkey: z.string().nullable() }));
