import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { parseCheckpoint, parseNote, verifyInclusion } from '../../src/tlog/index.js';
import { askOnce, fullLoad, quantile, type Request } from './load.js';
import type { DurablePostgres } from './postgres.js';
import { syntheticHash } from './synthetic-hash.js';

export type Figures = Readonly<Record<string, number>>;

/** How long the sequencer and the search index may take to come after the load. */
const CAUGHT_UP_MS = 60_000;

/** Bytes of the database for each entry of a log that real exchanges wrote, indexes included, in all and by table. */
export async function bytesPerEntry(postgres: DurablePostgres, database: string): Promise<Figures> {
  const number = (sql: string): number => Number(postgres.sql(database, sql));
  for (let waited = 0; waited < CAUGHT_UP_MS && number(BEHIND) > 0; waited += 500) await pause(500);
  postgres.sql(database, 'VACUUM');
  const entries = number('SELECT size FROM log_tree');
  const rows = postgres.sql(database, SIZES).trim().split('\n');
  const tables = rows.map((row) => row.split('|')).map(([name = '', size]) => [name, Number(size) / entries] as const);
  return {
    bytes_per_entry: tables.reduce((sum, [, bytes]) => sum + bytes, 0),
    ...Object.fromEntries(tables.map(([name, bytes]) => [`bytes_per_entry.${name}`, bytes])),
  };
}

const BEHIND = `
  SELECT (SELECT count(*) FROM log_pending) + (SELECT size FROM log_tree)
    - coalesce((SELECT index FROM log_consumer WHERE name = 'search'), 0)`;

const SIZES = `
  SELECT relname, pg_total_relation_size(oid) FROM pg_class
  WHERE relkind = 'r' AND relname IN ('log_leaf', 'log_entry', 'log_tile', 'log_checkpoint', 'log_posting', 'log_pending')
  ORDER BY 2 DESC`;

/** Exchanges that are in the log, to be sure of what was measured. */
export const recordedExchanges = (postgres: DurablePostgres, database: string): number =>
  Number(postgres.sql(database, `SELECT count(*) FROM log_leaf WHERE kind = 'exchange'`));

/** So many asked at a time under load. */
const AT_ONCE = 4;
const CHECKED = 64;

/** Inclusion proofs of entries anywhere in a synthetic log, by the leaf hash as a token carries it. */
export async function proofs(port: number, { entries, count }: Readonly<{ entries: number; count: number }>) {
  const anywhere = (n: number): readonly number[] =>
    Array.from({ length: n }, () => Math.floor(Math.random() * entries));
  for (const index of anywhere(CHECKED)) await check(port, index, entries);
  const load = async (connections: number, seconds: number): Promise<readonly number[]> => {
    const { times, failed } = await fullLoad({ port }, anywhere(count).map(asked), { connections, seconds });
    if (failed > 0) throw new Error(`${failed} proofs were not given`);
    return times;
  };
  await load(AT_ONCE, 20);
  const single = await load(1, 60);
  const loaded = await load(AT_ONCE, 60);
  return {
    ...{ proof_p50_ms: quantile(single, 0.5), proof_p99_ms: quantile(single, 0.99) },
    ...{ proof_loaded_p50_ms: quantile(loaded, 0.5), proof_loaded_p99_ms: quantile(loaded, 0.99) },
    proof_entries: entries,
  };
}

const asked = (index: number): Request =>
  Buffer.from(
    `GET /audit/v1/proof/inclusion?leaf=${syntheticHash(index).toString('base64url')} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`,
  );

const Proof = z.object({ index: z.number(), proof: z.array(z.string()), checkpoint: z.string() });

async function check(port: number, index: number, size: number): Promise<void> {
  const { body } = await askOnce({ port }, asked(index));
  const { proof, checkpoint, ...rest } = Proof.parse(JSON.parse(body));
  const note = parseNote(checkpoint);
  const head = note.ok ? parseCheckpoint(note.value.text) : note;
  const hashes = proof.map((text) => Buffer.from(text, 'base64url'));
  const proved =
    head.ok && head.value.size === size && verifyInclusion(syntheticHash(index), index, head.value, hashes);
  if (rest.index !== index || proved === false || !proved.ok) throw new Error(`entry ${index} is not proved`);
}
