import { z } from 'zod';
import type { Clock } from '../base/index.js';
import type { BreakGlassPasswords } from '../human/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';
import { Person } from './person-store.js';
import { append } from './records.js';
import { lockAccount, MAKER } from './recovery-codes.js';

/** `issuer` is our own: nobody else's people have passwords. */
export function openPasswords(
  { prisma }: Database,
  { issuer, clock }: Readonly<{ issuer: string; clock: Clock }>,
): BreakGlassPasswords {
  /** The change and its record, both or neither. */
  const changed = (person: string, what: string, sql: string, values: readonly unknown[]): Promise<boolean> =>
    guarded(() =>
      prisma.$transaction(async (transaction) => {
        await lockAccount(transaction, person);
        if ((await transaction.$executeRawUnsafe(sql, ...values)) === 0) return false;
        const done = { kind: 'authentication', at: clock.now(), decision: 'done', reason: what } as const;
        await append(transaction, { ...done, facts: { what, person } });
        return true;
      }),
    );
  return {
    of: async (person) => {
      const [row] = Held.parse(await guarded(() => prisma.$queryRawUnsafe(HELD, person)));
      return row && { madeAt: row.madeAt, lastUsedAt: row.lastUsedAt ?? undefined };
    },
    find: async (name) => {
      const found = Found.parse(await guarded(() => prisma.$queryRawUnsafe(FIND, name, issuer)));
      const [only, ...others] = found;
      return others.length > 0 ? undefined : only;
    },
    nameOf: async ({ id, attributes: { email } }) => {
      if (email === undefined) return id;
      const found = Found.parse(await guarded(() => prisma.$queryRawUnsafe(FIND, email, issuer)));
      return found.length === 1 ? email : id;
    },
    replace: ({ person, uid }, hash) => changed(person, 'password_made', REPLACE, [person, issuer, uid, hash]),
    remove: (person) => changed(person, 'password_removed', 'DELETE FROM password WHERE person_id = $1', [person]),
    used: (person, hash) => changed(person, 'password_used', USED, [person, hash]),
  };
}

const HELD = `
  SELECT extract(epoch FROM made_at)::float8 AS "madeAt", extract(epoch FROM last_used_at)::float8 AS "lastUsedAt"
  FROM password WHERE person_id = $1`;

/** An e-mail address that two have is the name of neither. */
const FIND = `
  SELECT w.hash, to_jsonb(p) AS account FROM password w JOIN person p ON p.id = w.person_id
  WHERE p.issuer = $2 AND p.status = 'active' AND (p.id = $1 OR lower(p.attributes ->> 'email') = lower($1)) LIMIT 2`;

const REPLACE = `
  INSERT INTO password (person_id, hash) SELECT maker.person, $4 FROM (${MAKER}) AS maker
  ON CONFLICT (person_id) DO UPDATE SET hash = EXCLUDED.hash, made_at = clock_timestamp(), last_used_at = NULL`;

const USED = 'UPDATE password SET last_used_at = clock_timestamp() WHERE person_id = $1 AND hash = $2';

const Held = z.array(z.object({ madeAt: z.number(), lastUsedAt: z.number().nullable() }));
const Found = z.array(z.object({ hash: z.string(), account: Person }));
