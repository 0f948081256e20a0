import { z } from 'zod';
import type { AccountablePeople } from '../registry/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';
import type { PersonStore } from './person-store.js';

/** The people who answer for agents, among all of them. */
export function openAccountablePeople(
  { prisma }: Database,
  persons: Pick<PersonStore, 'byIssuerSubject' | 'ensure'>,
): AccountablePeople {
  return {
    statuses: async (ids) => {
      const rows = Statuses.parse(await guarded(() => prisma.$queryRawUnsafe(STATUSES, [...ids])));
      return new Map(rows.map(({ id, status }) => [id, status]));
    },
    find: persons.byIssuerSubject,
    meet: async (issuer, subject) => (await persons.ensure(issuer, subject, {})).id,
  };
}

const STATUSES = 'SELECT id, status FROM person WHERE id = ANY($1::text[])';
const Statuses = z.array(z.object({ id: z.string(), status: z.enum(['active', 'disabled']) }));
