/** All keys with their times in seconds, the newest first; `dueIn` is when time alone changes this one. */
export const KEYS = `
  SELECT kid, alg, public_jwk AS "publicJwk", sealed, state,
    extract(epoch FROM created_at)::float8 AS "createdAt", extract(epoch FROM activates_at)::float8 AS "activatesAt",
    extract(epoch FROM retired_at)::float8 AS "retiredAt", extract(epoch FROM published_until)::float8 AS "publishedUntil",
    extract(epoch FROM withdrawn_at)::float8 AS "withdrawnAt",
    extract(epoch FROM CASE state WHEN 'next' THEN activates_at WHEN 'retired' THEN published_until END
      - clock_timestamp())::float8 AS "dueIn"
  FROM signing_key ORDER BY created_at DESC, kid`;

const INSERT = `INSERT INTO signing_key (kid, alg, public_jwk, sealed, state, created_at, activates_at)
  SELECT $1, $2, $3::jsonb, $4`;

export const INSERT_FIRST = `${INSERT}, 'active', clock_timestamp(), clock_timestamp()
  WHERE NOT EXISTS (SELECT FROM signing_key WHERE state = 'active')`;

export const INSERT_NEXT = `${INSERT}, 'next', clock_timestamp(), clock_timestamp() + make_interval(secs => $5::float8)`;

/** What has signed its last loses its private half. $1: how long it stays published, in seconds. */
export const SETTLE = `
  WITH due AS MATERIALIZED (
    SELECT kid FROM signing_key WHERE state = 'next' AND activates_at <= clock_timestamp()
  ), retired AS (
    UPDATE signing_key SET state = 'retired', sealed = '', retired_at = clock_timestamp(),
      published_until = clock_timestamp() + make_interval(secs => $1::float8)
    WHERE state = 'active' AND EXISTS (SELECT FROM due) RETURNING kid
  ), activated AS (
    UPDATE signing_key SET state = 'active' WHERE kid IN (SELECT kid FROM due) RETURNING kid
  )
  SELECT 'retired' AS what, kid FROM retired UNION ALL SELECT 'activated', kid FROM activated`;

export const REMOVE = `
  UPDATE signing_key SET state = 'former' WHERE state = 'retired' AND published_until <= clock_timestamp()
  RETURNING 'removed' AS what, kid`;

/** No session lives longer than a day, so no call that began with a token of it runs on. */
export const FORGET = `
  DELETE FROM signing_key WHERE state = 'former' AND published_until <= clock_timestamp() - interval '1 day'`;

export const WITHDRAW = `
  UPDATE signing_key SET state = 'withdrawn', withdrawn_at = clock_timestamp(), sealed = '' WHERE kid = $1`;

export const PROMOTE = `
  UPDATE signing_key SET state = 'active', activates_at = clock_timestamp() WHERE state = 'next'
  RETURNING 'activated' AS what, kid`;
