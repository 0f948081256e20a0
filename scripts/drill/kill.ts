import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { PGlite } from '@electric-sql/pglite';
import { Person } from './code-flow.js';
import { examine, type Findings, type Rows } from './invariants.js';
import { Ledger } from './ledger.js';
import { keepSignedIn, work } from './load.js';
import { type Bounds, openRig, type Rig, type RigOptions, withDatabase } from './rig.js';
import type { ServerProcess } from './server.js';

type Ready = Awaited<ReturnType<ServerProcess['start']>>;
type Kind = RigOptions['database'];
export type KillTally = Readonly<{
  kills: number;
  acknowledged: number;
  lost: number;
  orphans: number;
  unacknowledged: number;
  ready_ms_p99: number;
  /** The same in processor time, which other work on the machine does not stretch. */
  ready_cpu_ms_p99: number;
  found: Readonly<Record<string, number>>;
}>;
export type KillResult = KillTally & Readonly<{ databases: Readonly<Record<string, KillTally>> }>;

const CLIENTS = 16;

/** The server killed in the middle of its work, and everything that clients know held against the database after each. */
export async function kill(bounds: Bounds, kinds: readonly Kind[]): Promise<KillResult> {
  const databases: Record<string, KillTally> = {};
  const ready: Ready[] = [];
  for (const kind of kinds) {
    const seconds = bounds.seconds / kinds.length;
    databases[kind] = await killOn(kind, { ...bounds, seconds }, ready);
  }
  const all = Object.values(databases);
  const sum = (of: (one: KillTally) => number): number => all.reduce((total, one) => total + of(one), 0);
  return {
    kills: sum(({ kills }) => kills),
    acknowledged: sum(({ acknowledged }) => acknowledged),
    lost: sum(({ lost }) => lost),
    orphans: sum(({ orphans }) => orphans),
    unacknowledged: sum(({ unacknowledged }) => unacknowledged),
    ...p99(ready),
    found: Object.assign({}, ...all.map(({ found }) => found)) as Record<string, number>,
    databases,
  };
}

async function killOn(kind: Kind, { rounds, seconds, say }: Bounds, allReady: Ready[]): Promise<KillTally> {
  const rig = await openRig({ database: kind, servers: 1 });
  try {
    const [ledger, ready] = [new Ledger(), [] as Ready[]];
    const began = performance.now();
    let kills = 0;
    let worst = NOTHING;
    while (kills < rounds && performance.now() - began < seconds * 1_000) {
      await killAtWork(rig, ledger);
      kills++;
      // The next start mends the embedded files; looked at are those that the crash left.
      const crashed = kind === 'embedded' ? copyOf(rig) : undefined;
      ready.push(await rig.servers[0].start());
      const findings = crashed === undefined ? await examineServer(rig, ledger) : await examineFiles(crashed, ledger);
      worst = worse(worst, findings);
      if (findings.lost + findings.orphans > 0) say(`${kind}: kill ${kills}: ${JSON.stringify(findings.by)}`);
      if (kills % 10 === 0) say(progress(kind, kills, { ledger, worst, ready }));
    }
    await rig.servers[0].stop();
    const last =
      kind === 'embedded' ? await examineFiles(join(rig.dataDir, 'db'), ledger) : await examineServer(rig, ledger);
    const { lost, orphans, by } = worse(worst, last);
    say(progress(kind, kills, { ledger, worst, ready }));
    allReady.push(...ready);
    const { unacknowledged } = last;
    const { acknowledged } = ledger;
    return { kills, acknowledged, lost, orphans, unacknowledged, ...p99(ready), found: by };
  } finally {
    await rig.closing.close();
  }
}

/** Clients at work, and the server killed among them. */
export async function killAtWork({ servers: [server], cast }: Rig, ledger: Ledger): Promise<void> {
  let over = false;
  const isOver = (): boolean => over;
  const sender = { line: server.line, cast, ledger };
  const person = new Person(cast);
  const clients = Array.from({ length: CLIENTS }, (_, n) =>
    n === 0 ? keepSignedIn(sender, person, isOver) : work(sender, isOver),
  );
  await underWay(ledger);
  await pause(Math.random() * 400);
  await server.kill();
  over = true;
  await Promise.all(clients);
}

/** A server that has just started takes a moment until all of its clients are at work. */
async function underWay(ledger: Ledger): Promise<void> {
  const wanted = ledger.acknowledged + 2 * CLIENTS;
  for (let waited = 0; ledger.acknowledged < wanted && waited < 5_000; waited += 10) await pause(10);
}

/** Connections of the killed process may still be at their last statement. */
export const examineServer = ({ postgres }: Rig, ledger: Ledger): Promise<Findings> => {
  if (postgres === undefined) throw new Error('there is no server');
  return withDatabase(postgres, async (client) => {
    const rows: Rows = async (sql, parameters) => (await client.query<object>(sql, [...parameters])).rows;
    for (let waited = 0; waited < 5_000; waited += 20) {
      const active = await rows(AT_WORK, []);
      if (active.length === 0) break;
      await pause(20);
    }
    return examine(rows, ledger);
  });
};

const AT_WORK = `SELECT 1 FROM pg_stat_activity WHERE application_name = 'writ' AND state <> 'idle'`;

function copyOf({ dataDir, folder }: Rig): string {
  const copy = join(folder, 'crashed');
  rmSync(copy, { recursive: true, force: true });
  cpSync(join(dataDir, 'db'), copy, { recursive: true });
  return copy;
}

async function examineFiles(directory: string, ledger: Ledger): Promise<Findings> {
  const database = await PGlite.create(directory);
  try {
    return await examine(async (sql, parameters) => (await database.query<object>(sql, [...parameters])).rows, ledger);
  } finally {
    await database.close();
  }
}

export const NOTHING: Findings = { lost: 0, orphans: 0, unacknowledged: 0, by: {} };

/** Everything is looked at after every kill, so what is found stays found: the most of it counts once. */
export const worse = (a: Findings, b: Findings): Findings => ({
  lost: Math.max(a.lost, b.lost),
  orphans: Math.max(a.orphans, b.orphans),
  unacknowledged: Math.max(a.unacknowledged, b.unacknowledged),
  by: { ...a.by, ...b.by },
});

function progress(
  kind: Kind,
  kills: number,
  { ledger, worst, ready }: Readonly<{ ledger: Ledger; worst: Findings; ready: readonly Ready[] }>,
): string {
  const { lost, orphans, unacknowledged } = worst;
  return `${kind}: ${kills} kills, ${ledger.acknowledged} acknowledged, ${lost} lost, ${orphans} orphans, ${unacknowledged} unacknowledged, ready in ${p99(ready).ready_ms_p99} ms (p99)`;
}

function p99(ready: readonly Ready[]): Pick<KillTally, 'ready_ms_p99' | 'ready_cpu_ms_p99'> {
  const of = (values: readonly number[]): number => {
    const sorted = [...values].sort((a, b) => a - b);
    return Math.round(sorted[Math.ceil(sorted.length * 0.99) - 1] ?? 0);
  };
  return { ready_ms_p99: of(ready.map(({ ms }) => ms)), ready_cpu_ms_p99: of(ready.map(({ cpuMs }) => cpuMs)) };
}
