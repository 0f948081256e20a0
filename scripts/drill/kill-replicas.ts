import { setTimeout as pause } from 'node:timers/promises';
import type pg from 'pg';
import { parseCheckpoint, parseNote, Tree } from '../../src/tlog/index.js';
import { Person } from './code-flow.js';
import { examineServer, worse, NOTHING } from './kill.js';
import { Ledger } from './ledger.js';
import { keepSignedIn, work } from './load.js';
import { type Bounds, openRig, type Rig, withDatabase } from './rig.js';
import type { ServerProcess } from './server.js';

export type ReplicaKills = Readonly<{
  kills: number;
  acknowledged: number;
  lost: number;
  orphans: number;
  unacknowledged: number;
  /** Checkpoints that are of no tree that the log grew through, and entries that stand in it twice. */
  forks: number;
  /** Records that were outside the tree five seconds after a kill. */
  unsequenced_after_5s: number;
  size: number;
  sequenced_ms_p99: number;
  found: Readonly<Record<string, number>>;
}>;

const CLIENTS = 8;
const LIMIT_MS = 5_000;

/** Two server processes on one database under load, either killed at any moment; the log must be one, whole and soon up to date. */
export async function killReplicas({ rounds, seconds, say }: Bounds): Promise<ReplicaKills> {
  const rig = await openRig({ database: 'postgres', servers: 2 });
  try {
    const [ledger, seen, waits] = [new Ledger(), new Seen(), [] as number[]];
    const began = performance.now();
    let [kills, late, worst] = [0, 0, NOTHING];
    while (kills < rounds && performance.now() - began < seconds * 1_000) {
      const victim = await killOne(rig, ledger, seen);
      kills++;
      const { ms, left } = await inDatabase(rig, untilSequenced);
      waits.push(ms);
      late += left;
      await victim.start();
      const findings = await examineServer(rig, ledger);
      worst = worse(worst, findings);
      if (findings.lost + findings.orphans + left > 0)
        say(`kill ${kills}: ${left} unsequenced ${JSON.stringify(findings.by)}`);
      if (kills % 10 === 0)
        say(`${kills} kills, ${ledger.acknowledged} acknowledged, ${late} late, p99 ${p99(waits)} ms`);
    }
    const { forks, size } = await inDatabase(rig, (client) => seen.forksIn(client));
    const { lost, orphans, unacknowledged, by } = worst;
    return {
      ...{ kills, acknowledged: ledger.acknowledged, lost, orphans, unacknowledged, forks },
      ...{ unsequenced_after_5s: late, size, sequenced_ms_p99: p99(waits), found: by },
    };
  } finally {
    await rig.closing.close();
  }
}

async function killOne({ servers, cast }: Rig, ledger: Ledger, seen: Seen): Promise<ServerProcess> {
  let over = false;
  const isOver = (): boolean => over;
  const busy = servers.flatMap((server) => {
    const sender = { line: server.line, cast, ledger };
    const clients = Array.from({ length: CLIENTS }, () => work(sender, isOver));
    return [...clients, keepSignedIn(sender, new Person(cast), isOver), seen.watch(server, isOver)];
  });
  const wanted = ledger.acknowledged + 4 * CLIENTS;
  for (let waited = 0; ledger.acknowledged < wanted && waited < 5_000; waited += 10) await pause(10);
  await pause(Math.random() * 500);
  const victim = servers[Math.floor(Math.random() * servers.length)] ?? servers[0];
  await victim.kill();
  over = true;
  await Promise.all(busy);
  return victim;
}

/** Every checkpoint that anybody was shown. */
class Seen {
  readonly #roots = new Map<number, Set<string>>();

  async watch(server: ServerProcess, isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      const { status, body } = await server.line.get('/audit/v1/checkpoint', {});
      if (status === 200) this.#keep(String(body['text']));
      await pause(50);
    }
  }

  #keep(note: string): void {
    const parsed = parseNote(note);
    const checkpoint = parsed.ok ? parseCheckpoint(parsed.value.text) : undefined;
    if (checkpoint?.ok !== true) throw new Error(`no checkpoint: ${note}`);
    const { size, root } = checkpoint.value;
    this.#roots.set(size, (this.#roots.get(size) ?? new Set()).add(root.toString('base64')));
  }

  /** The tree is built again from its leaves: at every size it must have the one root that was shown and stored. */
  async forksIn(client: pg.Client): Promise<Readonly<{ forks: number; size: number }>> {
    const stored = await client.query<{ note: string }>('SELECT note FROM log_checkpoint ORDER BY size');
    for (const { note } of stored.rows) this.#keep(note);
    const { rows } = await client.query<{ hash: Buffer }>(LEAVES);
    const tree = new Tree();
    let forks = this.#strangersAt(tree);
    for (const { hash } of rows) {
      tree.append(hash);
      forks += this.#strangersAt(tree);
    }
    const beyond = [...this.#roots.keys()].filter((size) => size > rows.length).length;
    const [twice] = (await client.query<{ count: number }>(NOT_ONCE)).rows;
    return { forks: forks + beyond + (twice?.count ?? 0), size: rows.length };
  }

  #strangersAt(tree: Tree): number {
    const shown = this.#roots.get(tree.size);
    if (shown === undefined) return 0;
    return shown.size - (shown.has(tree.root().toString('base64')) ? 1 : 0);
  }
}

const LEAVES = `
  SELECT sha256('\\x00'::bytea || l.leaf) AS hash FROM log_entry e JOIN log_leaf l ON l.id = e.leaf_id ORDER BY e.index`;

/** Records that are neither in the tree nor waiting for it, or both. */
const NOT_ONCE = `
  SELECT count(*)::int AS count FROM log_leaf l
  WHERE (EXISTS (SELECT FROM log_entry e WHERE e.leaf_id = l.id)) = (EXISTS (SELECT FROM log_pending p WHERE p.leaf_id = l.id))`;

/** What waits when the kill is over must be in the tree in time; what comes meanwhile has its own five seconds. */
async function untilSequenced(client: pg.Client): Promise<Readonly<{ ms: number; left: number }>> {
  const began = performance.now();
  const last = (await client.query<{ last: string }>('SELECT coalesce(max(id), 0)::text AS last FROM log_leaf')).rows[0]
    ?.last;
  for (;;) {
    const { rows } = await client.query<{ left: number }>(
      'SELECT count(*)::int AS left FROM log_pending WHERE leaf_id <= $1::bigint',
      [last],
    );
    const [ms, left] = [performance.now() - began, rows[0]?.left ?? 0];
    if (left === 0 || ms > LIMIT_MS) return { ms, left };
    await pause(20);
  }
}

const inDatabase = <T>({ postgres }: Rig, work: (client: pg.Client) => Promise<T>): Promise<T> => {
  if (postgres === undefined) throw new Error('there is no server');
  return withDatabase(postgres, work);
};

function p99(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return Math.round(sorted[Math.ceil(sorted.length * 0.99) - 1] ?? 0);
}
