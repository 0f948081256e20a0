import { randomBytes } from 'node:crypto';
import { type Mutation, rehash, rewrite } from './mutations.js';
import type { Rows } from './invariants.js';

/**
 * What whoever runs the server may do while nobody keeps copies: every hash and every signature of it is right, and
 * nothing but what sessions say of themselves can show it.
 */
export const BY_SERVER: Readonly<Record<string, Mutation>> = {
  record_left_out: (crime) => leaveOut(crime, 'l.sequence IS NOT NULL'),
  use_or_outcome_left_out: (crime) => leaveOut(crime, 'l.sequence IS NULL'),
  summary_off_by_one: async (crime) => {
    const { index, leaf } = await oneOf(crime.rows, IS_SUMMARY);
    const name = COUNTED[Math.floor(Math.random() * COUNTED.length)] ?? '';
    const changed = leaf.replace(
      new RegExp(`"${name}":(\\d+)`),
      (_, count) => `"${name}":${String(Number(count) + 1)}`,
    );
    if (changed === leaf) throw new Error(`no ${name} in ${leaf}`);
    await crime.rows('UPDATE log_leaf SET leaf = $2 WHERE id = (SELECT leaf_id FROM log_entry WHERE index = $1)', [
      index,
      Buffer.from(changed),
    ]);
    await rehash(crime, index);
    await rewrite(crime, crime.key, crime.size);
  },
  session_goes_on: (crime) => writeAgain(crime, `l.sequence = 1 AND l.session_id IN (${CLOSED})`),
  record_twice: (crime) =>
    writeAgain(crime, `l.sequence IS NOT NULL AND NOT ${IS_SUMMARY} AND l.session_id IN (${OPEN})`),
};

const COUNTED = ['entries', 'permits', 'refusals', 'asks', 'introspections', 'outcomes'];
const IS_SUMMARY = `(l.kind = 'session' AND convert_from(l.leaf, 'UTF8') LIKE '%"what":"closed"%')`;
const CLOSED = 'SELECT id FROM agent_session WHERE closed_at IS NOT NULL';
const OPEN = 'SELECT id FROM agent_session WHERE closed_at IS NULL';

async function oneOf(rows: Rows, where: string): Promise<Readonly<{ index: number; leaf: string }>> {
  const [found] = (await rows(
    `SELECT e.index::int AS index, convert_from(l.leaf, 'UTF8') AS leaf
     FROM log_leaf l JOIN log_entry e ON e.leaf_id = l.id WHERE ${where} ORDER BY random() LIMIT 1`,
    [],
  )) as { index: number; leaf: string }[];
  if (found === undefined) throw new Error(`the log has no entry where ${where}`);
  return found;
}

/** One record of a session that is closed is not in the tree, and all that came after it is one place before. */
async function leaveOut(crime: Parameters<Mutation>[0], which: string): Promise<void> {
  const { rows, key, size } = crime;
  const { index } = await oneOf(rows, `${which} AND NOT ${IS_SUMMARY} AND l.session_id IN (${CLOSED})`);
  await rows('DELETE FROM log_entry WHERE index = $1', [index]);
  await rows('UPDATE log_entry SET index = -index WHERE index > $1', [index]);
  await rows('UPDATE log_entry SET index = -index - 1 WHERE index < 0', []);
  await rewrite(crime, key, size - 1);
}

/** The newest entry of the tree says what an older one said, with another salt. */
async function writeAgain(crime: Parameters<Mutation>[0], which: string): Promise<void> {
  const { rows, key, size } = crime;
  const { leaf } = await oneOf(rows, which);
  const again = leaf.replace(/"salt":"[\w-]*"/, `"salt":"${randomBytes(16).toString('base64url')}"`);
  await rows(
    `WITH written AS (INSERT INTO log_leaf (leaf, leaf_hash, kind, lineage)
       VALUES ($2::bytea, sha256('\\x00'::bytea || $2::bytea), 'exchange', ARRAY[]::text[]) RETURNING id, leaf_hash)
     INSERT INTO log_entry (index, leaf_id, leaf_hash) SELECT $1::bigint, id, leaf_hash FROM written`,
    [size, Buffer.from(again)],
  );
  await rewrite(crime, key, size + 1);
}
