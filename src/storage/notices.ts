import { z } from 'zod';
import { type Clock, err, newId, ok, systemClock } from '../base/index.js';
import { Address, type Due, LEASE, MOST_CHANNELS, MOST_TOLD, type Notices } from '../notice/index.js';
import { copyJson, type JsonObject, sha256, Tier } from '../protocol/index.js';
import type { EncryptionKeys } from '../token/index.js';
import { approvalKeys, sealFor, unsealFor } from './approval-rows.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';
import { PRUNED_AT_ONCE, pruneAll } from './pruning.js';
import { append, type DoneRecord } from './records.js';

export function openNotices(database: Database, encryptionKeys: EncryptionKeys, clock: Clock = systemClock): Notices {
  const { prisma } = database;
  const keys = approvalKeys(encryptionKeys);
  const run = (sql: string, ...values: unknown[]): Promise<number> =>
    guarded(() => prisma.$executeRawUnsafe(sql, ...values));
  const rows = (sql: string, ...values: unknown[]): Promise<unknown> =>
    guarded(() => prisma.$queryRawUnsafe(sql, ...values));
  const changed = (what: string, { kind, ...about }: z.infer<typeof Removed>[number] & Readonly<{ by: string }>) =>
    ({
      ...({ kind: 'authentication', at: clock.now(), decision: 'done', reason: what } as const),
      facts: { what, channel_kind: kind, ...about },
    }) satisfies DoneRecord;
  /** `person`: whose it has to be, where a person says so. */
  const remove = ({ id, person, by }: Readonly<{ id: string; person?: string; by: string }>): Promise<boolean> =>
    guarded(() =>
      prisma.$transaction(async (transaction) => {
        const [removed] = Removed.parse(await transaction.$queryRawUnsafe(REMOVE, id, person ?? null));
        if (removed !== undefined) await append(transaction, changed('channel_removed', { ...removed, by }));
        return removed !== undefined;
      }),
    );
  return {
    of: async (person) => Channels.parse(await rows(OF, person)),
    add: async (person, label, address) => {
      const id = newId('chn');
      const hash = sha256(address.kind === 'push' ? address.endpoint : address.url);
      const values = [person, address.kind, label, hash];
      const [made] = await guarded(() =>
        prisma.$transaction(async (transaction) => {
          // Of two at once for one person the second waits, so that neither is one too many.
          await transaction.$queryRawUnsafe('SELECT id FROM person WHERE id = $1 FOR UPDATE', person);
          const [known] = Ids.parse(await transaction.$queryRawUnsafe(KNOWN, person, hash));
          const sealed = sealFor(contextOf(known?.id ?? id), plainOf(address), keys);
          const added = await transaction.$queryRawUnsafe(ADD, known?.id ?? id, ...values, sealed, MOST_CHANNELS);
          const ids = Ids.parse(added);
          const [made] = ids;
          if (known === undefined && made !== undefined)
            await append(
              transaction,
              changed('channel_added', { person, channel: made.id, kind: address.kind, by: person }),
            );
          return ids;
        }),
      );
      return made === undefined ? err('too_many') : ok(made.id);
    },
    remove: (person, id) => remove({ id, person, by: person }),
    take: async (now, { limit, isFailing }) => {
      const taken = Taken.parse(await rows(TAKE, now, limit, LEASE, isFailing));
      return taken.flatMap(({ sealed, ...due }) => {
        const read = Address.safeParse(unsealFor(contextOf(due.channel), sealed, keys));
        // Sealed by a key that is here no more: its person makes it anew.
        return read.success ? [{ ...due, address: read.data }] : [];
      });
    },
    sent: async ({ approval, channel }, now) => {
      await run(SENT, approval, channel, now);
    },
    failed: async ({ approval, channel }, again) => {
      await run(FAILED, approval, channel, again);
    },
    gone: async ({ channel }) => {
      await remove({ id: channel, by: 'writ' });
    },
    prune: (now) => pruneAll(database, PRUNE, now - MOST_TOLD.within),
  };
}

const plainOf = (address: Address): JsonObject =>
  Object.fromEntries(Object.entries(address).map(([name, value]) => [name, copyJson(value)]));

/** The address of one channel cannot stand in for that of another. */
const contextOf = (id: string): string => `channel ${id}`;

const seconds = z.coerce.number().int();
const Removed = z.array(z.object({ channel: z.string(), person: z.string(), kind: z.string() }));
const Ids = z.array(z.object({ id: z.string() }));
const Channels = z.array(
  z.object({
    id: z.string(),
    kind: z.enum(['push', 'webhook']),
    label: z.string(),
    failures: z.number().int(),
    madeAt: seconds,
  }),
);
const Taken = z.array(
  z.object({
    approval: z.string(),
    channel: z.string(),
    attempts: z.number().int(),
    sealed: z.instanceof(Uint8Array),
    client: z.string(),
    server: z.string(),
    tool: z.string(),
    tier: Tier,
    expiresAt: seconds,
  } satisfies Record<Exclude<keyof Due, 'address'> | 'sealed', unknown>),
);

const OF = `
  SELECT id, kind, label, failures, extract(epoch FROM made_at)::bigint::text AS "madeAt"
  FROM notice_channel WHERE person_id = $1 ORDER BY made_at, id`;

const KNOWN = 'SELECT id FROM notice_channel WHERE person_id = $1 AND address_hash = $2';

const ADD = `
  INSERT INTO notice_channel (id, person_id, kind, label, address_hash, sealed)
  SELECT $1, $2, $3, $4, $5, decode($6, 'base64')
  WHERE (SELECT count(*) FROM notice_channel WHERE person_id = $2 AND address_hash <> $5) < $7::int
  ON CONFLICT (person_id, address_hash) DO UPDATE SET sealed = excluded.sealed, label = excluded.label, failures = 0
  RETURNING id`;

const REMOVE = `
  DELETE FROM notice_channel WHERE id = $1 AND coalesce(person_id = $2::text, true)
  RETURNING id AS channel, person_id AS person, kind`;

/** A demand is the person's own, and the others are for the members of their groups. */
const MAY_ANSWER = `
  p.status = 'active' AND ((a.is_own AND p.id = a.person_id) OR (p.groups && a.groups AND p.id <> a.person_id))`;

/** Written with the request itself. */
export const TELL = `
  INSERT INTO notice (approval_id, channel_id, due_at)
  SELECT a.id, c.id, a.asked_at
  FROM approval a
    JOIN person p ON ${MAY_ANSWER}
    JOIN notice_channel c ON c.person_id = p.id
  WHERE a.id = $1
    AND (SELECT count(*) < ${String(MOST_TOLD.count)} AND count(*) FILTER (WHERE b.client_id = a.client_id) < ${String(MOST_TOLD.ofAgent)}
         FROM notice n JOIN approval b ON b.id = n.approval_id
         WHERE n.channel_id = c.id AND b.asked_at > a.asked_at - interval '${String(MOST_TOLD.within)} s')
  ORDER BY c.failures, c.made_at LIMIT 200`;

const TAKE = `
  WITH due AS (
    SELECT n.approval_id, n.channel_id
    FROM notice n
      JOIN approval a ON a.id = n.approval_id
      JOIN notice_channel c ON c.id = n.channel_id
      JOIN person p ON p.id = c.person_id AND ${MAY_ANSWER}
    WHERE (c.failures > 0) = $4::boolean AND n.sent_at IS NULL AND n.due_at <= to_timestamp($1::float8) AND a.state = 'asked'
      AND a.expires_at > to_timestamp($1::float8) AND coalesce(n.leased_until <= to_timestamp($1::float8), true)
    ORDER BY n.due_at LIMIT $2::int FOR UPDATE OF n SKIP LOCKED
  )
  UPDATE notice n SET attempts = n.attempts + 1, leased_until = to_timestamp($1::float8 + $3::float8)
  FROM due, approval a, notice_channel c
  WHERE n.approval_id = due.approval_id AND n.channel_id = due.channel_id AND a.id = n.approval_id AND c.id = n.channel_id
  RETURNING n.approval_id AS approval, n.channel_id AS channel, n.attempts, c.sealed, a.client_id AS client, a.server, a.tool,
    a.about ->> 'tier' AS tier, extract(epoch FROM a.expires_at)::bigint::text AS "expiresAt"`;

const SENT = `
  WITH told AS (
    UPDATE notice SET sent_at = to_timestamp($3::float8) WHERE approval_id = $1 AND channel_id = $2
  )
  UPDATE notice_channel SET failures = 0 WHERE id = $2 AND failures > 0`;

const FAILED = `
  WITH later AS (
    UPDATE notice SET due_at = to_timestamp($3::float8), leased_until = NULL WHERE approval_id = $1 AND channel_id = $2
  )
  UPDATE notice_channel SET failures = failures + 1 WHERE id = $2`;

/** DANGER: what is no older is counted by {@link TELL}. */
const PRUNE = `
  WITH gone AS MATERIALIZED (
    SELECT n.approval_id, n.channel_id FROM notice n JOIN approval a ON a.id = n.approval_id
    WHERE n.due_at <= to_timestamp($1::float8) AND a.state <> 'asked'
    ORDER BY n.due_at LIMIT ${String(PRUNED_AT_ONCE)} FOR UPDATE OF n SKIP LOCKED
  )
  DELETE FROM notice n USING gone WHERE n.approval_id = gone.approval_id AND n.channel_id = gone.channel_id`;
