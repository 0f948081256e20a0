// A log that grows on PostgreSQL, in one process with one connection. Prints one JSON line: leaves that the sequencer
// appends in a second, what a leaf costs it, and what it costs PostgreSQL to queue a leaf while it is written.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { logSigner, Sequencer } from '../../src/audit/index.js';
import { systemClock } from '../../src/base/index.js';
import { openCheckpointFile, openDatabase, openTree, openTreeReader } from '../../src/storage/index.js';
import { median } from './load.js';
import { record } from './record.js';

const Setup = z.object({ url: z.string(), rounds: z.number(), leaves: z.number() });
const { url, rounds, leaves } = Setup.parse(JSON.parse(process.argv[2] ?? ''));
/** As many as a commit of exchanges has. */
const STATEMENT = 32;

const WRITE = `
INSERT INTO log_leaf (leaf, leaf_hash, kind, session_id, sequence, txn, token_hash, lineage)
SELECT leaf, sha256('\\x00'::bytea || leaf), 'exchange', gen_random_uuid()::text, 1, gen_random_uuid()::text, gen_random_uuid()::text,
  ARRAY['session:' || gen_random_uuid(), 'txn:' || gen_random_uuid(), 'token:' || gen_random_uuid(), 'agent:agt_writer', 'person:prs_7Hq4bYpZ2mWcVt9x', 'key:k1']
FROM unnest($1::bytea[]) WITH ORDINALITY AS t(leaf, n) ORDER BY n`;

const dataDir = mkdtempSync(join(tmpdir(), 'writ-sequencing-'));
const database = await openDatabase({ url, dataDir, poolSize: 1 });
const fail = (thrown: unknown): never => {
  throw thrown;
};
const sequencer = new Sequencer({
  holder: randomUUID(),
  tree: openTree(database, systemClock),
  reader: openTreeReader(database),
  signer: logSigner('https://writ.example', [generateKeyPairSync('ed25519').privateKey]),
  memory: openCheckpointFile(dataDir, fail),
  timeMs: () => performance.now(),
});
const [backend] = z
  .array(z.object({ pid: z.number() }))
  .parse(await database.rows('SELECT pg_backend_pid() AS pid', []));
const queueing: number[] = [];
const rates: number[] = [];
const costs: number[] = [];
try {
  // The first round is for the compilers.
  for (let round = -1; round < rounds; round++) {
    const unqueued = await written('DISABLE', leaves / 2);
    await database.rows(
      'INSERT INTO log_pending (leaf_id) SELECT l.id FROM log_leaf l LEFT JOIN log_entry e ON e.leaf_id = l.id WHERE e.leaf_id IS NULL',
      [],
    );
    const queued = await written('ENABLE', leaves / 2);
    const { rate, cost } = await sequenced();
    if (round < 0) continue;
    queueing.push(queued - unqueued);
    rates.push(rate);
    costs.push(cost);
  }
} finally {
  await database.close();
  rmSync(dataDir, { recursive: true });
}
console.log(
  JSON.stringify({ sequenced_per_s: median(rates), sequencing_us: median(costs), queue_us: median(queueing) }),
);

/** Writes so many leaves; microseconds of PostgreSQL's CPU for each. */
async function written(trigger: 'DISABLE' | 'ENABLE', count: number): Promise<number> {
  await database.rows(`ALTER TABLE log_leaf ${trigger} TRIGGER log_leaf_queue`, []);
  const batches = Array.from({ length: Math.ceil(count / STATEMENT) }, () => Array.from({ length: STATEMENT }, record));
  const before = cpuOfBackend();
  for (const batch of batches) await database.rows(WRITE, [batch]);
  return (cpuOfBackend() - before) / (batches.length * STATEMENT);
}

/** Microseconds so far: a process of PostgreSQL has one thread (sched-stats, first field, in nanoseconds). */
function cpuOfBackend(): number {
  return Number(readFileSync(`/proc/${backend?.pid ?? 0}/schedstat`, 'utf8').split(' ')[0]) / 1_000;
}

/** Appends all that waits. */
async function sequenced(): Promise<Readonly<{ rate: number; cost: number }>> {
  const [started, before] = [performance.now(), process.cpuUsage()];
  let appended = 0;
  for (let step = await sequencer.step(); step.did !== 'idle'; step = await sequencer.step()) {
    if (step.did !== 'appended') throw new Error(`the sequencer ${step.did}: ${step.halted ?? ''}`);
    appended += step.appended;
  }
  const { user, system } = process.cpuUsage(before);
  return { rate: appended / ((performance.now() - started) / 1_000), cost: (user + system) / appended };
}
