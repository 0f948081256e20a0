import { z } from 'zod';
import type { Route } from '../http/index.js';
import { ResourceUri } from '../protocol/index.js';
import { type Expectations, type Finding, FindingKind } from './findings.js';
import { auditRoute, type ReadingDeps } from './reading.js';

export type FindingFilter = Readonly<{
  kind?: FindingKind | undefined;
  session?: string | undefined;
  server?: string | undefined;
  /** Seconds since 1970: found since then. */
  since?: number | undefined;
}>;

export type FoundFinding = Finding & Readonly<{ at: number }>;

/** Reads findings, oldest first. `after` is the `next` of the page before. */
export interface FindingReader extends Expectations {
  findings(
    filter: FindingFilter,
    page: Readonly<{ after?: string | undefined; limit: number }>,
  ): Promise<Readonly<{ findings: readonly FoundFinding[]; next: string | undefined }>>;
}

const Query = z.strictObject({
  kind: FindingKind.optional(),
  session: z.string().min(1).max(64).optional(),
  server: ResourceUri.optional(),
  since: z.iso.datetime({ error: 'must be an RFC 3339 time in UTC' }).optional(),
  after: z
    .string()
    .regex(/^\d{1,18}$/, { error: 'must be `next` of the page before' })
    .optional(),
  limit: z
    .string()
    .regex(/^([1-9]\d{0,2}|1000)$/, { error: 'must be a number from 1 to 1000' })
    .transform(Number)
    .optional(),
});

/** `GET /audit/v1/findings`: what does not fit together. Reading changes nothing. */
export const findingsRoute = (reader: FindingReader, deps: ReadingDeps): Route =>
  auditRoute(
    {
      path: '/audit/v1/findings',
      what: 'findings',
      query: Query,
      answer: async (ctx, { query: { after, limit = 100, since, ...filter } }) => {
        const from = since === undefined ? undefined : Math.floor(Date.parse(since) / 1000);
        const { findings, next } = await reader.findings({ ...filter, since: from }, { after, limit });
        const silent = (await reader.expectations()).filter((one) => one.since === undefined);
        ctx.body = {
          items: findings.map(shown),
          next: next ?? null,
          not_expected: silent
            .filter(({ server }) => filter.server === undefined || filter.server === server)
            .map(({ server, because }) => ({ server, because })),
        };
      },
    },
    deps,
  );

const shown = ({ id, kind, at, session, server, txn, tokenHash, facts }: FoundFinding): object => ({
  id,
  kind,
  at: new Date(at * 1000).toISOString(),
  session: session ?? null,
  server: server ?? null,
  txn: txn ?? null,
  token: tokenHash ?? null,
  facts,
});
