import { createPrivateKey, type KeyObject } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { keepSessionLife, type SessionLife } from '../../src/audit/index.js';
import { systemClock } from '../../src/base/index.js';
import {
  type AuditorOptions,
  type LogSource,
  type ProblemCode,
  type Verdict,
  verifyLog,
} from '../../src/sdk/auditor/index.js';
import { openDatabase, openSessionLife, openTreeReader } from '../../src/storage/index.js';
import { entryBundle, parseCheckpoint, parseNote, parseTilePath, verifierKey } from '../../src/tlog/index.js';
import type { Rows } from './invariants.js';
import { killAtWork } from './kill.js';
import { Ledger } from './ledger.js';
import { exchange, report, use } from './load.js';
import { textOf } from './line.js';
import { BY_SERVER } from './mutations-by-server.js';
import { MUTATIONS } from './mutations.js';
import { type Bounds, DATABASE, openRig, type Rig, withDatabase } from './rig.js';

export type TamperResult = Readonly<{
  mutations: number;
  detected: number;
  clean_logs: number;
  false_alarms: number;
  /** Entries of the log that was mutated. */
  entries: number;
  /** How often each mutation was made, and what it was found by. */
  found: Readonly<Record<string, Readonly<Record<string, number>>>>;
}>;

/** Entries that the log should have before it is mutated, so that it has several tiles. */
const ENTRIES = 700;

/**
 * Logs of a server that is killed again and again must be proved, all of them; then one of them is changed in every way
 * that whoever has the database can, and each change must be found with a copy that is older than it; and in every way
 * that whoever runs the server can, and each must be found by what the log says of its sessions.
 */
export async function tamper({ rounds, seconds, say }: Bounds, cleanLogs: number): Promise<TamperResult> {
  const rig = await openRig({ database: 'postgres', servers: 1 });
  try {
    const until = performance.now() + seconds * 1_000;
    const { postgres } = rig;
    if (postgres === undefined) throw new Error('there is no PostgreSQL');
    return await withDatabase(postgres, async (client) => {
      const rows: Rows = async (sql, parameters) => (await client.query<object>(sql, [...parameters])).rows;
      const clean = await cleanLogsOf(rig, rows, { cleanLogs, until, say });
      await rig.servers[0].stop();
      const mutated = await mutate({ rows, key: clean.key, copy: clean.copy }, { rounds, until, say });
      return { ...mutated, clean_logs: clean.logs, false_alarms: clean.alarms };
    });
  } finally {
    await rig.closing.close();
  }
}

type Clean = Readonly<{ logs: number; alarms: number; copy: string; key: KeyObject }>;

/** Sessions are closed when nothing of them can come any more; here they are once nobody is at work. */
const CLOSES_AFTER = 600;

async function cleanLogsOf(
  rig: Rig,
  rows: Rows,
  { cleanLogs, until, say }: Readonly<{ cleanLogs: number; until: number; say: Bounds['say'] }>,
): Promise<Clean> {
  const ledger = new Ledger();
  const key = keyOf(rig);
  const database = await openDatabase({ url: rig.postgres?.urlOf(DATABASE), dataDir: rig.dataDir, poolSize: 1 });
  rig.closing.add(() => database.close());
  const life = openSessionLife(database, CLOSES_AFTER);
  let [logs, alarms, copy] = [0, 0, ''];
  for (let entries = 0; entries < ENTRIES || (logs < cleanLogs && performance.now() < until);) {
    await killAtWork(rig, ledger);
    await rig.servers[0].start();
    for (let n = 0; n < CALLS; n++) await callOf(rig, ledger);
    await closeSessions(rows, life);
    await sequenced(rows);
    const note = await noteOf(rows);
    const verdict = await verifyLog(sourceOf(rows), trusting(note, key, copy === '' ? [] : [copy]));
    logs += 1;
    if (!verdict.isProved) alarms += 1;
    if (!verdict.isProved) say(`a clean log is not proved: ${JSON.stringify(verdict.problems.slice(0, 3))}`);
    entries = verdict.checkpoint?.size ?? 0;
    // The copy that the mutations are held against is older than the last of the log.
    if (entries < ENTRIES || copy === '') copy = note;
    if (logs % 10 === 0) say(`${logs} clean logs, ${alarms} false alarms, ${entries} entries`);
  }
  return { logs, alarms, copy, key };
}

const CALLS = 10;

/** A permit that is used, used once more than it may be, and reported on. */
async function callOf({ cast, servers: [{ line }] }: Rig, ledger: Ledger): Promise<void> {
  const sender = { line, cast, ledger };
  const token = textOf(await exchange(sender), 'access_token');
  for (let n = 0; n < 2; n++) await use(sender, token);
  const { status, body } = await report(sender, token);
  if (status !== 200) throw new Error(`an outcome was not taken: ${String(status)} ${JSON.stringify(body)}`);
}

/** About half of the sessions, as the time of their lives would. */
async function closeSessions(rows: Rows, life: SessionLife): Promise<void> {
  const some = `status = 'active' AND random() < 0.5`;
  await rows(`UPDATE agent_session SET expires_at = clock_timestamp() - interval '1 second' WHERE ${some}`, []);
  await keepSessionLife(life, systemClock);
  await rows(`UPDATE agent_session SET ended_at = ended_at - interval '1 hour' WHERE status = 'ended'`, []);
  await keepSessionLife(life, systemClock);
}

/** What was written is in the tree within seconds. */
async function sequenced(rows: Rows): Promise<void> {
  for (let waited = 0; (await rows('SELECT 1 FROM log_pending LIMIT 1', [])).length > 0; waited += 50) {
    if (waited > 20_000) throw new Error('the log is not sequenced');
    await pause(50);
  }
}

async function mutate(
  { rows, key, copy }: Readonly<{ rows: Rows; key: KeyObject; copy: string }>,
  { rounds, until, say }: Readonly<{ rounds: number; until: number; say: Bounds['say'] }>,
): Promise<Pick<TamperResult, 'mutations' | 'detected' | 'entries' | 'found'>> {
  await sequenced(rows);
  const note = await noteOf(rows);
  const [size, copied] = [sizeOf(note), sizeOf(copy)];
  const origin = note.split('\n', 1)[0] ?? '';
  const options = trusting(note, key, [copy]);
  const before = await verifyLog(sourceOf(rows), options);
  if (!before.isProved) throw new Error(`the log is wrong before it is changed: ${JSON.stringify(before.problems)}`);
  if (before.sessions.complete === 0) throw new Error('the log has no session that is closed');
  const found: Record<string, Record<string, number>> = {};
  const all = { ...BY_SERVER, ...MUTATIONS };
  const names = Object.keys(all);
  let [mutations, detected] = [0, 0];
  for (; mutations < rounds && performance.now() < until; mutations++) {
    const name = names[mutations % names.length] ?? '';
    const isByServer = name in BY_SERVER;
    const verdict = await undone(rows, async () => {
      await all[name]?.({ rows, origin, size, copied, key });
      return verifyLog(sourceOf(rows), isByServer ? { ...options, copies: [] } : options);
    });
    const by = verdict.problems[0]?.code ?? 'nothing';
    found[name] = { ...found[name], [by]: (found[name]?.[by] ?? 0) + 1 };
    const isFound = isByServer ? verdict.problems.every(({ code }) => OF_SESSIONS.has(code)) : true;
    if (verdict.isProved || !isFound) say(`not found: ${name}, but ${by}`);
    else detected += 1;
    if (mutations % 100 === 99) say(`${mutations + 1} mutations, ${detected} found`);
  }
  return { mutations, detected, entries: size, found };
}

/** Anything else would mean that the tree was not made anew as a server would. */
const OF_SESSIONS: ReadonlySet<ProblemCode> = new Set(['session_gap', 'session_double', 'summary_wrong']);

/** Whatever was changed is as it was afterwards. */
async function undone(rows: Rows, work: () => Promise<Verdict>): Promise<Verdict> {
  await rows('BEGIN', []);
  try {
    return await work();
  } finally {
    await rows('ROLLBACK', []);
  }
}

function keyOf({ dataDir }: Rig): KeyObject {
  const file = ['log-key.pem', 'log-key', 'log.key']
    .map((name) => join(dataDir, name))
    .find((path) => existsSync(path));
  if (file === undefined) throw new Error(`no key of the log in ${dataDir}`);
  return createPrivateKey(readFileSync(file, 'utf8'));
}

const trusting = (note: string, key: KeyObject, copies: readonly string[]): AuditorOptions => ({
  keys: [verifierKey(note.split('\n', 1)[0] ?? '', key)],
  copies,
  // Nothing here is old enough for retention.
  prunedBelow: 0,
});

async function noteOf(rows: Rows): Promise<string> {
  return (await openTreeReader({ rows: (sql, values) => rows(sql, values) }).latest())?.note ?? '';
}

function sizeOf(text: string): number {
  const note = parseNote(text);
  const checkpoint = note.ok ? parseCheckpoint(note.value.text) : undefined;
  return checkpoint?.ok === true ? checkpoint.value.size : 0;
}

/** The log as its tables have it, by the paths at which it is served. */
function sourceOf(rows: Rows): LogSource {
  const tree = openTreeReader({ rows: (sql, values) => rows(sql, values) });
  return {
    hasEntries: true,
    read: async (path) => {
      if (path === 'checkpoint') return Buffer.from((await tree.latest())?.note ?? '');
      const asked = parseTilePath(path);
      if (!asked.ok) return undefined;
      const { of, level, index, width } = asked.value;
      if (of === 'hashes') return tree.tile(level, index);
      const start = index * 256;
      const entries = await tree.entries({ start, end: start + width, limit: width });
      const leaves = entries.flatMap(({ leaf }) => leaf ?? []);
      const bundle = leaves.length === width ? entryBundle(leaves) : undefined;
      return bundle?.ok === true ? bundle.value : undefined;
    },
  };
}
