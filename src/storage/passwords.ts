import { z } from 'zod';
import type { Clock } from '../base/index.js';
import type { BreakGlassPasswords } from '../human/index.js';
import type { Database } from './database.js';
import type { Prisma } from './generated/client.js';
import { guarded } from './outage.js';
import { Person } from './person-store.js';
import { append } from './records.js';
import { lockAccount, MAKER } from './recovery-codes.js';
import { numberDerived } from './revocations.js';
import { revokeScope } from './revocation-scopes.js';
import { endInGroups } from './session-tree.js';

/** `issuer` is our own: nobody else's people have passwords. */
export function openPasswords(
  { prisma }: Database,
  { issuer, clock }: Readonly<{ issuer: string; clock: Clock }>,
): BreakGlassPasswords {
  /** The change and its record, both or neither. What it ends beyond the first sessions ends a moment later, as in {@link revokeScope}. */
  const changed = async (
    person: string,
    what: string,
    change: (transaction: Prisma.TransactionClient) => Promise<'changed' | 'unchanged' | 'ended'>,
  ): Promise<boolean> => {
    const order = { by: person, reason: what, now: clock.now() };
    const done = await guarded(() =>
      prisma.$transaction(async (transaction) => {
        await lockAccount(transaction, person);
        const came = await change(transaction);
        if (came === 'unchanged') return undefined;
        const ended =
          came === 'ended' ? await revokeScope(transaction, { kind: 'person', id: person }, order) : undefined;
        const record = { kind: 'authentication', at: order.now, decision: 'done', reason: what } as const;
        await append(transaction, { ...record, facts: { what, person } });
        return { rest: ended?.rest ?? [], targets: ended?.targets ?? [] };
      }),
    );
    if (done === undefined) return false;
    await endInGroups(prisma, done.rest, order);
    await guarded(() => numberDerived(prisma, done.targets, order));
    return true;
  };
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
    // Whoever signed in by the one before goes with it, and what they let agents do.
    replace: ({ person, uid }, hash) =>
      changed(person, 'password_made', async (transaction) => {
        const had: readonly unknown[] = await transaction.$queryRawUnsafe(HAD, person);
        if ((await transaction.$executeRawUnsafe(REPLACE, person, issuer, uid, hash)) === 0) return 'unchanged';
        return had.length > 0 ? 'ended' : 'changed';
      }),
    remove: (person) =>
      changed(person, 'password_removed', async (transaction) =>
        (await transaction.$executeRawUnsafe(REMOVE, person)) > 0 ? 'ended' : 'unchanged',
      ),
    used: (person, hash) =>
      changed(person, 'password_used', async (transaction) =>
        (await transaction.$executeRawUnsafe(USED, person, hash)) > 0 ? 'changed' : 'unchanged',
      ),
  };
}

const HELD = `
  SELECT extract(epoch FROM made_at)::float8 AS "madeAt", extract(epoch FROM last_used_at)::float8 AS "lastUsedAt"
  FROM password WHERE person_id = $1`;

/** An e-mail address that two have is the name of neither. */
const FIND = `
  SELECT w.hash, to_jsonb(p) AS account FROM password w JOIN person p ON p.id = w.person_id
  WHERE p.issuer = $2 AND p.status = 'active' AND (p.id = $1 OR lower(p.attributes ->> 'email') = lower($1)) LIMIT 2`;

const HAD = 'SELECT person_id FROM password WHERE person_id = $1 FOR UPDATE';

const REMOVE = 'DELETE FROM password WHERE person_id = $1';

const REPLACE = `
  INSERT INTO password (person_id, hash) SELECT maker.person, $4 FROM (${MAKER}) AS maker
  ON CONFLICT (person_id) DO UPDATE SET hash = EXCLUDED.hash, made_at = clock_timestamp(), last_used_at = NULL`;

const USED = 'UPDATE password SET last_used_at = clock_timestamp() WHERE person_id = $1 AND hash = $2';

const Held = z.array(z.object({ madeAt: z.number(), lastUsedAt: z.number().nullable() }));
const Found = z.array(z.object({ hash: z.string(), account: Person }));
