import { approvalKey } from '../approval/index.js';
import { DEBIT_CTES, HOLD_CTE } from './budget-sql.js';
import { isEnding } from './revocations.js';
import { idleUntil, isIdle } from './session-idle.js';

/** DANGER: why an administrator ended a session is not the agents' to read; that its time is over is. */
const endOf = (session: string): string =>
  `CASE WHEN ${session}.ended_by = 'writ' AND ${session}.ended_reason IN ('expired', 'idle') THEN ${session}.ended_reason WHEN ${session}.status = 'ended' THEN 'ended' END`;

/**
 * The statement that is the verdict. One row of input for each exchange; whatever it refuses is written nowhere but in
 * that exchange's own record, and one refusal never touches its neighbours.
 *
 * $1  request      text[]   who spends, and the key of the answer
 * $2  decision     text[]   permit | refuse | ask
 * $3  reason       text[]   of the decision
 * $4  head         text[]   the record without its outcome
 * $5  registry     int[]    the version that it was decided with
 * $6  run_key      text[]   the run to open or join, or null; where a session is continued, the run that it must be of, because
 *                           the transaction is joined by its handle (transaction_over)
 * $7  session_id   text[]   the session to continue, or the id that a new one gets, or null
 * $8  opens        bool[]   whether a session may be opened
 * $9  expires      bigint[] when a new session ends, seconds
 * $10 person       text[]   null while unknown
 * $11 agent        text[]
 * $12 txn          text[]
 * $13 token_hash   text[]   null for what is not permitted
 * $14 lineage      text[]   revocation targets, each list joined by spaces
 * $15 spends       text[]   one-time keys, each list joined by spaces
 * $16 spend_ends   text[]   their ends in seconds, in the same order
 * $17 made_at      bigint[] the request's one now, seconds
 * $18 token_ends   bigint[] when the wanted token ends, or null
 * $19 skew         int      how far our clock may be from the database's
 * $20 kid          text[]   the key that would sign, null for what is not permitted
 * $21 new_issuer   text[]   with $22 (subject) and $23 (attributes and salt, JSON text) a person whom we meet here for the first time,
 *                           under the id of $10; one whom another exchange met first makes this one stale. A first
 *                           meeting that another replica makes meanwhile is not seen by this snapshot: the INSERT waits for it
 *                           and fails, and with it the whole statement, spending included. Tried again, it sees the person
 * $24 parent       text[]   SHA-256 of the jti of the token of ours that this one is made from: what ends that one, or what it was
 *                           made from, ends this one; without its record there is none
 * $25 marks        text[]   what else ends the token once it is cut off, each list joined by spaces: its server and tools
 * $26 issued       bigint[] the earliest that the subject token can have been issued, seconds
 * $27 above        text[]   the session of the agent that handed over to this one, for a session that is opened below it, or null
 * $28 jkt          text[]   the DPoP key that a session is bound to when it is opened, and that joining it needs, or null
 * $29 purpose      text[]   of a new session, or null
 * $30 acr          text[]   how the person was authenticated, or null; a session keeps what all its exchanges have in common
 * $31 idle         int      how long a session may be unused, seconds
 * $32 debits       text[]   what it reserves of budgets, a JSON array, or null; see budget-sql.ts
 * $33 signed_in    bigint[] the earliest that the person of a trusted issuer can have signed in, seconds, or null: a session of the run that was ended
 *                           before, or that was opened before by another key, is closed first (session_expired), and so is
 *                           one whose person is erased
 *
 * What is ended for good ends all that comes of it. What was cut off and may begin anew (an agent, a person, a paused
 * session) ends what comes of a token that its commit had not seen; a person's own token, which has no commit, is older
 * by when it was issued.
 *
 * A session must outlive the tokens of it: one that ends sooner is closed first (session_expired), or refuses. One that is
 * paused mints nothing, and what is refused in it is numbered in it; one whose pause is over is resumed first (session_due).
 * One below another opens only while that one is active, and holds it until then: DANGER: without FOR KEY SHARE whoever
 * pauses or ends the upper one (under FOR UPDATE) would miss what is opened below it at the same moment.
 *
 * Of several that open one run in one statement, those that differ from the first in person, agent or key are asked again
 * (stale) before they spend anything. DANGER: a session that another replica opened meanwhile is not in the snapshot that was
 * checked: where it fits none of them its status becomes null, which fails the statement. Tried again, it sees that session.
 * An exchange that is refused shapes no session, is no use of it and weakens no `acr` of it; its id may be the session's all the
 * same, since budgets are debited under it.
 *
 * A key that was withdrawn signs nothing that is committed afterwards: stale, since another one signs by now.
 *
 * Verdicts: null is the decision as it was; stale, clock and session_expired write nothing at all; everything else turns
 * the decision into a refusal for that reason, and the record says so. A group of exchanges that only continue a session
 * gives that session's own id to the upsert: should the session have been closed meanwhile, the primary key fails the
 * statement instead of letting a second session of that id appear.
 *
 * What a person approved is not spent by what a verdict refuses already, so that a pause costs no approval.
 *
 * A breach of a budget refuses, and debits nothing. Budgets are debited before the session is known for good: should
 * another replica have opened or ended it meanwhile, budget_hold has no session to name, which fails the statement, debits
 * included. Tried again, it sees that session.
 *
 * DANGER: what two replicas may both want (one-time keys, accounts of budgets, people, runs) is inserted in the order of its key, so that they
 * lock it in the same order and wait for each other instead of in a circle. No test fails without one of these ORDER BY,
 * nor without those by n, which today's plans keep anyway: SQL promises no order.
 */
export const COMMIT_SQL = `
WITH input AS MATERIALIZED (
  SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::text[], $7::text[], $8::bool[],
    $9::bigint[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::bigint[], $18::bigint[],
    $20::text[], $21::text[], $22::text[], $23::text[], $24::text[], $25::text[], $26::bigint[],
    $27::text[], $28::text[], $29::text[], $30::text[], $32::text[], $33::bigint[])
  WITH ORDINALITY AS i(request, decision, reason, head, registry, run_key, session_id, opens, expires, person, agent, txn,
    token_hash, lineage, spends, spend_ends, made_at, token_ends, kid, new_issuer, new_subject, attributes, parent, marks, issued, above, jkt, purpose, acr, debits, signed_in, n)
), state AS MATERIALIZED (
  SELECT (SELECT version FROM registry_state WHERE id = 1) AS registry,
         (SELECT coalesce(max(number), 0) FROM revocation) AS seen,
         extract(epoch FROM clock_timestamp())::bigint AS clock
), checked AS MATERIALIZED (
  SELECT i.*, state.seen, ancestors.targets AS ancestry, coalesce(by_id.run_key, i.run_key) AS run, coalesce(by_id.id, by_run.id) AS known_session,
    coalesce(by_id.id, by_run.id, upper.id) AS about,
    coalesce(by_id.paused_reason, ${endOf('by_id')}, by_run.paused_reason, ${endOf('by_run')}, upper.paused_reason, ${endOf('upper')},
      CASE WHEN coalesce(by_id.status, upper.status) <> 'ended' AND least(by_id.expires_at, upper.expires_at) < to_timestamp(i.token_ends) THEN 'expired' END) AS about_reason,
    coalesce(by_id.resumes_at, by_run.resumes_at, upper.resumes_at) AS about_resumes,
    least(i.expires, floor(extract(epoch FROM upper.expires_at))) AS until,
    CASE
      WHEN i.registry IS DISTINCT FROM state.registry THEN 'stale'
      WHEN abs(state.clock - i.made_at) > $19::int THEN 'clock'
      WHEN i.decision <> 'permit' THEN NULL
      WHEN coalesce(by_id.status, by_run.status, upper.status) = 'paused' THEN
        CASE WHEN coalesce(by_id.resumes_at, by_run.resumes_at, upper.resumes_at) <= clock_timestamp() THEN 'session_due' ELSE 'session_paused' END
      WHEN i.above IS NOT NULL AND coalesce(by_run.status, upper.status) = 'ended' THEN 'session_ended'
      WHEN NOT i.opens AND i.run_key IS NOT NULL AND (by_id.id IS DISTINCT FROM by_run.id OR by_id.status IS DISTINCT FROM 'active'
          OR by_id.expires_at < to_timestamp(i.token_ends) OR ${isIdle('by_id')}
          OR EXISTS (SELECT 1 FROM revocation r WHERE r.target = 'txn:' || i.txn))
        THEN 'transaction_over'
      WHEN by_run.status = 'ended' AND by_run.ended_at < to_timestamp(i.signed_in) THEN 'session_expired'
      WHEN i.opens AND by_run.jkt <> coalesce(i.jkt, '') AND by_run.opened_at < to_timestamp(i.signed_in) THEN 'session_expired'
      WHEN i.opens AND by_run.status = 'active' AND by_run.person_id <> i.person AND NOT EXISTS (SELECT 1 FROM person gone WHERE gone.id = by_run.person_id)
        THEN 'session_expired'
      WHEN EXISTS (SELECT 1 FROM revocation r WHERE r.target = 'key:' || i.kid) THEN 'stale'
      WHEN EXISTS (SELECT 1 FROM revocation r WHERE r.target = ANY(ancestors.targets) AND ${isEnding('parent.seen', 'i.parent IS NULL AND r.revoked_at < to_timestamp(i.issued)')})
        THEN 'revoked'
      WHEN i.parent IS NOT NULL AND parent.token_hash IS NULL THEN 'revoked'
      WHEN i.new_issuer IS NOT NULL THEN CASE
        WHEN EXISTS (SELECT 1 FROM person p WHERE p.issuer = i.new_issuer AND p.subject = i.new_subject) THEN 'stale'
        WHEN EXISTS (SELECT 1 FROM input e WHERE e.n < i.n AND e.decision = 'permit' AND e.new_issuer = i.new_issuer AND e.new_subject = i.new_subject) THEN 'stale'
        WHEN by_run.id IS NOT NULL THEN 'revoked' END
      WHEN person.status IS DISTINCT FROM 'active' THEN 'person_disabled'
      WHEN voucher.status <> 'active' THEN 'revoked'
      WHEN coalesce(by_id.status, by_run.status) = 'ended' THEN 'session_ended'
      WHEN i.above IS NOT NULL AND by_run.id IS NULL AND upper.status IS DISTINCT FROM 'active' THEN 'session_ended'
      WHEN least(by_id.expires_at, upper.expires_at) < to_timestamp(i.token_ends) THEN 'session_ended'
      WHEN by_run.expires_at < to_timestamp(i.token_ends) THEN 'session_expired'
      WHEN ${isIdle('by_run')} THEN 'session_expired'
      WHEN coalesce(by_id.person_id, by_run.person_id, upper.person_id) <> i.person THEN 'revoked'
      WHEN by_run.agent_id <> i.agent THEN 'revoked'
      WHEN i.opens AND by_run.jkt <> coalesce(i.jkt, '') THEN 'session_of_another_key'
    END AS verdict
  FROM input i CROSS JOIN state
  LEFT JOIN person ON person.id = i.person
  LEFT JOIN trusted_issuer voucher ON voucher.issuer = person.issuer
  LEFT JOIN log_leaf parent ON parent.token_hash = i.parent
  CROSS JOIN LATERAL (SELECT coalesce(parent.lineage, ARRAY[]::text[]) || string_to_array(i.lineage, ' ')
    || ('issuer:' || coalesce(i.new_issuer, person.issuer, '')) AS targets) ancestors
  LEFT JOIN agent_session by_id ON NOT i.opens AND by_id.id = i.session_id
  LEFT JOIN agent_session by_run ON by_run.run_key = i.run_key
  LEFT JOIN agent_session upper ON upper.id = i.above
), alike AS MATERIALIZED (
  SELECT c.*, CASE WHEN c.opens AND c.verdict IS NULL AND c.known_session IS NULL
    AND (c.person, c.agent, coalesce(c.jkt, '')) IS DISTINCT FROM (first_value(c.person) OVER first, first_value(c.agent) OVER first, first_value(coalesce(c.jkt, '')) OVER first)
    THEN 'stale' ELSE c.verdict END AS fitting
  FROM checked c WINDOW first AS (PARTITION BY c.run ORDER BY c.opens AND c.verdict IS NULL DESC, c.n)
), wanted_spend AS MATERIALIZED (
  SELECT c.request, s.key, s.ends::bigint AS ends
  FROM alike c, unnest(string_to_array(c.spends, ' '), string_to_array(c.spend_ends, ' ')) AS s(key, ends)
  WHERE NOT coalesce(c.fitting IN ('stale', 'clock', 'session_expired', 'session_due'), false) AND c.spends <> ''
    AND (c.fitting IS NULL OR s.key NOT LIKE '${approvalKey('%')}')
), spent AS (
  INSERT INTO replay (key, spender, expires_at)
  SELECT key, request, to_timestamp(ends) FROM wanted_spend ORDER BY key
  ON CONFLICT (key) DO NOTHING RETURNING key, spender
), lost AS MATERIALIZED (
  SELECT w.request, min(w.key) AS key FROM wanted_spend w
  LEFT JOIN spent ON spent.key = w.key AND spent.spender = w.request
  LEFT JOIN replay earlier ON earlier.key = w.key AND earlier.spender = w.request
  WHERE spent.key IS NULL AND earlier.key IS NULL
  GROUP BY w.request
), screened AS MATERIALIZED (
  SELECT c.*, lost.key AS lost_key,
    CASE WHEN lost.key IS NOT NULL THEN 'replayed' ELSE c.fitting END AS screening
  FROM alike c LEFT JOIN lost ON lost.request = c.request
), ${DEBIT_CTES}, judged AS MATERIALIZED (
  SELECT s.*, debited.breach, CASE WHEN debited.breach IS NOT NULL THEN 'budget_exhausted' ELSE s.screening END AS ruling
  FROM screened s LEFT JOIN debited ON debited.exchange = s.n
), met AS (
  INSERT INTO person (id, issuer, subject, attributes, salt)
  SELECT person, new_issuer, new_subject, attributes::jsonb -> 'attributes', attributes::jsonb ->> 'salt' FROM judged
  WHERE decision = 'permit' AND ruling IS NULL AND new_issuer IS NOT NULL ORDER BY new_issuer, new_subject, n
), held AS MATERIALIZED (
  SELECT upper.id FROM judged j JOIN agent_session upper ON upper.id = j.above
  WHERE j.decision = 'permit' AND j.ruling IS NULL AND j.known_session IS NULL AND upper.status = 'active'
  ORDER BY upper.run_key FOR KEY SHARE OF upper
), session AS (
  INSERT INTO agent_session (id, run_key, person_id, agent_id, status, last_sequence, expires_at, parent_id, jkt, purpose, acr, idle_until)
  SELECT coalesce((array_agg(session_id ORDER BY n) FILTER (WHERE opens AND screening IS NULL))[1], max(known_session)), run,
    coalesce((array_agg(person ORDER BY n) FILTER (WHERE opens AND ruling IS NULL))[1], ''),
    coalesce((array_agg(agent ORDER BY n) FILTER (WHERE opens AND ruling IS NULL))[1], ''), 'active', count(*),
    to_timestamp(coalesce(max(until) FILTER (WHERE ruling IS NULL), 0)), max(above),
    (array_agg(jkt ORDER BY n) FILTER (WHERE opens AND ruling IS NULL))[1], (array_agg(purpose ORDER BY n) FILTER (WHERE opens AND ruling IS NULL))[1],
    CASE WHEN count(*) FILTER (WHERE granted) = count(acr) FILTER (WHERE granted) AND min(acr) FILTER (WHERE granted) = max(acr) FILTER (WHERE granted)
      THEN min(acr) FILTER (WHERE granted) END,
    CASE WHEN bool_or(granted) THEN ${idleUntil('$31')} END
  FROM judged CROSS JOIN LATERAL (SELECT decision = 'permit' AND ruling IS NULL AS granted) grants
  WHERE run IS NOT NULL AND (above IS NULL OR known_session IS NOT NULL OR above IN (SELECT id FROM held)) AND NOT coalesce(ruling IN ('stale', 'clock', 'session_expired', 'session_due', 'session_ended'), false)
  GROUP BY run
  HAVING bool_or(known_session IS NOT NULL) OR bool_or(granted)
  ORDER BY run
  ON CONFLICT (run_key) DO UPDATE
    SET last_sequence = agent_session.last_sequence + EXCLUDED.last_sequence,
      last_used_at = CASE WHEN EXCLUDED.idle_until IS NULL THEN agent_session.last_used_at ELSE clock_timestamp() END,
      status = CASE WHEN EXCLUDED.person_id = '' OR (EXCLUDED.person_id = agent_session.person_id AND EXCLUDED.agent_id = agent_session.agent_id
        AND coalesce(agent_session.jkt = coalesce(EXCLUDED.jkt, ''), true)) THEN agent_session.status END,
      idle_until = coalesce(EXCLUDED.idle_until, agent_session.idle_until),
      acr = CASE WHEN EXCLUDED.idle_until IS NULL OR agent_session.acr = EXCLUDED.acr THEN agent_session.acr END
    WHERE agent_session.status <> 'ended' AND agent_session.expires_at > clock_timestamp()
  RETURNING id, run_key, last_sequence, status, paused_reason, resumes_at, expires_at
), placed AS MATERIALIZED (
  SELECT j.n, session.id, session.status, session.paused_reason, session.resumes_at, session.expires_at,
    session.last_sequence - count(*) OVER (PARTITION BY j.run) + row_number() OVER (PARTITION BY j.run ORDER BY j.n) AS sequence
  FROM judged j JOIN session ON session.run_key = j.run
  WHERE NOT coalesce(j.ruling IN ('stale', 'clock', 'session_expired', 'session_due', 'session_ended'), false)
), ruled AS MATERIALIZED (
  SELECT j.*, placed.id AS session, placed.sequence,
    coalesce(placed.paused_reason, j.about_reason) AS session_reason,
    extract(epoch FROM coalesce(placed.resumes_at, j.about_resumes))::bigint::text AS resumes,
    CASE
      WHEN j.decision <> 'permit' OR j.ruling IS NOT NULL THEN j.ruling
      WHEN placed.id IS NULL AND j.above IS NOT NULL AND j.known_session IS NULL THEN 'stale'
      WHEN placed.id IS NULL THEN 'session_ended'
      WHEN placed.status = 'paused' THEN 'session_paused'
      WHEN placed.expires_at < to_timestamp(j.token_ends) THEN 'session_ended'
    END AS final
  FROM judged j LEFT JOIN placed ON placed.n = j.n
), ${HOLD_CTE}, written AS MATERIALIZED (
  SELECT r.*, convert_to(
    r.head || ',"outcome":{"decision":"' || CASE WHEN r.final IS NULL THEN r.decision ELSE 'refuse' END
    || '","reason":' || to_json(coalesce(r.final, r.reason))::text
    || ',"session":' || coalesce(to_json(r.session)::text, 'null')
    || ',"sequence":' || coalesce(r.sequence::text, 'null')
    || ',"seen":' || r.seen::text || '}}', 'UTF8') AS leaf
  FROM ruled r
), hashed AS MATERIALIZED (
  SELECT w.*, sha256('\\x00'::bytea || w.leaf) AS leaf_hash FROM written w
), leaf AS (
  INSERT INTO log_leaf (leaf, leaf_hash, kind, session_id, sequence, txn, token_hash, seen, lineage)
  SELECT leaf, leaf_hash, 'exchange', session, sequence, txn, CASE WHEN final IS NULL THEN token_hash END,
    CASE WHEN final IS NULL AND token_hash IS NOT NULL THEN seen END,
    CASE WHEN final IS NULL AND token_hash IS NOT NULL
      THEN ARRAY(SELECT DISTINCT unnest(ancestry || string_to_array(marks, ' '))) || ARRAY['token:' || token_hash, 'session:' || session, 'txn:' || txn, 'key:' || kid]
      ELSE ARRAY[]::text[] END
  FROM hashed
  WHERE NOT coalesce(final IN ('stale', 'clock', 'session_expired', 'session_due'), false)
  ORDER BY n
)
SELECT request, final AS verdict, lost_key, breach::text AS breach, session, coalesce(session, about) AS about, session_reason, resumes, sequence::int AS sequence, seen::text AS seen,
  encode(leaf_hash, 'base64') AS leaf
FROM hashed ORDER BY n`;
