import { z } from 'zod';
import type { Invitations } from '../admin/index.js';
import { type Clock, newId, randomText } from '../base/index.js';
import type { LocalAccounts } from '../human/index.js';
import { sha256 } from '../protocol/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';
import { type PersonStore, Person } from './person-store.js';
import { append, leafOf } from './records.js';

/** Accounts whose issuer is ours, and the links by which their people make passkeys. */
export function openLocalAccounts({ prisma }: Database, clock: Clock): LocalAccounts {
  return {
    invited: async (tokenHash) => {
      const [row] = Invited.parse(await guarded(() => prisma.$queryRawUnsafe(INVITED, tokenHash)));
      if (row === undefined) return undefined;
      const { passkeys, ...account } = row;
      return { account, passkeys };
    },
    enrol: async (tokenHash, { id, publicKey, counter, transports, mayBeCopied, isBackedUp }) => {
      const key = [id, Buffer.from(publicKey), counter, [...transports], mayBeCopied, isBackedUp];
      return guarded(() =>
        prisma.$transaction(async (transaction) => {
          const [spent] = Spent.parse(await transaction.$queryRawUnsafe(ENROL, tokenHash, ...key));
          if (spent === undefined) return false;
          const facts = { what: 'enrolled', person: spent.person, credential: sha256(id) };
          const at = clock.now();
          await append(transaction, { kind: 'authentication', at, facts, decision: 'done', reason: 'enrolled' });
          return true;
        }),
      );
    },
    passkey: async (id) => {
      const [row] = Passkeys.parse(await guarded(() => prisma.$queryRawUnsafe(PASSKEY, id)));
      if (row === undefined) return undefined;
      const { publicKey, counter, transports, mayBeCopied, isBackedUp, person } = row;
      return { passkey: { id, publicKey, counter, transports, mayBeCopied, isBackedUp }, account: person };
    },
    used: async (id, { counter, isBackedUp }) =>
      (await guarded(() => prisma.$executeRawUnsafe(USED, id, counter, isBackedUp))) === 1,
  };
}

/** `issuer` is our own: these people exist because an administrator says so. */
export function openInvitations(
  { prisma }: Database,
  { issuer, persons, clock }: Readonly<{ issuer: string; persons: Pick<PersonStore, 'ensure'>; clock: Clock }>,
): Invitations {
  const again: Invitations['again'] = async (person, by) => {
    const token = randomText(32);
    const facts = { what: 'invited', person, by };
    const { leaf, leafHash } = leafOf({
      ...{ kind: 'authentication', at: clock.now(), facts, decision: 'done', reason: 'invited' },
    });
    const values = [sha256(token), person, issuer, LINK_SECONDS, leaf, leafHash];
    const [made] = Links.parse(await guarded(() => prisma.$queryRawUnsafe(INVITE, ...values)));
    return made === undefined ? undefined : { person: made.person, token, expiresAt: made.expiresAt };
  };
  return {
    again,
    invite: async (attributes, by) => {
      const { id } = await persons.ensure(issuer, newId('acc'), attributes);
      const made = await again(id, by);
      if (made === undefined) throw new Error('a person who was just made is gone');
      return made;
    },
  };
}

const LINK_SECONDS = 72 * 3_600;

const PERSON = 'p.id, p.issuer, p.subject, p.status, p.attributes';

const LIVE = `e.used_at IS NULL AND e.expires_at > clock_timestamp() AND p.status = 'active'`;

const INVITED = `
  SELECT ${PERSON}, coalesce((SELECT array_agg(k.id ORDER BY k.id) FROM passkey k WHERE k.person_id = p.id), '{}') AS passkeys
  FROM enrolment e JOIN person p ON p.id = e.person_id WHERE e.token_hash = $1 AND ${LIVE}`;

/** WebAuthn section 7.1, step 26: a credential id that somebody has is refused. */
const ENROL = `
  WITH spent AS (
    UPDATE enrolment e SET used_at = clock_timestamp() FROM person p
    WHERE e.token_hash = $1 AND p.id = e.person_id AND ${LIVE} AND NOT EXISTS (SELECT 1 FROM passkey k WHERE k.id = $2)
    RETURNING p.id
  )
  INSERT INTO passkey (id, person_id, public_key, counter, transports, may_be_copied, is_backed_up)
  SELECT $2, spent.id, $3::bytea, $4::bigint, $5::text[], $6, $7 FROM spent
  RETURNING person_id AS person`;

const PASSKEY = `
  SELECT k.public_key AS "publicKey", k.counter::float8 AS counter, k.transports, k.may_be_copied AS "mayBeCopied",
    k.is_backed_up AS "isBackedUp", to_jsonb(p) AS person
  FROM passkey k JOIN person p ON p.id = k.person_id WHERE k.id = $1`;

const USED = `
  UPDATE passkey SET counter = $2::bigint, is_backed_up = $3, last_used_at = clock_timestamp()
  WHERE id = $1 AND (counter < $2::bigint OR (counter = 0 AND $2::bigint = 0))`;

/** Links that are over are forgotten by the next one. */
const INVITE = `
  WITH over AS (
    DELETE FROM enrolment WHERE token_hash IN (SELECT token_hash FROM enrolment WHERE expires_at < now() LIMIT 100)
  ), made AS (
    INSERT INTO enrolment (token_hash, person_id, expires_at)
    SELECT $1, id, clock_timestamp() + make_interval(secs => $4::float8) FROM person
    WHERE id = $2 AND issuer = $3 AND status = 'active'
    RETURNING person_id, expires_at
  ), invited AS (
    INSERT INTO log_leaf (leaf, leaf_hash, kind, lineage)
    SELECT $5::bytea, $6::bytea, 'authentication', ARRAY[]::text[] FROM made
  )
  SELECT ${PERSON}, floor(extract(epoch FROM made.expires_at))::float8 AS "expiresAt"
  FROM made JOIN person p ON p.id = made.person_id`;

const Invited = z.array(Person.extend({ passkeys: z.array(z.string()) }));
const Spent = z.array(z.object({ person: z.string() }));
const Links = z.array(
  Person.extend({ expiresAt: z.number() }).transform(({ expiresAt, ...person }) => ({ person, expiresAt })),
);
const Passkeys = z.array(
  z.object({
    publicKey: z.instanceof(Uint8Array),
    counter: z.number(),
    transports: z.array(z.string()),
    mayBeCopied: z.boolean(),
    isBackedUp: z.boolean(),
    person: Person,
  }),
);
