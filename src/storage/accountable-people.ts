import { z } from 'zod';
import type { AccountablePeople } from '../registry/index.js';
import type { Clock } from '../base/index.js';
import { feedTarget } from '../protocol/index.js';
import type { Database } from './database.js';
import type { Prisma } from './generated/client.js';
import { guarded } from './outage.js';
import type { PersonStore } from './person-store.js';
import { append } from './records.js';
import { removeConsents } from './revocation-scopes.js';
import { revokeWithin } from './revocations.js';
import { endSessions, liveSessions, thinOut } from './session-tree.js';

/** The people who answer for agents, among all of them. */
export function openAccountablePeople(
  { prisma }: Database,
  persons: Pick<PersonStore, 'byIssuerSubject' | 'ensure'>,
  clock: Clock,
): AccountablePeople {
  return {
    statuses: async (ids) => {
      const rows = Statuses.parse(await guarded(() => prisma.$queryRawUnsafe(STATUSES, [...ids])));
      return new Map(rows.map(({ id, status }) => [id, status]));
    },
    find: persons.byIssuerSubject,
    knows: async (issuer) => (await guarded(() => prisma.$queryRawUnsafe<unknown[]>(KNOWS, issuer))).length > 0,
    meet: async (issuer, subject) => (await persons.ensure(issuer, subject, {})).id,
    setStatus: async (id, status, by) => {
      const at = clock.now();
      if (status === 'disabled') await thinOut(prisma, { persons: [id] }, { by, reason: 'disabled', now: at });
      return guarded(() => prisma.$transaction((transaction) => setStatus(transaction, { id, status, by, at })));
    },
  };
}

type Setting = Readonly<{ id: string; status: 'active' | 'disabled'; by: string; at: number }>;

async function setStatus(
  transaction: Prisma.TransactionClient,
  { id, status, by, at }: Setting,
): Promise<'done' | 'unchanged' | 'unknown'> {
  if ((await transaction.$executeRawUnsafe(SET, id, status)) === 0) {
    const known = z
      .array(z.unknown())
      .parse(await transaction.$queryRawUnsafe('SELECT 1 FROM person WHERE id = $1', id));
    return known.length > 0 ? 'unchanged' : 'unknown';
  }
  if (status === 'disabled') {
    await removeConsents(transaction, { persons: [id] });
    const live = await liveSessions(transaction, { persons: [id] });
    const ended = await endSessions(transaction, live, { by, reason: 'disabled', now: at });
    await revokeWithin(transaction, [`person:${id}`, ...ended.map(feedTarget.session)], by, 'disabled');
  }
  const what = status === 'disabled' ? 'person_disabled' : 'person_enabled';
  const facts = { what, person: id, by };
  await append(transaction, { kind: 'authentication', at, facts, decision: 'done', reason: what });
  return 'done';
}

const SET = 'UPDATE person SET status = $2 WHERE id = $1 AND status <> $2';
const KNOWS = 'SELECT 1 FROM person WHERE issuer = $1 LIMIT 1';
const STATUSES = 'SELECT id, status FROM person WHERE id = ANY($1::text[])';
const Statuses = z.array(z.object({ id: z.string(), status: z.enum(['active', 'disabled']) }));
