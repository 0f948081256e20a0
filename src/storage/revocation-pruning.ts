import type { Database } from './database.js';
import { pruneAll, pruneSql } from './pruning.js';
import { ENDED_ON_PURPOSE_DAYS } from './session-pruning.js';

/** Forgets what was ended so long ago that nothing of it can be presented any more; the log says what it was. */
export const pruneRevocations = (database: Database): Promise<void> => pruneAll(database, PRUNE, ENDED_ON_PURPOSE_DAYS);

/**
 * Of what nothing outlives those days: tokens, agent sessions, sign-ins with the sessions at a company that they came of, and
 * consents. A key, and what was cut off and may begin anew, is named by what is presented for the first time much later.
 *
 * INVARIANT: the highest number stays, whatever it is of: the next one is counted from it.
 */
export const PRUNE = pruneSql('revocation', 'target', {
  where: `revoked_at < now() - make_interval(days => $1::int) AND target ~ '^(token|session|sign-in|company-session|grant):'
    AND number < (SELECT max(number) FROM revocation)`,
  oldest: 'revoked_at',
});
