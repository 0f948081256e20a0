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
  const of = (kind: string): readonly string[] =>
    targets.filter((target) => target.startsWith(`${kind}:`)).map((target) => target.slice(kind.length + 1));
  const derived = await derivedFromTokens(reader, of('token'));
  const tools = of('tool');
  const servers = tools.map((tool) => feedTarget.server(tool.slice(0, tool.lastIndexOf('#'))));
  if (tools.length > 0) {
    const cutOff = tools.map((tool) => `tool:${tool}`);
    derived.push(...(await wordsOf(reader, DERIVED_ELSEWHERE, [cutOff, servers])).map(tokenTarget));
  }
  for (const issuer of of('issuer')) derived.push(...(await wordsOf(reader, RECENT, [issuer])).map(feedTarget.person));
  return [...new Set(derived)];
}

/** Of what something may be derived; for SQL too. */
export const DERIVING = '^(token|tool|issuer):';
export const mayHaveDerived = (target: string): boolean => new RegExp(DERIVING).test(target);

/** However many there are, one look at the leaves that live, and none where all are of transactions that we know. */
async function derivedFromTokens(reader: Reader, hashes: readonly string[]): Promise<string[]> {
  if (hashes.length === 0) return [];
  const ours = new Set(await wordsOf(reader, OURS, [hashes]));
  const others = hashes.filter((hash) => !ours.has(hash)).map(tokenTarget);
  const derived = [
    ...(ours.size === 0 ? [] : await wordsOf(reader, DERIVED_OF_OURS, [[...ours]])),
    ...(others.length === 0 ? [] : await wordsOf(reader, DERIVED, [others])),
  ];
  return derived.map(tokenTarget);
}

/** Of a token that is known by its hash already. */
const tokenTarget = (hash: string): string => `token:${hash}`;

/**
 * Waits until every statement is over that writes to the log now. DANGER: the snapshot of a commit may be older than a
 * revocation that is committed before it, and what it mints then is known only after it. Each holds its lock on the log
 * before it takes its snapshot. One that takes longer than this is answered too late for anybody to get a token by it.
 */
export async function commitsUnderWay(reader: Reader): Promise<void> {
  const [before, until] = [await wordsOf(reader, UNDER_WAY, []), performance.now() + PATIENCE_MS];
  for (let wait = 10; before.length > 0 && performance.now() < until; wait = Math.min(2 * wait, LONGEST_WAIT_MS)) {
    const still = new Set(await wordsOf(reader, UNDER_WAY, []));
    if (!before.some((one) => still.has(one))) return;
    await pause(wait);
  }
}

const LONGEST_WAIT_MS = 100;
const PATIENCE_MS = 5_000;

const wordsOf = async (
  reader: Reader,
  sql: string,
  values: readonly (string | readonly string[])[],
): Promise<readonly string[]> =>
  z
    .array(z.object({ word: z.string() }))
    .parse(await reader.$queryRawUnsafe(sql, ...values))
    .map(({ word }) => word);

const UNDER_WAY = `
  SELECT virtualtransaction AS word FROM pg_locks
  WHERE locktype = 'relation' AND relation = 'log_leaf'::regclass AND mode = 'RowExclusiveLock' AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid()`;

const LIVE = `token_hash IS NOT NULL AND at > now() - interval '${ENTRY_LIFE} seconds'`;
const OURS = `SELECT token_hash AS word FROM log_leaf WHERE token_hash = ANY($1::text[])`;
const DERIVED_OF_OURS = `
  SELECT DISTINCT made.token_hash AS word
  FROM log_leaf parent JOIN (SELECT * FROM log_leaf WHERE ${LIVE}) made ON made.txn = parent.txn
  WHERE parent.token_hash = ANY($1::text[]) AND made.token_hash <> parent.token_hash
    AND made.lineage @> ARRAY['token:' || parent.token_hash]`;
export const DERIVED = `
  SELECT DISTINCT token_hash AS word FROM log_leaf CROSS JOIN unnest(lineage) AS above(target)
  WHERE ${LIVE} AND above.target = ANY($1::text[])`;
/** A token of the tool's own server names the tool by itself. */
const DERIVED_ELSEWHERE = `
  SELECT DISTINCT token_hash AS word FROM log_leaf CROSS JOIN unnest(lineage) AS above(target)
    JOIN unnest($1::text[], $2::text[]) AS cut(tool, server) ON cut.tool = above.target
  WHERE ${LIVE}
    AND EXISTS (SELECT 1 FROM unnest(lineage) AS named(target) WHERE named.target LIKE 'server:%' AND named.target <> cut.server)`;
/** Verifiers know people, and no issuers: those who may hold a token that lives, and have no younger number. */
const RECENT = `
  SELECT DISTINCT s.person_id AS word FROM agent_session s JOIN person p ON p.id = s.person_id
  WHERE p.issuer = $1 AND s.last_used_at > now() - interval '${ENTRY_LIFE} seconds'
    AND NOT EXISTS (
      SELECT 1 FROM revocation mine JOIN revocation theirs ON theirs.target = 'issuer:' || $1
      WHERE mine.target = 'person:' || s.person_id AND mine.number > theirs.number)`;
