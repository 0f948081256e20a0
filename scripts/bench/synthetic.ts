// Puts a large synthetic log in the place of the one that is there, without a server: entry n is the eight bytes of n, and
// is there as one whose time is over is, by its hash alone. Tree, tiles, indexes and checkpoint are those of a real log.
// Prints one JSON line: the seconds that it took.
import { createPrivateKey } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { z } from 'zod';
import { logSigner } from '../../src/audit/index.js';
import { Tree } from '../../src/tlog/index.js';
import { syntheticHash } from './synthetic-hash.js';

const Setup = z.object({ url: z.string(), dataDir: z.string(), issuer: z.string(), entries: z.number() });
const { url, dataDir, issuer, entries } = Setup.parse(JSON.parse(process.argv[2] ?? ''));
/** Entries whose tiles go to the database in one statement. */
const STEP = 65_536;
const INDEXES = [
  'CREATE UNIQUE INDEX log_entry_leaf_id_key ON log_entry (leaf_id)',
  'CREATE INDEX log_entry_leaf_hash_idx ON log_entry (leaf_hash)',
];

const [rows, tiles] = await Promise.all([connected(), connected()]);
await rows.query('TRUNCATE log_entry, log_tile, log_checkpoint, log_pending');
await rows.query('DROP INDEX log_entry_leaf_id_key, log_entry_leaf_hash_idx');
const filled = (async () => {
  await rows.query(
    `INSERT INTO log_entry (index, leaf_hash) SELECT n, sha256('\\x00'::bytea || int8send(n)) FROM generate_series(0, $1::bigint - 1) AS n`,
    [entries],
  );
  for (const index of INDEXES) await rows.query(index);
})();
const tree = new Tree();
for (let n = 0; n < entries; n++) {
  tree.append(syntheticHash(n));
  if (tree.size % STEP !== 0 && tree.size !== entries) continue;
  const grown = tree.takeGrown();
  await tiles.query(
    `INSERT INTO log_tile (level, index, hashes) SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])
     ON CONFLICT (level, index) DO UPDATE SET hashes = EXCLUDED.hashes`,
    [grown.map(({ level }) => level), grown.map(({ index }) => index), grown.map(({ hashes }) => hashes)],
  );
}
await filled;
const key = createPrivateKey(readFileSync(join(dataDir, 'log-key'), 'utf8'));
const note = logSigner(issuer, [key]).signCheckpoint({ size: entries, root: tree.root() });
await rows.query('INSERT INTO log_checkpoint (size, note) VALUES ($1, $2)', [entries, note]);
await rows.query('UPDATE log_tree SET size = $1, holder = NULL, held_until = NULL', [entries]);
await rows.query(`INSERT INTO log_consumer (name, index) VALUES ('search', 0) ON CONFLICT DO NOTHING`);
await rows.query('UPDATE log_consumer SET index = $1', [entries]);
await rows.query('VACUUM (ANALYZE) log_entry, log_tile');
rmSync(join(dataDir, 'checkpoint'), { force: true });
await Promise.all([rows.end(), tiles.end()]);
console.log(JSON.stringify({ seconds: performance.now() / 1_000 }));

async function connected(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client;
}
