import { randomUUID } from 'node:crypto';
import { expect } from '@jest/globals';
import pg from 'pg';
import type { Reply } from './writ.js';
import type { World } from './world.js';

/**
 * Stands for everything secret that a request carries. Tests put it into claims, secrets, arguments and ids; wherever it
 * is seen again is a leak (I4). `marked` makes a different one each time, for ids that have to be unique.
 */
export const CANARY = 'canary-5d1e8c02f7a94b63';
export const marked = (): string => `${CANARY}-${randomUUID()}`;

/** The answer that is safe. */
export type Wanted = Readonly<{
  status: number;
  error: string;
  description?: string;
  /** The log's word. `undefined`: the request was refused before there was anybody to write about, as HTTP. */
  reason: string | RegExp | undefined;
  /**
   * Before authentication a failure is recorded once per (known client, cause, minute), so there may be no new record;
   * one of that cause must be there all the same.
   */
  unauthenticated?: boolean;
  /** One-time credentials that were presented and are spent, whatever the verdict. One assertion unless said otherwise. */
  spends?: number;
  /** The `session_state` beside the error. */
  sessionState?: object;
  /** RFC 7235: the challenge of an answer to an Authorization header. */
  challenge?: string;
  /** What has to work after it (I6); the happy exchange unless said otherwise. */
  good?: () => Promise<Reply>;
}>;

/**
 * Sends a request that must be refused and asserts the invariants of the attack catalogue: I1 the answer, I2 the record,
 * I3 nothing else written, I4 no secret anywhere, I6 the next good request passes. I5 is `expectIndistinguishable`.
 */
export async function expectRefused(world: World, send: () => Promise<Reply>, wanted: Wanted): Promise<Reply> {
  // Some refusals are written behind their answer: nothing of an earlier request may be counted to this one.
  await world.writ.flush();
  await reevaluated(world);
  const before = await stateOf(world);
  const faults = world.faults.length;
  const output = captureOutput();
  const answer = await send();
  output.stop();
  // Failures before authentication are written behind their answer.
  await world.writ.flush();
  const after = await stateOf(world);
  const records = await recordsAfter(world, before.lastRecord);

  expectAnswer(answer, wanted);
  expectRecords(records, wanted, wanted.unauthenticated === true ? await recentFailures(world, wanted) : []);
  expectNothingElseWritten(before, after, wanted, records.length);
  expect(world.faults.slice(faults)).toEqual([]);
  expectNoSecret([answer.text, JSON.stringify([...answer.headers]), JSON.stringify(records), output.text()]);

  const next = await (wanted.good ?? (() => world.exchange()))();
  expect([next.status, next.text]).toEqual([200, expect.anything()]);
  return answer;
}

/** Until what lives was decided over again after a change of the rules: both times, and the second one at once. */
export async function reevaluated({ writ }: Pick<World, 'writ'>): Promise<void> {
  const { prisma } = writ.database;
  const patience = performance.now() + 45_000;
  while ((await prisma.policyReevaluation.count({ where: { finishedAt: null } })) > 0) {
    if (performance.now() > patience) throw new Error('a re-evaluation does not come to its end');
    await prisma.$executeRawUnsafe(
      `UPDATE policy_reevaluation SET begun_at = begun_at - interval '10 seconds' WHERE finished_at IS NULL`,
    );
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** I5: requests that the sender must not be able to tell apart get the same answer, headers included. */
export async function expectIndistinguishable(...sends: readonly (() => Promise<Reply>)[]): Promise<void> {
  const answers = [];
  for (const send of sends) answers.push(visible(await send()));
  for (const answer of answers) expect(answer).toEqual(answers[0]);
}

/** Everything but what differs between two equal answers. */
const visible = ({ status, headers, text }: Reply): unknown => ({
  status,
  text,
  headers: [...headers].filter(([name]) => !['date', 'x-request-id'].includes(name)).sort(),
});

function expectAnswer(answer: Reply, { status, error, description, challenge, sessionState }: Wanted): void {
  expect([answer.status, answer.body]).toEqual([
    status,
    {
      error,
      error_description: description ?? expect.stringMatching(/^[\x20-\x21\x23-\x5B\x5D-\x7E]+$/),
      ...(sessionState === undefined ? {} : { session_state: sessionState }),
    },
  ]);
  expect(answer.headers.get('cache-control')).toContain('no-store');
  expect(answer.text).not.toContain('access_token"');
  if (challenge !== undefined) expect(answer.headers.get('www-authenticate')).toBe(challenge);
}

type LogItem = Readonly<{
  id: string;
  kind: string;
  facts: Readonly<Record<string, unknown>>;
  outcome: Readonly<{ decision: string; reason: string }>;
}>;

function expectRecords(
  records: readonly LogItem[],
  { reason, unauthenticated = false }: Wanted,
  recent: readonly LogItem[],
): void {
  if (reason === undefined) {
    expect(records).toEqual([]);
    return;
  }
  const outcomes = records.map(({ outcome }) => [outcome.decision, outcome.reason]);
  if (unauthenticated && records.length === 0) expect(recent.length).toBeGreaterThan(0);
  else expect(outcomes).toEqual([['refuse', typeof reason === 'string' ? reason : expect.stringMatching(reason)]]);
}

/** Failures of this cause in this minute or the one before it: the record that stands for the request. */
async function recentFailures(world: World, { reason }: Wanted): Promise<readonly LogItem[]> {
  const minute = Math.floor(Date.now() / 60_000);
  const failures = await recordsAfter(world, '0', 'authentication');
  const isMeant = (found: string): boolean => (reason instanceof RegExp ? reason.test(found) : found === reason);
  return failures.filter(({ outcome, facts }) => isMeant(outcome.reason) && Number(facts['minute']) >= minute - 1);
}

/** I3: the record, the spent one-time credentials, and the counter of a session that the record is numbered in. */
function expectNothingElseWritten(before: State, after: State, wanted: Wanted, records: number): void {
  if (before.tables === undefined || after.tables === undefined) return;
  expect(after.tables.contents).toEqual(before.tables.contents);
  expect(after.tables.leaves - before.tables.leaves).toBe(records);
  const earlier = new Set(before.tables.spent);
  const spent = after.tables.spent.filter((key) => !earlier.has(key));
  expect(spent).toHaveLength(wanted.reason === undefined || wanted.unauthenticated === true ? 0 : (wanted.spends ?? 1));
}

/** I4. A token of three parts, the canary, or an assertion anywhere but in the request itself is a leak. */
export function expectNoSecret(texts: readonly string[]): void {
  for (const text of texts) {
    expect(text).not.toContain(CANARY);
    expect(text).not.toMatch(/eyJ[\w-]{10,}\.[\w-]{10,}/);
  }
}

type Tables = Readonly<{ contents: Readonly<Record<string, string>>; leaves: number; spent: readonly string[] }>;
export type State = Readonly<{ lastRecord: string; tables: Tables | undefined }>;

/**
 * What the database holds: every table's contents as a digest, but for the log and the spent keys, which may grow, and
 * what decisions looked at and what a new policy set is held against, which are written some time after the answer.
 */
export async function stateOf(world: World): Promise<State> {
  const { databaseUrl } = world.config;
  // The embedded database has one owner: there the log alone tells.
  if (databaseUrl === undefined) {
    const records = await recordsAfter(world, '0');
    return { lastRecord: records.at(-1)?.id ?? '0', tables: undefined };
  }
  const connection = connectionTo(databaseUrl);
  const last = await connection.query<{ id: string }>('SELECT coalesce(max(id), 0)::text AS id FROM log_leaf');
  return { lastRecord: last.rows[0]?.id ?? '0', tables: await readTables(connection) };
}

/** One connection for each database, which ends by itself. */
const connections = new Map<string, pg.Pool>();
function connectionTo(connectionString: string): pg.Pool {
  const known = connections.get(connectionString);
  if (known !== undefined) return known;
  const made = new pg.Pool({ connectionString, max: 1, idleTimeoutMillis: 500, allowExitOnIdle: true });
  // The database is dropped under it at the end.
  made.on('error', () => undefined);
  connections.set(connectionString, made);
  return made;
}

async function readTables(client: pg.Pool): Promise<Tables> {
  const tables = await client.query<{ name: string }>(
    `SELECT table_name AS name FROM information_schema.tables
     WHERE table_schema = 'public' AND table_name NOT LIKE 'log\\_%' AND table_name NOT IN ('replay', 'decision_input', 'policy_reevaluation') ORDER BY 1`,
  );
  const digests = tables.rows.map(({ name }) => {
    // A refusal is numbered in the session that there is: its counter and its last use may move, nothing else of it.
    const moves = `'last_sequence', 'last_used_at', 'idle_until'`;
    const row = name === 'agent_session' ? `to_jsonb(t) - ARRAY[${moves}]` : 'to_jsonb(t)';
    return `SELECT '${name}' AS name, count(*) || ' ' || md5(coalesce(string_agg((${row})::text, '|' ORDER BY (${row})::text), '')) AS digest FROM "${name}" t`;
  });
  const contents = await client.query<{ name: string; digest: string }>(digests.join(' UNION ALL '));
  const leaves = await client.query<{ count: string }>('SELECT count(*)::text AS count FROM log_leaf');
  const spent = await client.query<{ key: string }>('SELECT key FROM replay');
  return {
    contents: Object.fromEntries(contents.rows.map(({ name, digest }) => [name, digest])),
    leaves: Number(leaves.rows[0]?.count),
    spent: spent.rows.map(({ key }) => key),
  };
}

/** The log after this record, by the admin API, as an auditor reads it. */
export async function recordsAfter(world: World, id: string, kind?: string): Promise<readonly LogItem[]> {
  const items: LogItem[] = [];
  for (let after = id; ;) {
    const filter = kind === undefined ? '' : `&kind=${kind}`;
    const page = await world.admin('GET', `/log?limit=200&after=${after}${filter}`);
    const { items: more, next } = page.body as { items: LogItem[]; next: string | null };
    // Reading the log is itself in the log.
    items.push(...more.filter((item) => item.kind !== 'access'));
    if (next === null) return items;
    after = next;
  }
}

/** Everything that this process prints meanwhile. */
function captureOutput(): Readonly<{ text(): string; stop(): void }> {
  const written: string[] = [];
  const keep = (...parts: unknown[]): void => {
    written.push(
      parts.map((part) => (part instanceof Error ? `${part.message} ${part.stack ?? ''}` : String(part))).join(' '),
    );
  };
  const streams = [process.stdout, process.stderr] as const;
  const writes = streams.map((stream) => stream.write.bind(stream));
  const methods = ['log', 'info', 'warn', 'error', 'debug', 'trace'] as const;
  const consoles = { ...console };
  for (const stream of streams) {
    stream.write = (chunk: unknown): boolean => {
      keep(chunk);
      return true;
    };
  }
  for (const name of methods) console[name] = keep;
  return {
    text: () => written.join('\n'),
    stop: () => {
      streams.forEach((stream, index) => {
        const write = writes[index];
        if (write !== undefined) stream.write = write;
      });
      Object.assign(console, consoles);
    },
  };
}
