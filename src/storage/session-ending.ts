import { z } from 'zod';
import type { Seconds } from '../base/index.js';
import type { Prisma } from './generated/client.js';
import { append } from './records.js';

export type SessionEnding = Readonly<{ by: string; reason: string; now: Seconds }>;

/**
 * Ends those of these sessions that live, and all below them, each with its last record; answers their ids. Their numbers
 * are the caller's to write.
 *
 * INVARIANT: level by level, each under its lock before the next is read, and in the order in which commits lock runs.
 */
export async function endSessions(
  transaction: Prisma.TransactionClient,
  sessions: readonly string[],
  { by, reason, now }: SessionEnding,
): Promise<readonly string[]> {
  const ended: z.infer<typeof Ended> = [];
  for (let level = [...sessions]; level.length > 0;) {
    await transaction.$queryRawUnsafe(LOCK, level);
    const below = idsOf(Ids.parse(await transaction.$queryRawUnsafe(BELOW, level)));
    ended.push(...Ended.parse(await transaction.$queryRawUnsafe(END, level, by, reason)));
    level = below;
  }
  for (const { id, last_sequence: sequence } of ended) {
    const facts = { what: 'ended', by };
    await append(transaction, { kind: 'session', at: now, facts, decision: 'done', reason, session: { id, sequence } });
  }
  return idsOf(ended);
}

const LOCK = `SELECT id FROM agent_session WHERE id = ANY($1::text[]) ORDER BY run_key FOR UPDATE`;

const BELOW = `SELECT id FROM agent_session WHERE parent_id = ANY($1::text[]) AND status <> 'ended'`;

const END = `
  UPDATE agent_session SET status = 'ended', ended_at = clock_timestamp(), ended_by = $2, ended_reason = $3,
    paused_at = NULL, paused_by = NULL, paused_reason = NULL, paused_with = NULL, resumes_at = NULL,
    last_sequence = last_sequence + 1
  WHERE id = ANY($1::text[]) AND status <> 'ended' RETURNING id, last_sequence`;

const idsOf = (rows: readonly Readonly<{ id: string }>[]): string[] => rows.map(({ id }) => id);

const Ids = z.array(z.object({ id: z.string() }));
const Ended = z.array(z.object({ id: z.string(), last_sequence: z.number() }));
