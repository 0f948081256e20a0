import { z } from 'zod';
import type { Clock, Seconds } from '../base/index.js';
import type { SignOuts } from '../oauth/index.js';
import { companySession, companySessionTarget, ENTRY_LIFE, feedTarget, sha256 } from '../protocol/index.js';
import type { Database } from './database.js';
import type { Prisma } from './generated/client.js';
import { guarded } from './outage.js';
import { append } from './records.js';
import { commitsUnderWay } from './revocation-derived.js';
import { openRevocations, revokeScope } from './revocation-scopes.js';
import { revokeWithin } from './revocations.js';
import { endInGroups, endSessions } from './session-tree.js';
import { signInTarget } from './sign-ins.js';

export function openSignOuts(database: Database, clock: Clock): SignOuts {
  const revocations = openRevocations(database, clock);
  const endAll = (ending: Ending, end: (transaction: Transaction) => Promise<Ended>): Promise<Ended> =>
    endForGood(database, ending, end);
  return {
    here: async (signIn, person) => {
      const ending = { by: person, reason: 'the person signed out', now: clock.now() };
      const about = { kind: 'sign_in', id: signIn, target: signInTarget(signIn) };
      await endAll(ending, (transaction) => endSignIns(transaction, [signIn], { ...ending, ...about }));
    },
    everywhere: async (person) => {
      const order = { by: person, reason: 'the person signed out everywhere' };
      await revocations.revoke({ kind: 'person', id: person }, order);
    },
    byCompany: async ({ issuer, jti, expiresAt, sid, subject }, provider) => {
      const ending = { by: `identity-provider:${provider}`, reason: 'signed out at the company', now: clock.now() };
      const key = sha256(JSON.stringify(['logout_token', issuer, jti]));
      const session = sid === undefined ? undefined : companySession(issuer, sid);
      const { isFirst } = await endAll(ending, async (transaction) => {
        const isFirst = (await transaction.$executeRawUnsafe(SPEND, key, expiresAt)) > 0;
        const [person] = await wordsOf(transaction, PERSON, issuer, subject ?? null);
        if (!isFirst) {
          // Whoever was interrupted has cut off the person, and may have left sessions of before.
          const left = session === undefined ? await wordsOf(transaction, LEFT, person ?? null) : [];
          return { ...NOTHING, isFirst: left.length > 0, rest: left };
        }
        if (session === undefined) {
          const ended =
            person === undefined ? undefined : await revokeScope(transaction, { kind: 'person', id: person }, ending);
          return { ...NOTHING, rest: ended?.rest ?? [] };
        }
        const signIns = await wordsOf(transaction, OF_COMPANY, session, person ?? null);
        const about = { kind: 'company_session', id: session, target: companySessionTarget(session) };
        return endSignIns(transaction, signIns, { ...ending, ...about });
      });
      return isFirst ? 'ended' : 'said_before';
    },
  };
}

type Transaction = Prisma.TransactionClient;
type Ending = Readonly<{ by: string; reason: string; now: Seconds }>;
/** `rest`: sessions that are still to be ended. */
type Ended = Readonly<{ isFirst: boolean; rest: readonly string[] }> & Ancestors;
/** What runs come of: consents, and the targets that a trusted issuer's own token has in its lineage. */
type Ancestors = Readonly<{ grants: readonly string[]; targets: readonly string[] }>;
const NOTHING: Ended = { isFirst: true, grants: [], targets: [], rest: [] };

/** Ends, and ends again whatever was opened meanwhile by who could not know it yet. */
export async function endForGood(
  { prisma }: Pick<Database, 'prisma'>,
  ending: Ending,
  end: (transaction: Transaction) => Promise<Ended>,
): Promise<Ended> {
  const ended = await guarded(() => prisma.$transaction(end));
  if (!ended.isFirst && ended.rest.length === 0) return ended;
  await guarded(() => commitsUnderWay(prisma));
  await guarded(() => prisma.$transaction((transaction) => endRuns(transaction, ended, ending)));
  await endInGroups(prisma, ended.rest, ending);
  return ended;
}

type About = Ending & Readonly<{ kind: string; id: string; target: string }>;

async function endSignIns(transaction: Transaction, signIns: readonly string[], about: About): Promise<Ended> {
  const grants = await wordsOf(transaction, REMOVE, signIns);
  return endWithRuns(transaction, { grants, targets: [about.target] }, about, signIns.map(signInTarget));
}

/** DANGER: the records are removed already: records, sessions, the revocations' lock, as everybody who revokes has it. */
export async function endWithRuns(
  transaction: Transaction,
  { grants, targets: above }: Ancestors,
  { kind, id, target, ...ending }: About,
  more: readonly string[] = [],
): Promise<Ended> {
  const targets = [target, ...more, ...grants.map((grant) => `grant:${grant}`)];
  const sessions = await endRuns(transaction, { grants, targets: above }, ending, targets);
  const [numbered] = Numbers.parse(await transaction.$queryRawUnsafe(NUMBER, target));
  const counts = { sessions: sessions.length, consents: grants.length };
  const { by, reason, now: at } = ending;
  const facts = { what: 'scope', kind, id, number: numbered?.number ?? 0, ...counts, by };
  await append(transaction, { kind: 'revocation', at, facts, decision: 'done', reason });
  return { ...NOTHING, grants, targets: above };
}

/** A verifier knows neither consents nor sessions elsewhere, so each session of ours has a number. */
async function endRuns(
  transaction: Transaction,
  ancestors: Ancestors,
  ending: Ending,
  revoked: readonly string[] = [],
): Promise<readonly string[]> {
  const keys = ancestors.grants.map((grant) => sha256(`grant ${grant}`));
  const runs = await wordsOf(transaction, RUNS, keys);
  const { targets } = ancestors;
  const foreign = targets.length === 0 ? [] : await wordsOf(transaction, FOREIGN_RUNS, targets);
  const ended = await endSessions(transaction, [...new Set([...runs, ...foreign])], ending);
  await revokeWithin(transaction, [...revoked, ...ended.map(feedTarget.session)], ending.by, ending.reason);
  return ended;
}

const wordsOf = async (transaction: Transaction, sql: string, ...values: unknown[]): Promise<readonly string[]> =>
  Words.parse(await transaction.$queryRawUnsafe(sql, ...values)).map(({ word }) => word);

const Words = z.array(z.object({ word: z.string() }));
const Numbers = z.array(z.object({ number: z.coerce.number().int() }));

/** Locked in the order of their keys, as everybody does who removes several. */
export const REMOVE = `
  WITH gone AS MATERIALIZED (
    SELECT key FROM engine_record WHERE key IN (
      SELECT key FROM engine_record WHERE payload ->> 'sessionUid' = ANY($1::text[])
      UNION SELECT key FROM engine_record WHERE model = 'Session' AND uid = ANY($1::text[]))
    ORDER BY key FOR UPDATE
  ), removed AS (
    DELETE FROM engine_record e USING gone WHERE e.key = gone.key RETURNING e.grant_id
  )
  SELECT DISTINCT grant_id AS word FROM removed WHERE grant_id IS NOT NULL ORDER BY 1`;

/** Sign-ins and consents know the sessions at the company; of a provider that names none, and of before that was kept, all are meant. */
export const OF_COMPANY = `
  SELECT coalesce(payload ->> 'sessionUid', uid) AS word FROM engine_record
  WHERE payload -> 'origin' IS NOT NULL AND payload #> '{origin,sessions}' @> to_jsonb(ARRAY[$1::text])
  UNION SELECT coalesce(payload ->> 'sessionUid', uid) FROM engine_record
  WHERE payload ->> 'accountId' = $2 AND model IN ('Session', 'Grant') AND coalesce(payload #> '{origin,sessions}', '[]') = '[]'::jsonb
    AND coalesce(payload ->> 'sessionUid', uid) IS NOT NULL`;

const RUNS = `SELECT id AS word FROM agent_session WHERE run_key = ANY($1::text[]) AND status <> 'ended'`;
/** Of tokens that live: whatever the others are asked for is refused by their lineage. */
const FOREIGN_RUNS = `
  SELECT DISTINCT s.id AS word FROM log_leaf l JOIN agent_session s ON s.id = l.session_id
  WHERE l.token_hash IS NOT NULL AND l.at > now() - interval '${ENTRY_LIFE} seconds' AND l.lineage && $1::text[]
    AND s.status <> 'ended'`;
const LEFT = `
  SELECT s.id AS word FROM agent_session s JOIN revocation r ON r.target = 'person:' || s.person_id
  WHERE s.person_id = $1::text AND s.status <> 'ended' AND s.opened_at < r.revoked_at`;
const NUMBER = `SELECT number::text AS number FROM revocation WHERE target = $1`;
const PERSON = `SELECT id AS word FROM person WHERE issuer = $1 AND subject = $2::text`;
const SPEND = `
  INSERT INTO replay (key, spender, expires_at) VALUES ($1, 'logout', to_timestamp($2::float8)) ON CONFLICT (key) DO NOTHING`;
