import type { TestDatabase } from './databases.js';

/** People who answer for the agents of tests. */
export const OWNER = 'prs_owner67890123456789012';
export const SPONSOR = 'prs_sponsor890123456789012';
export const PEOPLE = 'https://people.example';

/** Makes those who answer for agents known, by ids that a test can name. */
export async function haveTheAccountable({ prisma }: TestDatabase['database']): Promise<void> {
  await prisma.$executeRawUnsafe(
    `INSERT INTO person (id, issuer, subject) VALUES ('${OWNER}', '${PEOPLE}', 'owner'), ('${SPONSOR}', '${PEOPLE}', 'sponsor')
     ON CONFLICT DO NOTHING`,
  );
}
