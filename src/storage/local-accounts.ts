import { z } from 'zod';
import type { Invitations } from '../admin/index.js';
import { type Clock, Fault, newId, randomText } from '../base/index.js';
import type { LocalAccounts } from '../human/index.js';
import { sha256 } from '../protocol/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';
import { metLeaf, Person } from './person-store.js';
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
          const [tried] = Tried.parse(await transaction.$queryRawUnsafe(ENROL, tokenHash, ...key));
          if (tried === undefined) return 'over';
          if (tried.person === null) return 'taken';
          const facts = { what: 'enrolled', person: tried.person, credential: sha256(id) };
          const at = clock.now();
          await append(transaction, { kind: 'authentication', at, facts, decision: 'done', reason: 'enrolled' });
          return 'done';
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
  { issuer, clock }: Readonly<{ issuer: string; clock: Clock }>,
): Invitations {
  const linkTo = (person: string, by: string): Readonly<{ token: string; values: unknown[] }> => {
    const token = randomText(32);
    const facts = { what: 'invited', person, by };
    const { leaf, leafHash } = leafOf({
      ...{ kind: 'authentication', at: clock.now(), facts, decision: 'done', reason: 'invited' },
    });
    return { token, values: [sha256(token), person, issuer, LINK_SECONDS, leaf, leafHash] };
  };
  return {
    setGroups: async (person, groups, by) =>
      guarded(() =>
        prisma.$transaction(async (transaction) => {
          if ((await transaction.$executeRawUnsafe(SET_GROUPS, person, issuer, [...groups])) === 0) return false;
          const facts = { what: 'groups_set', person, groups: [...groups], by };
          const at = clock.now();
          await append(transaction, { kind: 'authentication', at, facts, decision: 'done', reason: 'groups_set' });
          return true;
        }),
      ),
    again: async (person, by) => {
      const { token, values } = linkTo(person, by);
      const [made] = Links.parse(await guarded(() => prisma.$queryRawUnsafe(INVITE, ...values)));
      return made === undefined ? undefined : { ...made, token };
    },
    invite: async ({ groups = [], ...attributes }, by) => {
      const [id, subject, salt] = [newId('prs'), newId('acc'), randomText(16)];
      const met = metLeaf({ id, issuer, subject, salt }, clock.now());
      const { token, values } = linkTo(id, by);
      const more = [subject, JSON.stringify(attributes), salt, met.leaf, met.leafHash, [...groups]];
      const rows = await guarded(() => prisma.$queryRawUnsafe(INVITE_ANEW, ...values, ...more));
      const [made] = Links.parse(rows);
      if (made === undefined) throw new Fault('internal', 'an invitation made nobody');
      return { ...made, token };
    },
  };
}

const LINK_SECONDS = 72 * 3_600;

const PERSON = 'p.id, p.issuer, p.subject, p.status, p.attributes, p.groups';

const LIVE = `e.used_at IS NULL AND e.expires_at > clock_timestamp() AND p.status = 'active'`;

const INVITED = `
  SELECT ${PERSON}, coalesce((SELECT array_agg(k.id ORDER BY k.id) FROM passkey k WHERE k.person_id = p.id), '{}') AS passkeys
  FROM enrolment e JOIN person p ON p.id = e.person_id WHERE e.token_hash = $1 AND ${LIVE}`;

/** WebAuthn section 7.1, step 26: a credential id that somebody has is refused, and spends no link; of two at once one has it. */
const ENROL = `
  WITH open AS MATERIALIZED (
    SELECT e.token_hash, p.id FROM enrolment e JOIN person p ON p.id = e.person_id
    WHERE e.token_hash = $1 AND ${LIVE} FOR UPDATE OF e
  ), made AS (
    INSERT INTO passkey (id, person_id, public_key, counter, transports, may_be_copied, is_backed_up)
    SELECT $2, open.id, $3::bytea, $4::bigint, $5::text[], $6, $7 FROM open
    ON CONFLICT (id) DO NOTHING RETURNING person_id
  ), spent AS (
    UPDATE enrolment e SET used_at = clock_timestamp() FROM open, made WHERE e.token_hash = open.token_hash
  )
  SELECT (SELECT person_id FROM made) AS person FROM open`;

const PASSKEY = `
  SELECT k.public_key AS "publicKey", k.counter::float8 AS counter, k.transports, k.may_be_copied AS "mayBeCopied",
    k.is_backed_up AS "isBackedUp", to_jsonb(p) AS person
  FROM passkey k JOIN person p ON p.id = k.person_id WHERE k.id = $1`;

const USED = `
  UPDATE passkey SET counter = $2::bigint, is_backed_up = $3, last_used_at = clock_timestamp()
  WHERE id = $1 AND (counter < $2::bigint OR (counter = 0 AND $2::bigint = 0))`;

const SET_GROUPS = 'UPDATE person SET groups = $3::text[] WHERE id = $1 AND issuer = $2';

/** Links that are over are forgotten by the next one. `p` is who is invited, `records` what is written of it, in this order. */
const linkFor = (p: string, records: string): string => `
  over AS (
    DELETE FROM enrolment WHERE token_hash IN (SELECT token_hash FROM enrolment WHERE expires_at < now() LIMIT 100)
  ), made AS (
    INSERT INTO enrolment (token_hash, person_id, expires_at)
    SELECT $1, id, clock_timestamp() + make_interval(secs => $4::float8) FROM ${p}
    WHERE id = $2 AND issuer = $3 AND status = 'active'
    RETURNING person_id, expires_at
  ), invited AS (
    INSERT INTO log_leaf (leaf, leaf_hash, kind, lineage)
    SELECT leaf, leaf_hash, 'authentication', ARRAY[]::text[]
    FROM made CROSS JOIN (VALUES ${records}) AS record(place, leaf, leaf_hash) ORDER BY place
  )
  SELECT ${PERSON}, floor(extract(epoch FROM made.expires_at))::float8 AS "expiresAt"
  FROM made JOIN ${p} p ON p.id = made.person_id`;

const INVITE = `WITH ${linkFor('person', '(1, $5::bytea, $6::bytea)')}`;

/** Nobody is made without a link, whatever interrupts this: it is one statement. */
const INVITE_ANEW = `
  WITH newcomer AS (
    INSERT INTO person (id, issuer, subject, attributes, salt, groups) VALUES ($2, $3, $7, $8::jsonb, $9, $12::text[])
    RETURNING id, issuer, subject, status, attributes, groups
  ), ${linkFor('newcomer', '(0, $10::bytea, $11::bytea), (1, $5::bytea, $6::bytea)')}`;

const Invited = z.array(Person.extend({ passkeys: z.array(z.string()) }));
const Tried = z.array(z.object({ person: z.string().nullable() }));
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
