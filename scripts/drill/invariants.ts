import type { Ledger as Kept, Use } from './ledger.js';

/** What the clients know of what they were given. */
type Ledger = Pick<Kept, 'tokens' | 'personTokens' | 'uses' | 'revoked' | 'exchangeSpends'>;

/** Rows of the database under trial. */
export type Rows = (sql: string, parameters: readonly unknown[]) => Promise<readonly object[]>;

export type Findings = Readonly<{
  /** What was answered and is not in the database. */
  lost: number;
  /** A database effect without its leaf, or the reverse. */
  orphans: number;
  /** Recorded permits that nobody received: harmless. */
  unacknowledged: number;
  /** What was found, by its name, where it should have been none. */
  by: Readonly<Record<string, number>>;
}>;

/** Holds the database against what the clients know. Nothing may be under way meanwhile. */
export async function examine(rows: Rows, ledger: Ledger): Promise<Findings> {
  const lost = await count(rows, LOST(ledger));
  const orphans = await count(rows, ORPHANS(ledger));
  const { unacknowledged } = await count(rows, { unacknowledged: [UNACKNOWLEDGED, [[...ledger.tokens]]] });
  const found = Object.entries({ ...lost, ...orphans }).filter(([, number]) => number > 0);
  return {
    lost: sum(lost),
    orphans: sum(orphans),
    unacknowledged: unacknowledged ?? 0,
    by: Object.fromEntries(found),
  };
}

type Query = readonly [sql: string, parameters: readonly unknown[]];

async function count(rows: Rows, queries: Readonly<Record<string, Query>>): Promise<Record<string, number>> {
  const counted: Record<string, number> = {};
  for (const [name, [sql, parameters]] of Object.entries(queries)) {
    const [row] = await rows(`SELECT count(*)::int AS number FROM (${sql}) AS found`, parameters);
    counted[name] = row !== undefined && 'number' in row ? Number(row.number) : Number.NaN;
  }
  return counted;
}

const sum = (counted: Readonly<Record<string, number>>): number =>
  Object.values(counted).reduce((total, number) => total + number, 0);

const LOST = (ledger: Ledger): Record<string, Query> => {
  const taken = ledger.uses.filter((use) => use.taken);
  const grants = [...ledger.personTokens];
  return {
    received_token_without_leaf: [
      `SELECT 1 FROM unnest($1::text[]) AS t(hash) WHERE NOT EXISTS (SELECT FROM log_leaf WHERE token_hash = t.hash)`,
      [[...ledger.tokens]],
    ],
    received_person_token_without_leaf: [
      `SELECT 1 FROM unnest($1::text[], $2::int[]) AS t(grant_hash, received) WHERE received > (${ISSUED} = t.grant_hash)`,
      [grants.map(([grant]) => grant), grants.map(([, received]) => received)],
    ],
    acknowledged_use_not_kept: [
      `SELECT 1 FROM unnest($1::text[]) AS t(key) WHERE NOT EXISTS (SELECT FROM token_use u WHERE u.key = t.key AND used = 1)`,
      [taken.filter(isKept).map(({ key }) => key)],
    ],
    acknowledged_use_without_record: [
      `SELECT 1 FROM unnest($1::text[]) AS t(key) WHERE NOT EXISTS (SELECT FROM ${USED} WHERE use = t.key)`,
      [taken.map(({ key }) => key)],
    ],
    acknowledged_revocation_not_kept: [
      `SELECT 1 FROM unnest($1::text[]) AS t(hash) WHERE NOT EXISTS (SELECT FROM revocation WHERE target = 'token:' || t.hash)`,
      [[...ledger.revoked]],
    ],
  };
};

/** How long a spent key is kept at least; older ones may have been pruned. */
const KEPT_MS = 60_000;

/** Whether the use is still remembered beside its record: until its token ends, less what this examination may last. */
const isKept = ({ until }: Use): boolean => until > Date.now() + 10_000;

const ORPHANS = (ledger: Ledger): Record<string, Query> => {
  const recent = ledger.uses.filter(({ at }) => at > Date.now() - KEPT_MS);
  const [keys, spends] = [recent.map(({ key }) => key), recent.map(({ spend }) => spend)];
  return {
    spent_without_record: [
      `SELECT 1 FROM replay r JOIN unnest($1::text[]) AS t(key) ON r.key = t.key
       WHERE NOT EXISTS (SELECT FROM ${EXCHANGES} WHERE request = r.spender)`,
      [[...ledger.exchangeSpends]],
    ],
    record_without_its_spending: [
      `SELECT 1 FROM ${EXCHANGES} WHERE at > now() - interval '${KEPT_MS} ms' AND NOT EXISTS (SELECT FROM replay WHERE spender = request)`,
      [],
    ],
    permit_without_token_or_session: [
      `SELECT 1 FROM ${EXCHANGES} WHERE (decision = 'permit') IS DISTINCT FROM (token_hash IS NOT NULL)
         OR decision = 'permit' AND NOT EXISTS (SELECT FROM agent_session s WHERE s.id = session_id)`,
      [],
    ],
    session_with_a_gap: [
      `SELECT 1 FROM agent_session s LEFT JOIN (
         SELECT session_id, count(sequence) AS records, max(sequence) AS last FROM log_leaf GROUP BY session_id) l ON l.session_id = s.id
       WHERE l.records IS DISTINCT FROM s.last_sequence OR l.last IS DISTINCT FROM s.last_sequence`,
      [],
    ],
    session_of_nobody: [
      `SELECT 1 FROM agent_session s WHERE NOT EXISTS (SELECT FROM person WHERE id = s.person_id)`,
      [],
    ],
    leaf_of_another_hash: [`SELECT 1 FROM log_leaf WHERE leaf_hash <> sha256('\\x00'::bytea || leaf)`, []],
    revocation_without_record: [
      `SELECT 1 FROM revocation WHERE target LIKE 'token:%' AND NOT EXISTS (SELECT FROM ${REVOKED} WHERE 'token:' || token = target)`,
      [],
    ],
    record_without_its_revocation: [
      `SELECT 1 FROM ${REVOKED} WHERE NOT EXISTS (SELECT FROM revocation WHERE target = 'token:' || token)`,
      [],
    ],
    use_that_nobody_asked_for: [
      `SELECT 1 FROM token_use WHERE used <> 1 OR NOT key = ANY ($1::text[])`,
      [ledger.uses.map(({ key }) => key)],
    ],
    use_without_record_or_the_reverse: [
      `SELECT 1 FROM unnest($1::text[]) AS t(key) WHERE
         EXISTS (SELECT FROM token_use u WHERE u.key = t.key) <> EXISTS (SELECT FROM ${USED} WHERE use = t.key)`,
      [ledger.uses.filter(isKept).map(({ key }) => key)],
    ],
    use_without_its_spending_or_the_reverse: [
      `SELECT 1 FROM unnest($1::text[], $2::text[]) AS t(key, spend) WHERE
         EXISTS (SELECT FROM token_use u WHERE u.key = t.key) <> EXISTS (SELECT FROM replay r WHERE r.key = t.spend)`,
      [keys, spends],
    ],
  };
};

const FACTS = `convert_from(leaf, 'UTF8')::jsonb`;

const EXCHANGES = `(SELECT ${FACTS} #>> '{facts,request}' AS request, ${FACTS} #>> '{outcome,decision}' AS decision,
  token_hash, session_id, at FROM log_leaf WHERE kind = 'exchange') AS exchanges`;

/** The key of a use is the hash of the token's hash and the tool, in base64url (RFC 4648 section 5). */
const USED = `(SELECT rtrim(translate(encode(sha256(convert_to((${FACTS} #>> '{facts,token}') || ' ' || (${FACTS} #>> '{facts,tool}'), 'UTF8')),
  'base64'), '+/', '-_'), '=') AS use FROM log_leaf WHERE kind = 'introspection' AND ${FACTS} #>> '{outcome,decision}' = 'done') AS used`;

const REVOKED = `(SELECT ${FACTS} #>> '{facts,token}' AS token FROM log_leaf WHERE kind = 'revocation') AS revoked`;

const ISSUED = `SELECT count(*) FROM log_leaf WHERE kind = 'grant' AND ${FACTS} #>> '{outcome,reason}' = 'issued' AND ${FACTS} #>> '{facts,grant}'`;

const UNACKNOWLEDGED = `SELECT 1 FROM log_leaf WHERE token_hash IS NOT NULL AND NOT token_hash = ANY ($1::text[])`;
