import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { ENTRY_LIFE, feedTarget } from '../protocol/index.js';
import type { Prisma } from './generated/client.js';

type Reader = Pick<Prisma.TransactionClient, '$queryRawUnsafe'>;

/**
 * What ends with these targets, which are numbered already, without naming them: a verifier that is shown a token knows
 * nothing of where that comes from, so it needs a number of its own.
 */
export async function derivedFrom(reader: Reader, targets: readonly string[]): Promise<readonly string[]> {
  const derived = await Promise.all(targets.map((target) => derivedFromOne(reader, target)));
  return [...new Set(derived.flat())];
}

/** Whether there may be any. */
export const mayHaveDerived = (target: string): boolean => /^(token|tool|issuer):/.test(target);

async function derivedFromOne(reader: Reader, target: string): Promise<readonly string[]> {
  const words = (sql: string, ...values: readonly string[]): Promise<readonly string[]> => wordsOf(reader, sql, values);
  const [, kind, id = ''] = /^(\w+):(.*)$/s.exec(target) ?? [];
  if (kind === 'token') {
    const isOurs = (await words(`SELECT txn AS word FROM log_leaf WHERE token_hash = $1`, id)).length > 0;
    return (await words(isOurs ? DERIVED_OF_OURS : DERIVED, id)).map((hash) => `token:${hash}`);
  }
  if (kind === 'tool') {
    const server = feedTarget.server(id.slice(0, id.lastIndexOf('#')));
    return (await words(DERIVED_ELSEWHERE, target, server)).map((hash) => `token:${hash}`);
  }
  return kind === 'issuer' ? (await words(RECENT, id)).map(feedTarget.person) : [];
}

/**
 * Waits until every statement is over that writes to the log now. DANGER: the snapshot of a commit may be older than a
 * revocation that is committed before it, and what it mints then is known only after it. Each holds its lock on the log
 * before it takes its snapshot. One that takes longer than this is answered too late for anybody to get a token by it.
 */
export async function commitsUnderWay(reader: Reader): Promise<void> {
  const before = await wordsOf(reader, UNDER_WAY, []);
  for (let waited = 0; before.length > 0 && waited < PATIENCE_MS; waited += LOOK_MS) {
    const still = new Set(await wordsOf(reader, UNDER_WAY, []));
    if (!before.some((one) => still.has(one))) return;
    await pause(LOOK_MS);
  }
}

const LOOK_MS = 10;
const PATIENCE_MS = 5_000;

const wordsOf = async (reader: Reader, sql: string, values: readonly string[]): Promise<readonly string[]> =>
  z
    .array(z.object({ word: z.string() }))
    .parse(await reader.$queryRawUnsafe(sql, ...values))
    .map(({ word }) => word);

const UNDER_WAY = `
  SELECT virtualtransaction AS word FROM pg_locks
  WHERE locktype = 'relation' AND relation = 'log_leaf'::regclass AND mode = 'RowExclusiveLock' AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid()`;

const LIVE = `token_hash IS NOT NULL AND at > now() - interval '${ENTRY_LIFE} seconds'`;
const OF_IT = `token_hash <> $1 AND lineage @> ARRAY['token:' || $1] AND ${LIVE}`;
const DERIVED_OF_OURS = `
  SELECT token_hash AS word FROM log_leaf WHERE txn = (SELECT txn FROM log_leaf WHERE token_hash = $1) AND ${OF_IT}`;
export const DERIVED = `SELECT token_hash AS word FROM log_leaf WHERE ${OF_IT}`;
/** A token of the tool's own server names the tool by itself. */
const DERIVED_ELSEWHERE = `
  SELECT token_hash AS word FROM log_leaf
  WHERE ${LIVE} AND lineage @> ARRAY[$1::text]
    AND EXISTS (SELECT 1 FROM unnest(lineage) AS named(target) WHERE target LIKE 'server:%' AND target <> $2)`;
/** Verifiers know people, and no issuers: those who may hold a token that lives, and have no younger number. */
const RECENT = `
  SELECT DISTINCT s.person_id AS word FROM agent_session s JOIN person p ON p.id = s.person_id
  WHERE p.issuer = $1 AND s.last_used_at > now() - interval '${ENTRY_LIFE} seconds'
    AND NOT EXISTS (
      SELECT 1 FROM revocation mine JOIN revocation theirs ON theirs.target = 'issuer:' || $1
      WHERE mine.target = 'person:' || s.person_id AND mine.number > theirs.number)`;
