import { z } from 'zod';
import { err, ok } from '../base/index.js';
import {
  type LogEntry,
  type LogFilter,
  type LogReader,
  type LogRecovery,
  Outcome,
  RecordKind,
} from '../audit/index.js';
import { Text } from '../protocol/index.js';
import { plainProblem } from '../http/index.js';
import { ADMINISTRATOR } from './change.js';
import { NoBody, NoQuery, type Operation, operation } from './operation.js';
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

const Recovery = z.strictObject({
  size: z.number().int().describe('Entries that the log goes on from.'),
  had: z.number().int().describe('What the tree said before.'),
  halted: z.string().describe('Why it was halted.'),
});

/** An operator's word that a halted log goes on from what is there; it is itself a record. */
export const recoveryOperation = (recovery: LogRecovery): Operation =>
  operation({
    id: 'recoverLog',
    method: 'POST',
    path: '/admin/v1/log/recovery',
    about:
      'Lets a halted log go on from the entries that are there. Witnesses of what is not there any more will see that.',
    query: NoQuery,
    body: z.strictObject({ reason: Text.min(1).max(256) }),
    bodyExample: { reason: 'INC-4711: database restored from the backup of 12:00' },
    answers: [
      {
        status: 200,
        about: 'It goes on.',
        schema: Recovery,
        example: { size: 4711, had: 4711, halted: 'the tree has 4711 leaves, and had 4720' },
      },
    ],
    problems: ['conflict'],
    run: async ({ body }) => {
      const recovered = await recovery.recover(ADMINISTRATOR, body.reason);
      if (recovered === undefined) return err(plainProblem('conflict', 'The log is not halted'));
      return ok({ status: 200, body: recovered });
    },
  });

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
