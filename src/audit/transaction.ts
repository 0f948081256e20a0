import { z } from 'zod';
import { answerProblem, plainProblem, type Route } from '../http/index.js';
import type { LogEntry, LogReader } from './ports.js';
import { auditRoute, type ReadingDeps } from './reading.js';

const MOST = 1_000;

/** `GET /audit/v1/transactions/{txn}`: everything that the log has of one transaction, oldest first. */
export const transactionRoute = (log: LogReader, deps: ReadingDeps): Route =>
  auditRoute(
    {
      path: '/audit/v1/transactions/:txn',
      what: 'transaction',
      query: z.strictObject({}),
      answer: async (ctx, { params }) => {
        const txn = params['txn'] ?? '';
        const { entries, next } = await log.read({ txn }, { limit: MOST });
        if (entries.length === 0) answerProblem(ctx, plainProblem('not_found'));
        else ctx.body = { txn, records: entries.map(shown), complete: next === undefined };
      },
    },
    deps,
  );

const shown = ({ id, at, kind, leafHash, facts, outcome }: LogEntry): object => ({
  ...{ id, at, kind, leaf_hash: leafHash, facts, outcome },
});
