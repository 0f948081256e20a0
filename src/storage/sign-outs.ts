import { z } from 'zod';
import type { Clock, Seconds } from '../base/index.js';
import type { SignOuts } from '../oauth/index.js';
import { feedTarget, sha256 } from '../protocol/index.js';
import type { Database } from './database.js';
import type { Prisma } from './generated/client.js';
import { guarded } from './outage.js';
import { append } from './records.js';
import { commitsUnderWay } from './revocation-derived.js';
import { openRevocations } from './revocation-scopes.js';
import { revokeWithin } from './revocations.js';
import { endSessions } from './session-tree.js';
import { signInTarget } from './sign-ins.js';

export function openSignOuts(database: Database, clock: Clock): SignOuts {
  const { prisma } = database;
  const revocations = openRevocations(database, clock);
  return {
    here: (signIn, person) =>
      guarded(async () => {
        const ending = { signIn, by: person, reason: 'the person signed out', now: clock.now() };
        const grants = await prisma.$transaction((transaction) => endSignIn(transaction, ending));
        await commitsUnderWay(prisma);
        // Whatever was opened meanwhile by who could not know it yet.
        await prisma.$transaction((transaction) => endRuns(transaction, grants, ending));
      }),
    everywhere: async (person) => {
      await revocations.revoke(
        { kind: 'person', id: person },
        { by: person, reason: 'the person signed out everywhere' },
      );
    },
  };
}

type Ending = Readonly<{ by: string; reason: string; now: Seconds }>;

/** DANGER: records, sessions, the revocations' lock, as everybody who revokes has it; answers the consents. */
async function endSignIn(
  transaction: Prisma.TransactionClient,
  { signIn, ...ending }: Ending & Readonly<{ signIn: string }>,
): Promise<readonly string[]> {
  const grants = Words.parse(await transaction.$queryRawUnsafe(REMOVE, signIn)).map(({ word }) => word);
  const sessions = await endRuns(transaction, grants, ending, [
    signInTarget(signIn),
    ...grants.map((grant) => `grant:${grant}`),
  ]);
  const [numbered] = Numbers.parse(await transaction.$queryRawUnsafe(NUMBER, signInTarget(signIn)));
  const counts = { sessions: sessions.length, consents: grants.length };
  const { by, reason, now: at } = ending;
  const facts = { what: 'scope', kind: 'sign_in', id: signIn, number: numbered?.number ?? 0, ...counts, by };
  await append(transaction, { kind: 'revocation', at, facts, decision: 'done', reason });
  return grants;
}

/** A verifier knows no consents, so each session has a number. */
async function endRuns(
  transaction: Prisma.TransactionClient,
  grants: readonly string[],
  ending: Ending,
  targets: readonly string[] = [],
): Promise<readonly string[]> {
  const keys = grants.map((grant) => sha256(`grant ${grant}`));
  const runs = Words.parse(await transaction.$queryRawUnsafe(RUNS, keys)).map(({ word }) => word);
  const ended = await endSessions(transaction, runs, ending);
  await revokeWithin(transaction, [...targets, ...ended.map(feedTarget.session)], ending.by, ending.reason);
  return ended;
}

const Words = z.array(z.object({ word: z.string() }));
const Numbers = z.array(z.object({ number: z.coerce.number().int() }));

/** Locked in the order of their keys, as everybody does who removes several. */
export const REMOVE = `
  WITH gone AS MATERIALIZED (
    SELECT key FROM engine_record WHERE key IN (
      SELECT key FROM engine_record WHERE payload ->> 'sessionUid' = $1
      UNION SELECT key FROM engine_record WHERE model = 'Session' AND uid = $1)
    ORDER BY key FOR UPDATE
  ), removed AS (
    DELETE FROM engine_record e USING gone WHERE e.key = gone.key RETURNING e.grant_id
  )
  SELECT DISTINCT grant_id AS word FROM removed WHERE grant_id IS NOT NULL ORDER BY 1`;

const RUNS = `SELECT id AS word FROM agent_session WHERE run_key = ANY($1::text[]) AND status <> 'ended'`;
const NUMBER = `SELECT number::text AS number FROM revocation WHERE target = $1`;
