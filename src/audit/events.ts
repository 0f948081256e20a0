import { z } from 'zod';
import type { Route } from '../http/index.js';
import { ClientId, type JsonObject, ResourceUri, Text, ToolName } from '../protocol/index.js';
import type { EventFilter, EventFinder, FoundEntry } from './event-ports.js';
import { auditRoute, type ReadingDeps } from './reading.js';
import { Outcome, readRecord, RecordKind } from './record.js';
import { txnKey } from './search-keys.js';

const Id = Text.min(1).max(512);
const Time = z.iso
  .datetime({ offset: true, error: 'must be a time such as 2026-11-22T09:00:00Z (RFC 3339)' })
  .transform((text) => Math.floor(Date.parse(text) / 1_000));
const Place = z
  .string()
  .regex(/^\d{1,15}$/, { error: 'must be the index of an entry' })
  .transform(Number);

/** What is asked of events; everything that is given must fit. */
export const EventQuery = z.strictObject({
  person: Id.optional(),
  agent: ClientId.optional(),
  server: ResourceUri.optional(),
  tool: ToolName.optional(),
  session: Id.optional(),
  txn: Id.optional(),
  kind: RecordKind.optional(),
  decision: Outcome.shape.decision.optional(),
  since: Time.optional(),
  until: Time.optional(),
  after: Place.optional(),
  limit: z.coerce
    .number({ error: 'must be 1 to 200' })
    .int({ error: 'must be 1 to 200' })
    .min(1, { error: 'must be 1 to 200' })
    .max(200, { error: 'must be 1 to 200' })
    .default(50),
});

type Asked = z.output<typeof EventQuery>;

/** `GET /audit/v1/events`: the records that fit, in the order of the tree. */
export const eventsRoute = (events: EventFinder, deps: ReadingDeps): Route =>
  auditRoute(
    {
      path: '/audit/v1/events',
      what: 'events',
      query: EventQuery,
      answer: async (ctx, { query }) => {
        const { after = -1, limit } = query;
        const { entries, next, indexedTo, prunedBefore } = await events.find(filterOf(query), { after, limit });
        const items = entries.filter((entry) => isInTime(entry, query)).map(eventOf);
        ctx.body = {
          items,
          next: next === undefined ? null : String(next),
          indexed_to: indexedTo,
          pruned_before: timeOf(prunedBefore),
        };
      },
    },
    deps,
  );

/** RFC 3339, or null where there is none. */
export const timeOf = (at: number | undefined): string | null =>
  at === undefined ? null : new Date(at * 1_000).toISOString();

/** The keys of the index that a question stands for. */
export function filterOf({
  person,
  agent,
  server,
  tool,
  session,
  txn,
  kind,
  decision,
  since,
  until,
}: Asked): EventFilter {
  const keys = [
    ...(txn === undefined ? [] : [txnKey(txn)]),
    ...(session === undefined ? [] : [`session:${session}`]),
    ...(person === undefined ? [] : [`person:${person}`]),
    ...(tool === undefined ? [] : [server === undefined ? `tool:${tool}` : `tool:${server}#${tool}`]),
    ...(agent === undefined ? [] : [`agent:${agent}`]),
    ...(server === undefined ? [] : [`server:${server}`]),
    ...(decision === undefined ? [] : [`decision:${decision}`]),
    ...(kind === undefined ? [] : [`kind:${kind}`]),
  ];
  return { keys, since, until };
}

/** The index finds whole tiles by their hours. */
export function isInTime(
  { leaf }: FoundEntry,
  { since = 0, until = Infinity }: Partial<Pick<EventFilter, 'since' | 'until'>>,
): boolean {
  const record = leaf && readRecord(leaf);
  return record === undefined ? since === 0 && until === Infinity : record.at >= since && record.at < until;
}

/** An entry as it is shown; one whose leaf is lost still has its hash. */
export function eventOf({ index, leafHash, leaf, txn }: FoundEntry): JsonObject {
  const place = { index, leaf_hash: leafHash };
  const record = leaf && readRecord(leaf);
  if (record === undefined) return { ...place, lost: leaf === undefined };
  const { kind, at, facts, outcome } = record;
  return { ...place, at: new Date(at * 1_000).toISOString(), kind, txn: txn ?? null, facts, outcome: { ...outcome } };
}
