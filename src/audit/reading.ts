import type { Context } from 'koa';
import type { z } from 'zod';
import {
  answerProblem,
  type PathParams,
  plainProblem,
  readQuery,
  requestId,
  type Route,
  tokenFailure,
} from '../http/index.js';
import type { AccessFailures, AccessLog } from './access.js';
import { type Reader, type ReaderDigests, readerOf } from './auditor.js';
import { harmless } from './harmless.js';

/** One question that auditors may ask. `path` begins at `/audit/v1`. */
export type Reading<Q extends z.ZodObject> = Readonly<{
  path: string;
  /** The word for it in the record of the access. */
  what: string;
  query: Q;
  answer: (ctx: Context, asked: Readonly<{ query: z.output<Q>; params: PathParams; reader: Reader }>) => Promise<void>;
}>;

export type ReadingDeps = Readonly<{
  mount: string;
  digests: ReaderDigests;
  access: AccessLog;
  /** Hears of whoever asks and is neither. */
  failures: AccessFailures;
}>;

/** Answers auditors and administrators only, and nobody before it is in the log who asked for what. */
export function auditRoute<Q extends z.ZodObject>(
  { path, what, query: schema, answer }: Reading<Q>,
  { mount, digests, access, failures }: ReadingDeps,
): Route {
  return {
    method: 'GET',
    path: `${mount}${path}`,
    handle: async (ctx, params) => {
      ctx.set('Cache-Control', 'no-store');
      const reader = readerOf(ctx, digests);
      if (reader === undefined) {
        failures.note({ client: undefined, cause: tokenFailure(ctx), route: path });
        ctx.set('WWW-Authenticate', 'Bearer realm="writ-audit"');
        answerProblem(ctx, plainProblem('unauthorized'));
        return;
      }
      const query = readQuery(schema, ctx.querystring);
      if (!query.ok) {
        answerProblem(ctx, query.error);
        return;
      }
      const filter = harmless({ ...params, ...Object.fromEntries(new URLSearchParams(ctx.querystring)) });
      // Nothing of what is put together here leaves before the record of it is durable; a stream begins afterwards.
      await answer(ctx, { query: query.value, params, reader });
      await access.note({ who: reader, what, filter, request: requestId(ctx) });
    },
  };
}
