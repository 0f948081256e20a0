import { z } from 'zod';
import { answerProblem, plainProblem, type Route } from '../http/index.js';
import { drawMermaid, drawText } from './draw.js';
import type { EventFinder, FoundEntry } from './event-ports.js';
import { timeOf } from './events.js';
import type { Expectations } from './findings.js';
import type { LogReader } from './ports.js';
import { auditRoute, type ReadingDeps } from './reading.js';
import { readRecord } from './record.js';
import { txnKey } from './search-keys.js';
import { type TraceAbout, type Traced, traceOf } from './trace.js';

const MOST = 1_000;

const Format = z.enum(['json', 'text', 'mermaid']).default('json');

export type TransactionSources = Readonly<{ log: LogReader; events: EventFinder; findings: Expectations }>;

/** `GET /audit/v1/transactions/{txn}`: the delegation of one transaction, as JSON, text or a Mermaid flowchart. */
export const transactionRoute = (sources: TransactionSources, deps: ReadingDeps): Route =>
  auditRoute(
    {
      path: '/audit/v1/transactions/:txn',
      what: 'transaction',
      query: z.strictObject({ format: Format }),
      answer: async (ctx, { params, query: { format } }) => {
        const txn = params['txn'] ?? '';
        const { records, ...remaining } = await recordsOf(txn, sources);
        if (records.length === 0) {
          const before = timeOf(remaining.prunedBefore);
          const detail = before === null ? undefined : `Retention removed what was written before ${before}`;
          answerProblem(ctx, plainProblem('not_found', detail));
          return;
        }
        const expectations = await sources.findings.expectations();
        const expected = new Map(expectations.map(({ server, since }) => [server, since !== undefined]));
        const trace = traceOf({ txn, ...remaining, expected }, records);
        if (format === 'json') ctx.body = trace;
        else ctx.body = `${format === 'text' ? drawText(trace) : drawMermaid(trace)}\n`;
        if (format !== 'json') ctx.type = 'text/plain; charset=utf-8';
      },
    },
    deps,
  );

/**
 * Of the leaves themselves what names the transaction, also a moment ago; of the index what names it otherwise: refusals
 * and decisions that others asked for.
 */
async function recordsOf(
  txn: string,
  { log, events }: TransactionSources,
): Promise<Pick<TraceAbout, 'complete' | 'prunedBefore'> & Readonly<{ records: readonly Traced[] }>> {
  const [stored, found] = await Promise.all([
    log.read({ txn }, { limit: MOST }),
    events.find({ keys: [txnKey(txn)], since: undefined, until: undefined }, { after: -1, limit: MOST }),
  ]);
  const known = new Map<string, Traced>(stored.entries.map((entry) => [entry.leafHash, entry]));
  for (const one of found.entries.flatMap(tracedOf)) if (!known.has(one.leafHash)) known.set(one.leafHash, one);
  const records = [...known.values()].sort((a, b) => a.at - b.at);
  const complete = stored.next === undefined && found.next === undefined;
  return { records, complete, prunedBefore: found.prunedBefore };
}

function tracedOf({ leafHash, leaf }: FoundEntry): readonly Traced[] {
  const record = leaf && readRecord(leaf);
  return record === undefined ? [] : [{ ...record, leafHash }];
}
