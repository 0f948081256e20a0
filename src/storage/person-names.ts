import { z } from 'zod';
import type { KnownPerson, Opening, PersonNames } from '../audit/index.js';
import type { Clock, Seconds } from '../base/index.js';
import { feedTarget } from '../protocol/index.js';
import type { Database } from './database.js';
import type { Prisma } from './generated/client.js';
import { guarded } from './outage.js';
import { append } from './records.js';
import { removeConsents } from './revocation-scopes.js';
import { revokeWithin } from './revocations.js';
import { endSessions, liveSessions, thinOut } from './session-tree.js';

/** The table that the log's ids of people lead to, and its end. */
export function openPersonNames({ prisma }: Database, clock: Clock): PersonNames {
  return {
    openings: async (ids) => {
      const rows = Openings.parse(await guarded(() => prisma.$queryRawUnsafe(OPENINGS, [...ids])));
      return Object.fromEntries(rows.map(({ id, ...opening }): [string, Opening] => [id, opening]));
    },
    find: async (issuer, subject): Promise<KnownPerson | undefined> =>
      People.parse(await guarded(() => prisma.$queryRawUnsafe(FIND, issuer, subject)))[0],
    erase: async (id, by) => {
      const at = clock.now();
      await thinOut(prisma, { persons: [id] }, { by, reason: 'erased', now: at });
      return guarded(() => prisma.$transaction((transaction) => erase(transaction, id, { by, at })));
    },
  };
}

/** The person's row goes, so no commit knows them; the number of the revocation tells every verifier. */
async function erase(
  transaction: Prisma.TransactionClient,
  person: string,
  { by, at }: Readonly<{ by: string; at: Seconds }>,
): Promise<'erased' | 'unknown'> {
  if ((await transaction.$executeRawUnsafe('DELETE FROM person WHERE id = $1', person)) === 0) return 'unknown';
  const consents = await removeConsents(transaction, { persons: [person] });
  const live = await liveSessions(transaction, { persons: [person] });
  const ended = await endSessions(transaction, live, { by, reason: 'erased', now: at });
  const targets = [`person:${person}`, ...ended.map(feedTarget.session), ...consents.map((grant) => `grant:${grant}`)];
  await revokeWithin(transaction, targets, by, 'erased');
  const facts = { what: 'erased', person, by };
  await append(transaction, { kind: 'authentication', at, facts, decision: 'done', reason: 'erased' });
  return 'erased';
}

const OPENINGS = `
  SELECT id, issuer, subject, salt FROM person WHERE id = ANY($1::text[]) AND salt IS NOT NULL ORDER BY id`;

const FIND = 'SELECT id, issuer, subject, status, groups FROM person WHERE issuer = $1 AND subject = $2';

const name = { id: z.string(), issuer: z.string(), subject: z.string() };
const Openings = z.array(z.object({ ...name, salt: z.string() }));
const People = z.array(z.object({ ...name, status: z.string(), groups: z.array(z.string()) }));
