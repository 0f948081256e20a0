import { z } from 'zod';
import { ok } from '../base/index.js';
import { type LogEntry, type LogFilter, type LogReader, Outcome, RecordKind } from '../audit/index.js';
import { NoBody, type Operation, operation } from './operation.js';
import { Id, instant, pageOf, Paging } from './shapes.js';

/** A record of the log as the API shows it. */
export const LogEntryView = z.strictObject({
  id: z.string(),
  at: z.iso.datetime(),
  kind: RecordKind,
  txn: z.string().nullable(),
  leaf_hash: z.string().describe('RFC 6962 section 2.1 hash of the stored bytes, base64url.'),
  facts: z.record(z.string(), z.unknown()).describe('What was asked and decided on; differs by kind.'),
  outcome: Outcome,
});
type LogEntryView = z.infer<typeof LogEntryView>;

const EXAMPLE: LogEntryView = {
  id: '4711',
  at: '2026-11-22T09:12:30.000Z',
  kind: 'exchange',
  txn: 'c2VlIEMtMTIzNDU2Nzg5MA',
  leaf_hash: '47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU',
  facts: { agent: 'agt_planner', server: 'https://mcp.example.com/files', scope: 'files:read' },
  outcome: {
    decision: 'permit',
    reason: 'within_ceilings',
    session: 'ses_3q2-7w8xYzAbCdEfGhIjKl',
    sequence: 12,
    seen: 3,
  },
};

const EntryId = z
  .string()
  .regex(/^\d{1,18}$/, { error: 'must be the id of an entry' })
  .optional()
  .describe('`next` of the page before, or the id of the last entry that you have.');

/** Reads the log; never writes it. */
export const logOperation = (log: LogReader): Operation =>
  operation({
    id: 'readLog',
    method: 'GET',
    isRecorded: true,
    path: '/admin/v1/log',
    about: 'Reads the log, oldest first: all of it, or one session, transaction or kind.',
    query: Paging.extend({ after: EntryId, session: Id.optional(), txn: Id.optional(), kind: RecordKind.optional() }),
    body: NoBody,
    answers: [
      { status: 200, about: 'A page.', schema: pageOf(LogEntryView), example: { items: [EXAMPLE], next: null } },
    ],
    run: async ({ query: { limit, after, session, txn, kind } }) => {
      const filter: LogFilter = {
        ...(session === undefined ? {} : { session }),
        ...(txn === undefined ? {} : { txn }),
        ...(kind === undefined ? {} : { kind }),
      };
      const page = await log.read(filter, after === undefined ? { limit } : { limit, after });
      return ok({ status: 200, body: { items: page.entries.map(viewOf), next: page.next ?? null } });
    },
  });

const viewOf = (entry: LogEntry): LogEntryView => ({
  id: entry.id,
  at: instant(entry.at),
  kind: entry.kind,
  txn: entry.txn ?? null,
  leaf_hash: entry.leafHash,
  facts: { ...entry.facts },
  outcome: entry.outcome,
});
