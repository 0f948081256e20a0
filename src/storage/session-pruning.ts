import { z } from 'zod';
import type { Database } from './database.js';
import { guarded } from './outage.js';

/** As many closed sessions as one statement looks at, and statements in a round. */
const LOOKED_AT_ONCE = 500;
const STATEMENTS = 10;

/**
 * Forgets sessions that were closed so many days ago; what they were is in the log. A round goes on where the last one
 * stopped, and begins again once it has seen all: what has to stay is passed, not stuck at.
 */
export function openSessionPruning({ prisma }: Database): Readonly<{ prune(days: number): Promise<void> }> {
  let after = BEGINNING;
  return {
    prune: async (days) => {
      for (let statement = 0; statement < STATEMENTS; statement++) {
        const values = [days, after.closed, after.id, LOOKED_AT_ONCE];
        const [last] = Places.parse(await guarded(() => prisma.$queryRawUnsafe(PRUNE, ...values)));
        after = last ?? BEGINNING;
        if (last === undefined) return;
      }
    },
  };
}

/**
 * A run that was ended on purpose stays ended for as long as anything of its sign-in may come, and longer: consents last for
 * weeks, and what a trusted issuer says of a sign-in there for as long as it keeps that.
 */
export const ENDED_ON_PURPOSE_DAYS = 400;

const BEGINNING = { closed: '-infinity', id: '' };

/**
 * $1 days, $2 and $3 after which, $4 how many. Scalar subqueries, because an EXISTS may be planned as a hash of the whole
 * table.
 *
 * INVARIANT: a run that was ended on purpose is not opened again by the sign-in that it was of, however long tokens of that
 * are made: its row stays for {@link ENDED_ON_PURPOSE_DAYS}, and what goes earlier is what gave its run free (its key ends with its
 * id), and what was below a session that is closed, since nothing is opened below that. A row goes after those below it. Of each agent the youngest stays: when it was
 * last used is what the report of unused agents reads, and what was opened after the end of another was used after it.
 */
export const PRUNE = `
WITH looked AS MATERIALIZED (
  SELECT id, closed_at FROM agent_session
  WHERE closed_at < now() - make_interval(days => $1::int) AND closed_at >= $2::timestamptz
    AND (closed_at > $2::timestamptz OR id > $3)
  ORDER BY closed_at, id LIMIT $4::int
), gone AS MATERIALIZED (
  SELECT s.id FROM agent_session s JOIN looked ON looked.id = s.id
  WHERE (right(s.run_key, length(s.id) + 1) = ' ' || s.id OR (s.parent_id IS NOT NULL AND (
      SELECT above.id FROM agent_session above WHERE above.id = s.parent_id AND above.closed_at IS NULL) IS NULL)
      OR s.closed_at < now() - make_interval(days => ${String(ENDED_ON_PURPOSE_DAYS)}))
    AND (SELECT below.id FROM agent_session below WHERE below.parent_id = s.id LIMIT 1) IS NULL
    AND (SELECT younger.id FROM agent_session younger
      WHERE younger.agent_id = s.agent_id AND younger.opened_at >= s.ended_at AND younger.id <> s.id LIMIT 1) IS NOT NULL
  ORDER BY s.id FOR UPDATE OF s SKIP LOCKED
), accounts AS (
  DELETE FROM budget_account a USING gone WHERE a.session_id = gone.id
), pruned AS (
  DELETE FROM agent_session s USING gone WHERE s.id = gone.id
)
SELECT closed_at::text AS closed, id FROM looked ORDER BY closed_at DESC, id DESC LIMIT 1`;

const Places = z.array(z.object({ closed: z.string(), id: z.string() }));
