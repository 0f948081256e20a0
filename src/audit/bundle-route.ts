import { Readable } from 'node:stream';
import { z } from 'zod';
import type { Clock } from '../base/index.js';
import { answerProblem, fieldProblem, plainProblem, type Route } from '../http/index.js';
import { type BundleAbout, makeBundle } from './bundle.js';
import { openPeople, type OpeningSources } from './bundle-openings.js';
import { auditRoute, type ReadingDeps } from './reading.js';

const Count = z
  .string()
  .regex(/^(0|[1-9]\d{0,14})$/, { error: 'must be a number' })
  .transform(Number);
const Name = z.string().min(1).max(128);

const PAIRS = [
  ['since', 'until'],
  ['from', 'to'],
] as const;
const lack = (ctx: z.RefinementCtx, param: string, message: string): void => {
  ctx.addIssue({ code: 'custom', path: [param], message });
};

/** What may be asked for; exactly one of the five ways. */
const Asked = z
  .strictObject({
    session: Name.optional(),
    txn: Name.optional(),
    since: Count.optional(),
    until: Count.optional(),
    from: Count.optional(),
    to: Count.optional(),
    sizes: z
      .string()
      .transform((text) => text.split(','))
      .pipe(z.array(Count).max(32))
      .optional(),
    openings: z.enum(['true', 'false'], { error: 'must be true or false' }).optional(),
  })
  .superRefine((asked, ctx) => {
    for (const [first, last] of PAIRS) {
      const [from, to] = [asked[first], asked[last]];
      if (from === undefined && to !== undefined) lack(ctx, first, `must be given with ${last}`);
      else if (to === undefined && from !== undefined) lack(ctx, last, `must be given with ${first}`);
      else if (from !== undefined && to !== undefined && to < from) lack(ctx, last, `must not be before ${first}`);
    }
  })
  .refine((asked) => aboutOf(asked) !== undefined, {
    path: ['session'],
    error: 'give one of: session, txn, since and until, from and to',
  });

type Wanted = Readonly<
  Record<'session' | 'txn', string | undefined> & Record<'since' | 'until' | 'from' | 'to', number | undefined>
>;

function aboutOf({
  session,
  txn,
  since,
  until,
  from,
  to,
}: { [name in keyof Wanted]?: Wanted[name] }): BundleAbout | undefined {
  const ways: BundleAbout[] = [];
  if (session !== undefined) ways.push({ session });
  if (txn !== undefined) ways.push({ txn });
  if (since !== undefined || until !== undefined) ways.push({ from: since ?? 0, until: until ?? 0 });
  if (from !== undefined || to !== undefined) ways.push({ range: [from ?? 0, to ?? 0] });
  return ways.length === 1 ? ways[0] : undefined;
}

/**
 * `GET /audit/v1/bundle`: part of the log with its proofs, as JSON Lines, to be judged offline. `sizes`: those of the
 * checkpoints that the auditor kept, so that the bundle can be compared with them. `openings`: with who the people are.
 */
export const bundleRoute = (source: OpeningSources, clock: Clock, deps: ReadingDeps): Route =>
  auditRoute(
    {
      path: '/audit/v1/bundle',
      what: 'bundle',
      query: Asked,
      answer: async (ctx, { query: { sizes = [], openings, ...asked } }) => {
        const about = aboutOf(asked);
        const opened = about && openings === 'true' ? await openPeople({ about }, source) : undefined;
        if (opened?.ok === false) {
          answerProblem(ctx, fieldProblem([{ param: 'openings', detail: 'names too many; ask for fewer entries' }]));
          return;
        }
        const lines = about && (await makeBundle({ about, sizes, now: clock.now(), opened: opened?.value }, source));
        if (!lines) {
          answerProblem(ctx, plainProblem('not_found'));
          return;
        }
        ctx.type = 'application/jsonl';
        ctx.body = Readable.from(lines, { objectMode: false });
      },
    },
    deps,
  );
