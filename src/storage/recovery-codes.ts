import { z } from 'zod';
import { type Clock, Fault } from '../base/index.js';
import type { RecoveryCodes } from '../human/index.js';
import { sha256 } from '../protocol/index.js';
import type { Database } from './database.js';
import type { Prisma } from './generated/client.js';
import { guarded } from './outage.js';
import { append } from './records.js';
import { numberDerived } from './revocations.js';
import { revokeScope } from './revocation-scopes.js';
import { endInGroups } from './session-tree.js';

type Transaction = Prisma.TransactionClient;

/** `issuer` is our own: nobody else's people have codes. */
export function openRecoveryCodes(
  { prisma }: Database,
  { issuer, clock }: Readonly<{ issuer: string; clock: Clock }>,
): RecoveryCodes {
  return {
    left: async (person) => {
      const [row] = Counted.parse(await guarded(() => prisma.$queryRawUnsafe(LEFT, person)));
      return row?.left ?? 0;
    },
    replace: ({ person, uid }, hashes) =>
      guarded(() =>
        prisma.$transaction(async (transaction) => {
          await lockAccount(transaction, person);
          const owners = Owners.parse(await transaction.$queryRawUnsafe(MAKER, person, issuer, uid));
          if (owners.length === 0) return false;
          await transaction.$executeRawUnsafe('DELETE FROM recovery_code WHERE person_id = $1', person);
          await transaction.$executeRawUnsafe(KEEP, person, [...hashes]);
          const facts = { what: 'recovery_codes_made', person, codes: hashes.length };
          await append(transaction, { ...AUTHENTICATION, at: clock.now(), facts, reason: 'recovery codes were made' });
          return true;
        }),
      ),
    spend: async (codeHash, linkHash) => {
      const ended = await guarded(() =>
        prisma.$transaction((transaction) =>
          spendWithin(transaction, { codeHash, linkHash, issuer, now: clock.now() }),
        ),
      );
      if (ended === undefined) return false;
      const { order, rest, targets } = ended;
      await endInGroups(prisma, rest, order);
      await guarded(() => numberDerived(prisma, targets, order));
      return true;
    },
  };
}

/**
 * Makes whoever changes the passkeys, the codes or the password of a person wait for each other, and for their erasure, which
 * takes the person's row first. DANGER: before any other row is locked.
 */
export async function lockAccount(transaction: Transaction, person: string): Promise<void> {
  await transaction.$queryRawUnsafe('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))::text', `account ${person}`);
  await transaction.$queryRawUnsafe('SELECT id FROM person WHERE id = $1 FOR KEY SHARE', person);
}

type Spending = Readonly<{ codeHash: string; linkHash: string; issuer: string; now: number }>;

/**
 * As when an administrator replaces passkeys that are lost: whoever has one of them must not go on with it, and whoever stole
 * the code does not stay unseen beside its owner (AP-17).
 */
async function spendWithin(transaction: Transaction, { codeHash, linkHash, issuer, now }: Spending) {
  const find = async (): Promise<string | undefined> =>
    Owners.parse(await transaction.$queryRawUnsafe(OWNER, codeHash, issuer))[0]?.person;
  const person = await find();
  if (person === undefined) return undefined;
  await lockAccount(transaction, person);
  // Whoever was first has spent it by now.
  if ((await find()) === undefined) return undefined;
  const order = { by: person, reason: 'a recovery code was used', now };
  const ended = await revokeScope(transaction, { kind: 'person', id: person }, order);
  await transaction.$executeRawUnsafe(SPEND, codeHash, person);
  const gone = Gone.parse(await transaction.$queryRawUnsafe(REMOVE, person));
  const [opened] = Opened.parse(await transaction.$queryRawUnsafe(OPEN, linkHash, person, LINK_SECONDS));
  if (ended === undefined || opened === undefined) throw new Fault('internal', 'the owner of a recovery code is gone');
  const credentials = gone.map(({ passkey }) => sha256(passkey)).sort();
  const facts = { what: 'recovery_code_used', person, credentials, left: opened.left };
  await append(transaction, { ...AUTHENTICATION, at: now, facts, reason: order.reason });
  return { order, rest: ended.rest, targets: ended.targets };
}

const AUTHENTICATION = { kind: 'authentication', decision: 'done' } as const;

const LINK_SECONDS = 15 * 60;

const LEFT = 'SELECT count(*)::int AS left FROM recovery_code WHERE person_id = $1';

/** Whoever has a passkey and is signed in still. The row is held, so that it is there until the codes are. */
export const MAKER = `
  SELECT p.id AS person FROM person p
  WHERE p.id = $1 AND p.issuer = $2 AND p.status = 'active' AND EXISTS (SELECT 1 FROM passkey k WHERE k.person_id = p.id)
    AND EXISTS (SELECT 1 FROM engine_record r WHERE r.uid = $3 AND r.payload ->> 'accountId' = p.id)
  FOR KEY SHARE OF p`;

const KEEP = 'INSERT INTO recovery_code (code_hash, person_id) SELECT hash, $1 FROM unnest($2::text[]) AS hash';

const OWNER = `
  SELECT p.id AS person FROM recovery_code c JOIN person p ON p.id = c.person_id
  WHERE c.code_hash = $1 AND p.issuer = $2 AND p.status = 'active'`;

const SPEND = `
  WITH code AS (DELETE FROM recovery_code WHERE code_hash = $1)
  DELETE FROM enrolment WHERE person_id = $2 AND used_at IS NULL AND expires_at > clock_timestamp()`;

/**
 * Whoever had the account may also have chosen where its person is told. In a statement after the links: it waits for whoever makes
 * a passkey by one of them, and this sees that passkey.
 */
const REMOVE = `
  WITH password AS (DELETE FROM password WHERE person_id = $1),
    channel AS (DELETE FROM notice_channel WHERE person_id = $1)
  DELETE FROM passkey WHERE person_id = $1 RETURNING id AS passkey`;

const OPEN = `
  INSERT INTO enrolment (token_hash, person_id, expires_at)
  SELECT $1, id, clock_timestamp() + make_interval(secs => $3::float8) FROM person WHERE id = $2
  RETURNING (SELECT count(*)::int FROM recovery_code WHERE person_id = $2) AS left`;

const Counted = z.array(z.object({ left: z.number() }));
const Owners = z.array(z.object({ person: z.string() }));
const Gone = z.array(z.object({ passkey: z.string() }));
const Opened = z.array(z.object({ left: z.number() }));
