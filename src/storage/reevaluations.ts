import { z } from 'zod';
import { type Clock, newId } from '../base/index.js';
import type { Database } from './database.js';
import type { Prisma } from './generated/client.js';
import { guarded } from './outage.js';
import { append } from './records.js';
import { numberDerived, revokeWithin } from './revocations.js';

/** A re-evaluation that this process holds. `place` is how far it has come; `isLast`: in its second pass. */
export type Held = Readonly<{ version: number; policy: string; place: string; isLast: boolean; holder: string }>;

/** What came of one step; of `lost` so many were `undecided`. Without a `place` the pass is through. */
export type Step = Readonly<{ lost: readonly string[]; undecided: number; place: string | undefined }>;

export type Reevaluations = Readonly<{
  /** The one that is to be done, unless somebody else is at it. */
  take(): Promise<Held | undefined>;
  /** Ends these tokens and keeps the place, in one transaction; `false` when somebody else has taken over. */
  step(held: Held, step: Step): Promise<boolean>;
}>;

export function openReevaluations({ prisma }: Database, clock: Clock): Reevaluations {
  return {
    take: async () => {
      const holder = newId('hold');
      const [row] = Taken.parse(await guarded(() => prisma.$queryRawUnsafe(TAKE, holder)));
      return row && { version: row.version, policy: row.policy, place: row.place, isLast: row.is_last, holder };
    },
    step: (held, step) =>
      guarded(async () => {
        const targets = step.lost.map((hash) => `token:${hash}`);
        const taking = { held, step, targets, at: clock.now() };
        const isTaken = await prisma.$transaction((transaction) => takeStep(transaction, taking));
        if (isTaken) await numberDerived(prisma, targets, ORDER);
        return isTaken;
      }),
  };
}

/**
 * Has what is live decided over again by what is active now, in the transaction that made this version of the registry. One
 * that is not finished is overtaken: what it looks at is looked at by this one.
 */
export async function beginReevaluation(transaction: Prisma.TransactionClient, version: number): Promise<void> {
  await transaction.$executeRawUnsafe(BEGIN, version);
}

const BEGIN = `
  WITH active AS MATERIALIZED (SELECT policy FROM registry_state WHERE id = 1 AND policy IS NOT NULL), overtaken AS (
    UPDATE policy_reevaluation SET finished_at = clock_timestamp()
    WHERE finished_at IS NULL AND EXISTS (SELECT 1 FROM active)
  ) INSERT INTO policy_reevaluation (version, policy) SELECT $1::bigint, policy FROM active`;

const ORDER = { by: 'writ', reason: 'policy' } as const;

type Taking = Readonly<{ held: Held; step: Step; targets: readonly string[]; at: number }>;

async function takeStep(transaction: Prisma.TransactionClient, { held, step, targets, at }: Taking): Promise<boolean> {
  const { lost, undecided, place } = step;
  const [done] = Done.parse(
    await transaction.$queryRawUnsafe(STEP, held.version, held.holder, lost.length, undecided, place ?? null),
  );
  if (done === undefined) return false;
  await revokeWithin(transaction, targets, ORDER.by, ORDER.reason);
  if (done.is_finished) {
    const facts = {
      what: 'reevaluated',
      policy: held.policy,
      registry: held.version,
      ended: done.ended,
      undecided: done.undecided,
    };
    await append(transaction, { kind: 'policy', at, facts, decision: 'done', reason: 'reevaluated' });
  }
  return true;
}

/** A statement of a commit lasts four seconds at most: after ten, whatever was decided by the set of before is to be seen. */
const TAKE = `
  UPDATE policy_reevaluation SET holder = $1, held_until = clock_timestamp() + interval '15 seconds'
  WHERE version = (
    SELECT version FROM policy_reevaluation
    WHERE finished_at IS NULL AND (held_until IS NULL OR held_until < clock_timestamp())
      AND (passes = 0 OR begun_at < clock_timestamp() - interval '10 seconds')
    ORDER BY version DESC LIMIT 1 FOR UPDATE SKIP LOCKED
  ) RETURNING version::int AS version, policy, place::text AS place, passes > 0 AS is_last`;

const STEP = `
  UPDATE policy_reevaluation SET ended = ended + $3::int, undecided = undecided + $4::int,
    place = coalesce($5::bigint, 0), passes = passes + CASE WHEN $5::bigint IS NULL THEN 1 ELSE 0 END,
    finished_at = CASE WHEN $5::bigint IS NULL AND passes = 1 THEN clock_timestamp() END,
    held_until = CASE WHEN $5::bigint IS NULL THEN NULL ELSE clock_timestamp() + interval '15 seconds' END
  WHERE version = $1::bigint AND holder = $2 AND finished_at IS NULL AND held_until > clock_timestamp()
  RETURNING ended, undecided, finished_at IS NOT NULL AS is_finished`;

const Taken = z.array(z.object({ version: z.number(), policy: z.string(), place: z.string(), is_last: z.boolean() }));
const Done = z.array(z.object({ ended: z.number(), undecided: z.number(), is_finished: z.boolean() }));
