const LOCKS = 'the order of locks: without it there are deadlocks, which are tried again, and no other answer';
const KEPT = 'the plans of today keep the order of the input, though SQL does not promise it';

/** Faults of scripts/mutation-sql.mjs that change nothing that a test can see, by a part of their name, each with the reason. */
export const equivalent = {
  ' id = 1 -> true': 'the table has one row',
  'ORDER BY key ->': LOCKS,
  'ORDER BY run ->': LOCKS,
  'ORDER BY new_issuer, new_subject, n ->': LOCKS,
  'ORDER BY n ->': KEPT,
  'ORDER BY j.n ->': KEPT,
  'max(known_session': 'no run has two sessions',
  'i.made_at) > $19::int -> >=': 'one second of the clock of the database, which no test can set',
  'agent_session.expires_at > clock_timestamp() -> >=': 'one microsecond of the clock of the database',
};
