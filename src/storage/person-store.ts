import { z } from 'zod';
import { type Clock, newId, randomText, type Seconds } from '../base/index.js';
import { personCommitment } from '../protocol/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';
import { leafOf } from './records.js';

/** A person is (issuer, subject); `id` is our stable `sub` of that pair. Attributes describe, and never identify. */
export const Person = z.object({
  id: z.string(),
  issuer: z.string(),
  subject: z.string(),
  status: z.enum(['active', 'disabled']),
  attributes: z.object({ name: z.string().exactOptional(), email: z.string().exactOptional() }),
  groups: z.array(z.string()).readonly(),
});
export type Person = Readonly<z.infer<typeof Person>>;
const People = z.array(Person);

export type PersonStore = Readonly<{
  byId(id: string): Promise<Person | undefined>;
  byIssuerSubject(issuer: string, subject: string): Promise<Person | undefined>;
  /** Finds or makes the person of this pair, and keeps the newest attributes and groups; those not given stay. */
  ensure(
    issuer: string,
    subject: string,
    attributes: Person['attributes'] | Readonly<Record<string, string>>,
    groups?: readonly string[],
  ): Promise<Person>;
}>;

export function openPersons({ prisma }: Database, clock: Clock): PersonStore {
  const one = async (sql: string, ...parameters: unknown[]): Promise<Person | undefined> =>
    People.parse(await guarded(() => prisma.$queryRawUnsafe(sql, ...parameters)))[0];
  const byIssuerSubject: PersonStore['byIssuerSubject'] = (issuer, subject) =>
    one(`${SELECT} WHERE issuer = $1 AND subject = $2`, issuer, subject);
  return {
    byId: (id) => one(`${SELECT} WHERE id = $1`, id),
    byIssuerSubject,
    ensure: async (issuer, subject, attributes, groups) => {
      const given = [JSON.stringify(attributes), groups === undefined ? null : [...groups]];
      const known = await one(KNOWN, issuer, subject, ...given);
      if (known !== undefined) return known;
      const [id, salt] = [newId('prs'), randomText(16)];
      const { leaf, leafHash } = metLeaf({ id, issuer, subject, salt }, clock.now());
      return Person.parse(await one(UPSERT, id, issuer, subject, salt, leaf, leafHash, ...given));
    },
  };
}

/** What the log says of somebody who is here for the first time: the id, and a commitment to who it is. */
export const metLeaf = (
  { id, issuer, subject, salt }: Readonly<Record<'id' | 'issuer' | 'subject' | 'salt', string>>,
  at: Seconds,
): ReturnType<typeof leafOf> =>
  leafOf({
    facts: { what: 'met', person: id, met: personCommitment(salt, { issuer, subject }) },
    ...{ kind: 'authentication', at, decision: 'done', reason: 'met' },
  });

const COLUMNS = 'id, issuer, subject, status, attributes, groups';
const SELECT = `SELECT ${COLUMNS} FROM person`;
const KNOWN = `
  ${SELECT} WHERE issuer = $1 AND subject = $2 AND attributes @> $3::jsonb AND groups = coalesce($4::text[], groups)`;
/** Of two first visits at once one makes the row and the record of it, and both get the row. */
const UPSERT = `
  WITH made AS (
    INSERT INTO person (id, issuer, subject, salt, attributes, groups)
    VALUES ($1, $2, $3, $4, $7::jsonb, coalesce($8::text[], '{}'))
    ON CONFLICT (issuer, subject) DO UPDATE
      SET attributes = person.attributes || excluded.attributes, groups = coalesce($8::text[], person.groups)
    RETURNING ${COLUMNS}
  ), met AS (
    INSERT INTO log_leaf (leaf, leaf_hash, kind, lineage)
    SELECT $5::bytea, $6::bytea, 'authentication', ARRAY[]::text[] FROM made WHERE made.id = $1
  )
  SELECT ${COLUMNS} FROM made`;
