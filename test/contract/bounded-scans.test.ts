import { beforeAll, expect, it } from '@jest/globals';
import { PRUNE as PRUNE_BUDGETS, SETTLE } from '../../src/storage/budget-store.js';
import { OF as INPUTS_OF, PRUNE as PRUNE_INPUTS } from '../../src/storage/decision-inputs.js';
import { PRUNE as PRUNE_ENGINE } from '../../src/storage/engine-store.js';
import { UNSEQUENCED, WITHOUT_SUMMARY } from '../../src/storage/finding-store.js';
import { PRUNE as PRUNE_IDEMPOTENCY } from '../../src/storage/idempotency-store.js';
import { AMONG, PAGE as LIVE_PERMITS } from '../../src/storage/live-permits.js';
import { DERIVED } from '../../src/storage/revocation-derived.js';
import { REMOVE_CONSENTS } from '../../src/storage/revocation-scopes.js';
import { OF_COMPANY, REMOVE as REMOVE_OF_SIGN_IN } from '../../src/storage/sign-outs.js';
import { ALL_DUE } from '../../src/storage/session-changes.js';
import { ENDED, EXPIRE } from '../../src/storage/session-life.js';
import { PRUNE as PRUNE_REVOCATIONS } from '../../src/storage/revocation-pruning.js';
import { PRUNE as PRUNE_SESSIONS } from '../../src/storage/session-pruning.js';
import { describeDatabases } from '../support/databases.js';
import { rowsLookedAt } from '../support/plans.js';

/** Of every state that rows can be in there are these many, and a few of those that a statement looks for. */
const MANY = 4_000;
const FEW = 5;

const many = (sql: string): string => sql.replace('@n', `generate_series(1, ${String(MANY)}) AS n`);
const few = (sql: string): string => sql.replace('@n', `generate_series(1, ${String(FEW)}) AS n`);

const SESSION =
  'INSERT INTO agent_session (id, run_key, person_id, agent_id, last_sequence, status, expires_at, idle_until';
const LEAF = 'INSERT INTO log_leaf (leaf, leaf_hash, kind, token_hash, lineage, at)';
const leaf = (name: string, at: string): string =>
  `${LEAF} SELECT convert_to('{"facts":{}}', 'UTF8'), '', 'exchange', '${name}' || n, ARRAY['token:parent'], ${at} FROM @n`;
const session = (name: string, columns: string, values: string): string =>
  `${SESSION}${columns}) SELECT '${name}' || n, '${name}' || n, 'prs', 'agt' || n % 100, 1, ${values} FROM @n`;
const [LATER, EARLIER] = [
  `now() + n * interval '1 minute' + interval '1 hour'`,
  `now() - n * interval '1 minute' - interval '1 hour'`,
];

const ACCOUNT = 'INSERT INTO budget_account (key, unit, scope, ceiling, used';
const HOLD = `INSERT INTO budget_hold (token_hash, tool, session_id, use_key, server, per_use, uses, told_by, account, expires_at)`;
const INPUT = `INSERT INTO decision_input (decision, agent, person, server, tool, outcome, policy, sealed, at, expires_at)`;
const REVOCATION = 'INSERT INTO revocation (target, number, reason, revoked_by, revoked_at)';
const LONG_AGO = `${EARLIER} - interval '1 day'`;

const FILLING = [
  many(session('live', '', `'active', ${LATER}, ${LATER}`)),
  few(session('over', '', `'active', ${EARLIER}, ${LATER}`)),
  few(session('idle', '', `'active', ${LATER}, ${EARLIER}`)),
  many(session('paused', ', paused_with, resumes_at', `'paused', ${LATER}, ${LATER}, 'paused' || n, ${LATER}`)),
  few(session('due', ', paused_with, resumes_at', `'paused', ${LATER}, ${LATER}, 'due' || n, ${EARLIER}`)),
  many(session('closed', ', ended_at, closed_at', `'ended', ${LONG_AGO}, ${LONG_AGO}, ${LONG_AGO}, ${LONG_AGO}`)),
  few(session('lately', ', ended_at, closed_at', `'ended', ${EARLIER}, ${EARLIER}, ${EARLIER}, ${EARLIER}`)),
  few(session('ended', ', ended_at', `'ended', ${EARLIER}, ${EARLIER}, ${EARLIER}`)),
  many(leaf('old', EARLIER)),
  few(leaf('new', `now() - interval '10 seconds'`)),
  ...['engine_record (key, model, payload, expires_at)', 'replay (key, spender, expires_at)'].flatMap((into) => {
    const payload = `jsonb_build_object('clientId', 'agt' || n, 'accountId', 'prs' || n, 'sessionUid', 'uid' || n % 1000, 'origin', jsonb_build_object('sessions', jsonb_build_array('session' || n % 1000)))`;
    const values = into.startsWith('engine') ? `'AccessToken', ${payload}` : `'engine'`;
    return [
      many(`INSERT INTO ${into} SELECT 'kept' || n, ${values}, ${LATER} FROM @n`),
      few(`INSERT INTO ${into} SELECT 'over' || n, ${values}, ${EARLIER} FROM @n`),
    ];
  }),
  many(`${REVOCATION} SELECT 'token:kept' || n, 100000 + n, '', '', now() + n * interval '1 second' FROM @n`),
  few(`${REVOCATION} SELECT 'token:old' || n, n, '', '', now() - interval '401 days' FROM @n`),
  many(`INSERT INTO token_use (key, used, expires_at) SELECT 'kept' || n, 1, ${LATER} FROM @n`),
  few(`INSERT INTO token_use (key, used, expires_at) SELECT 'over' || n, 1, ${EARLIER} FROM @n`),
  many(
    `INSERT INTO idempotency_key (key, request_hash, holder, expires_at) SELECT 'kept' || n, '', '', ${LATER} FROM @n`,
  ),
  few(
    `INSERT INTO idempotency_key (key, request_hash, holder, expires_at) SELECT 'over' || n, '', '', ${EARLIER} FROM @n`,
  ),
  ...['live', 'lately'].map((of) =>
    (of === 'live' ? many : few)(
      `${ACCOUNT}, session_id) SELECT '${of}' || n, 'calls', 'session', 9, 9, '${of}' || n FROM @n`,
    ),
  ),
  many(`${ACCOUNT}, ends_at) SELECT 'runs' || n, 'calls', 'agent', 9, 9, ${LATER} FROM @n`),
  few(`${ACCOUNT}, ends_at) SELECT 'over' || n, 'calls', 'agent', 9, 9, ${EARLIER} FROM @n`),
  ...['report', 'use', 'nobody'].flatMap((told) => [
    many(
      `${HOLD} SELECT 'live${told}' || n, 'tool', 'session', 'key', 'server', 1, 1, nullif('${told}', 'nobody'), 'live' || n, ${LATER} FROM @n`,
    ),
    few(
      `${HOLD} SELECT 'over${told}' || n, 'tool', 'session', 'key', 'server', 1, 1, nullif('${told}', 'nobody'), 'live' || n, ${EARLIER} FROM @n`,
    ),
  ]),
  many(
    `${INPUT} SELECT 'dec' || n, 'agt', 'prs', 'server', 'tool', 'allow', 'set', '', now() - interval '1 minute', now() + interval '1 hour' FROM @n`,
  ),
  few(
    `${INPUT} SELECT 'over' || n, 'agt', 'prs', 'server', 'tool', 'allow', 'set', '', ${EARLIER}, ${EARLIER} FROM @n`,
  ),
  'DELETE FROM log_pending',
  'ANALYZE',
];

const inSeconds = (seconds: number): number => Math.floor(Date.now() / 1_000) + seconds;

const STATEMENTS: readonly (readonly [string, string, () => readonly unknown[]])[] = [
  ['ending sessions whose time is over', EXPIRE, () => [Array.from({ length: 50 }, () => '{')]],
  ['finding sessions that wait for their summaries', ENDED, () => [60, 50]],
  ['finding sessions without summary', WITHOUT_SUMMARY, () => [60, null, 100]],
  ['forgetting closed sessions', PRUNE_SESSIONS, () => [1, '-infinity', '', FEW]],
  ['resuming what was paused for a time', ALL_DUE, () => []],
  ['finding leaves that are in no tree', UNSEQUENCED, () => []],
  ['settling what servers report', SETTLE.told_by_report, () => [60, 500]],
  ['settling what Writ counts', SETTLE.told_by_use, () => [60, 500]],
  ['settling what nobody tells', SETTLE.told_by_nobody, () => [60, 500]],
  ['forgetting budgets that began anew', PRUNE_BUDGETS.begun_anew, () => [500]],
  ['forgetting budgets of closed sessions', PRUNE_BUDGETS.of_closed_session, () => [500]],
  [
    'finding the inputs of decisions',
    INPUTS_OF,
    () => [['dec1', 'dec2', 'dec3', 'dec4', 'dec5'], inSeconds(-600), null],
  ],
  ['ending a sign-in', REMOVE_OF_SIGN_IN, () => [['uid7']]],
  ['finding the sign-ins of a company session', OF_COMPANY, () => ['session7', null]],
  [
    'removing consents',
    REMOVE_CONSENTS,
    () => [
      ['agt1', 'agt2'],
      ['prs3', 'prs4', 'prs5'],
    ],
  ],
  ['finding the permits that live', LIVE_PERMITS, () => [0, 200, 1]],
  ['finding tokens that live by their hashes', AMONG, () => [['old1', 'new1'], 1]],
  ['finding what comes of a token without a leaf', DERIVED, () => [['token:parent']]],
  ['forgetting records of the engine', PRUNE_ENGINE.engine_record, () => [inSeconds(0)]],
  ['forgetting what was spent', PRUNE_ENGINE.replay, () => [inSeconds(0)]],
  ['forgetting uses of tokens', PRUNE_ENGINE.token_use, () => [inSeconds(0)]],
  ['forgetting inputs of decisions that are over', PRUNE_INPUTS.over, () => [inSeconds(0)]],
  ['forgetting inputs of old decisions', PRUNE_INPUTS.old, () => [inSeconds(-600)]],
  ['forgetting idempotency keys', PRUNE_IDEMPOTENCY, () => []],
  ['forgetting revocations', PRUNE_REVOCATIONS, () => [400]],
];

/** What these look at may grow with what they look for, and not with what there is. */
describeDatabases('scans of full tables', (database) => {
  beforeAll(async () => {
    for (const sql of FILLING) await database().prisma.$executeRawUnsafe(sql);
  }, 60_000);

  it.each(STATEMENTS)('look at no more than they are for: %s', async (_title, sql, values) => {
    const looked = await rowsLookedAt(database(), sql, values());
    expect(looked).toBeGreaterThanOrEqual(FEW);
    expect(looked).toBeLessThan(FEW * 40);
  });
});
