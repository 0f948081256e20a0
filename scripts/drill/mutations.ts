import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { formatCheckpoint, formatNote, leafHash, signatureLine, Tree } from '../../src/tlog/index.js';
import type { Rows } from './invariants.js';

/** What whoever has the database may do to the log, and what else they got hold of. */
export type Crime = Readonly<{
  rows: Rows;
  origin: string;
  size: number;
  /** How much of the log the witness' copy covers. */
  copied: number;
  /** The log's own key, for the crimes of those who stole it too. */
  key: KeyObject;
}>;

export type Mutation = (crime: Crime) => Promise<unknown>;

const upTo = (limit: number): number => Math.floor(Math.random() * limit);
const anyOf = ({ size }: Crime): number => upTo(size);
/** Two different entries. */
const twoOf = (crime: Crime): readonly [number, number] => {
  const one = anyOf(crime);
  return [one, (one + 1 + upTo(crime.size - 1)) % crime.size];
};

/** One bit of a column turned, at this part of its length. The place is chosen here: SQL would choose each time it is named. */
function flipped(column: string, part = Math.random()): string {
  const at = `floor(${part} * octet_length(${column}))::int`;
  return `set_byte(${column}, ${at}, get_byte(${column}, ${at}) # ${1 << upTo(8)})`;
}
const LEAF_OF = '(SELECT leaf_id FROM log_entry WHERE index = $1)';

/** Every way to change a log that has been committed. */
export const MUTATIONS: Readonly<Record<string, Mutation>> = {
  flip: (crime) => crime.rows(`UPDATE log_leaf SET leaf = ${flipped('leaf')} WHERE id = ${LEAF_OF}`, [anyOf(crime)]),
  flip_and_hash: async (crime) => {
    const index = anyOf(crime);
    await crime.rows(`UPDATE log_leaf SET leaf = ${flipped('leaf', 0.1)} WHERE id = ${LEAF_OF}`, [index]);
    await rehash(crime, index);
  },
  delete_entry: (crime) => crime.rows('DELETE FROM log_entry WHERE index = $1', [anyOf(crime)]),
  delete_leaf: (crime) => crime.rows(`DELETE FROM log_leaf WHERE id = ${LEAF_OF}`, [anyOf(crime)]),
  delete_as_pruned: async (crime) => {
    const index = 1 + upTo(crime.size - 1);
    await crime.rows(`DELETE FROM log_leaf WHERE id = ${LEAF_OF}`, [index]);
    await crime.rows('UPDATE log_entry SET leaf_id = NULL WHERE index = $1', [index]);
  },
  insert: async (crime) => {
    const index = anyOf(crime);
    await crime.rows('UPDATE log_entry SET index = -index - 2 WHERE index >= $1', [index]);
    await crime.rows('UPDATE log_entry SET index = -index - 1 WHERE index < 0', []);
    await crime.rows(
      `WITH forged AS (INSERT INTO log_leaf (leaf, leaf_hash, kind, lineage)
         VALUES ('{}', sha256('\\x007b7d'::bytea), 'exchange', ARRAY[]::text[]) RETURNING id, leaf_hash)
       INSERT INTO log_entry (index, leaf_id, leaf_hash) SELECT $1::bigint, id, leaf_hash FROM forged`,
      [index],
    );
  },
  reorder: async (crime) => {
    const [one, other] = twoOf(crime);
    await crime.rows('UPDATE log_entry SET index = -1 WHERE index = $1', [one]);
    await crime.rows('UPDATE log_entry SET index = $2 WHERE index = $1', [other, one]);
    await crime.rows('UPDATE log_entry SET index = $1 WHERE index = -1', [other]);
  },
  splice: async (crime) => {
    const [one, other] = twoOf(crime);
    await crime.rows(
      `UPDATE log_leaf SET leaf = (SELECT leaf FROM log_leaf l JOIN log_entry e ON e.leaf_id = l.id WHERE e.index = $2)
       WHERE id = ${LEAF_OF}`,
      [one, other],
    );
    await rehash(crime, one);
  },
  index: (crime) => crime.rows('UPDATE log_entry SET index = $2 WHERE index = $1', [anyOf(crime), crime.size + 7]),
  truncate: async (crime) => {
    await crime.rows('DELETE FROM log_entry WHERE index >= $1', [1 + upTo(crime.size - 1)]);
  },
  summary: async (crime) => {
    const changed = await crime.rows(
      `UPDATE log_leaf SET leaf = convert_to(regexp_replace(convert_from(leaf, 'UTF8'), '"entries":\\d+', '"entries":424242'), 'UTF8')
       WHERE id = (SELECT id FROM log_leaf WHERE convert_from(leaf, 'UTF8') LIKE '%"what":"closed"%' ORDER BY random() LIMIT 1)
       RETURNING id`,
      [],
    );
    if (changed.length === 0) await crime.rows(OTHER_PLACE, []);
  },
  tile: (crime) =>
    crime.rows(
      `UPDATE log_tile SET hashes = ${flipped('hashes')}
       WHERE (level, index) = (SELECT level, index FROM log_tile ORDER BY random() LIMIT 1)`,
      [],
    ),
  tile_gone: (crime) =>
    crime.rows(
      'DELETE FROM log_tile WHERE (level, index) = (SELECT level, index FROM log_tile ORDER BY random() LIMIT 1)',
      [],
    ),
  tile_cut: (crime) =>
    crime.rows(
      `UPDATE log_tile SET hashes = substring(hashes FOR octet_length(hashes) - 32)
       WHERE (level, index) = (SELECT level, index FROM log_tile ORDER BY random() LIMIT 1)`,
      [],
    ),
  checkpoint: async (crime) => {
    const note = await noteOf(crime);
    // The dash that begins a signature line is longer than one byte; what is changed stays text.
    const at = [...note.matchAll(/[A-Za-z0-9+/]/g)].map((match) => match.index);
    const where = at[upTo(at.length)] ?? 0;
    const other = note[where] === 'A' ? 'B' : 'A';
    await crime.rows('UPDATE log_checkpoint SET note = $1 WHERE size = $2', [
      note.slice(0, where) + other + note.slice(where + 1),
      crime.size,
    ]);
  },
  checkpoint_gone: (crime) => crime.rows('DELETE FROM log_checkpoint WHERE size = $1', [crime.size]),
  key_swap: (crime) => rewrite(crime, generateKeyPairSync('ed25519').privateKey, crime.size),
  rechain: async (crime) => {
    await forge(crime, anyOf(crime));
    await rewrite(crime, generateKeyPairSync('ed25519').privateKey, crime.size);
  },
  rechain_by_stolen_key: async (crime) => {
    await forge(crime, upTo(crime.copied));
    await rewrite(crime, crime.key, crime.size);
  },
  old_backup: async (crime) => {
    await rewrite(crime, crime.key, 1 + upTo(crime.copied - 1));
  },
};

/** Where no session is closed yet: a record that says to have another place in its session. */
const OTHER_PLACE = `
  UPDATE log_leaf SET leaf = convert_to(regexp_replace(convert_from(leaf, 'UTF8'), '"sequence":\\d+', '"sequence":424242'), 'UTF8')
  WHERE id = (SELECT l.id FROM log_leaf l JOIN log_entry e ON e.leaf_id = l.id WHERE l.sequence IS NOT NULL ORDER BY random() LIMIT 1)`;

export const rehash = ({ rows }: Crime, index: number): Promise<unknown> =>
  rows(
    `WITH changed AS (UPDATE log_leaf SET leaf_hash = sha256('\\x00'::bytea || leaf) WHERE id = ${LEAF_OF} RETURNING id, leaf_hash)
     UPDATE log_entry SET leaf_hash = changed.leaf_hash FROM changed WHERE leaf_id = changed.id`,
    [index],
  );

async function forge(crime: Crime, index: number): Promise<void> {
  await crime.rows(`UPDATE log_leaf SET leaf = ${flipped('leaf', 0.05)} WHERE id = ${LEAF_OF}`, [index]);
  await rehash(crime, index);
}

async function noteOf({ rows, size }: Crime): Promise<string> {
  const [row] = (await rows('SELECT note FROM log_checkpoint WHERE size = $1', [size])) as { note: string }[];
  return row?.note ?? '';
}

/** The tree anew over the first `size` leaves as they are now, all of it right, under a checkpoint by this key. */
export async function rewrite({ rows, origin }: Crime, key: KeyObject, size: number): Promise<void> {
  const leaves = (await rows(
    'SELECT l.leaf FROM log_entry e JOIN log_leaf l ON l.id = e.leaf_id WHERE e.index < $1 ORDER BY e.index',
    [size],
  )) as { leaf: Uint8Array }[];
  const tree = new Tree();
  for (const { leaf } of leaves) tree.append(leafHash(leaf));
  await rows('DELETE FROM log_tile', []);
  for (const { level, index, hashes } of tree.takeGrown())
    await rows('INSERT INTO log_tile (level, index, hashes) VALUES ($1, $2, $3)', [level, index, hashes]);
  await rows('DELETE FROM log_entry WHERE index >= $1', [size]);
  await rows('DELETE FROM log_checkpoint', []);
  const text = formatCheckpoint({ origin, size: tree.size, root: tree.root(), extensions: [] });
  const note = formatNote(text, [signatureLine(text, origin, key)]);
  await rows('INSERT INTO log_checkpoint (size, note) VALUES ($1, $2)', [tree.size, note]);
  await rows('UPDATE log_tree SET size = $1', [tree.size]);
}
