import { z } from 'zod';
import { err, ok, type Result } from '../base/index.js';
import { fieldProblem, type Problem } from '../http/index.js';
import { Text } from '../protocol/index.js';
import { ChangeEffect } from './foresight.js';
import { Agent, AgentDraft, McpServer, TrustedIssuer } from '../registry/index.js';

const hasSecret = {
  has_secret: z.boolean().describe('Whether it has a client secret, which nobody can read.').meta({ readOnly: true }),
};
const maybeHasSecret = { has_secret: hasSecret.has_secret.optional() };

/** Objects as they are shown. What is shown may be sent back as it is. */
export const AgentView = Agent.extend(hasSecret);
export type AgentView = z.infer<typeof AgentView>;
export const ServerView = McpServer.safeExtend(hasSecret);
export type ServerView = z.infer<typeof ServerView>;
export const IssuerView = TrustedIssuer;

const maybeEffect = { effect: ChangeEffect.optional() };

/** Objects as a change of them is answered. */
export const AgentPut = AgentView.extend(maybeEffect);
export const ServerPut = ServerView.safeExtend(maybeEffect);
export const IssuerPut = IssuerView.safeExtend(maybeEffect);

/** Objects as they are sent. */
export const AgentBody = AgentDraft.extend(maybeHasSecret).transform(withoutView);
export const ServerBody = McpServer.safeExtend(maybeHasSecret).transform(withoutView);
export const IssuerBody = TrustedIssuer;

function withoutView<T extends { has_secret?: boolean | undefined }>(sent: T): Omit<T, 'has_secret'> {
  const object = { ...sent };
  delete object.has_secret;
  return object;
}

const Limit = z.coerce
  .number({ error: 'must be 1 to 200' })
  .int({ error: 'must be 1 to 200' })
  .min(1, { error: 'must be 1 to 200' })
  .max(200, { error: 'must be 1 to 200' })
  .default(50);

/** How every list is read on. */
export const Paging = z.strictObject({
  limit: Limit.describe('How many at most.'),
  after: Text.min(1).max(512).optional().describe('`next` of the page before.'),
});

/** Everything is checked and answered as for a change, and nothing is changed. */
export const DryRun = z.strictObject({
  dry_run: z.enum(['true', 'false']).default('false').describe('Only check, and answer what would be.'),
});

/** Of an object that is written: what a dry run would end is worked out unless it is not wanted. */
export const Trial = DryRun.extend({
  effect: z
    .enum(['true', 'false'])
    .default('true')
    .describe('Of a dry run: whether to work out what the change would end, which may take seconds.'),
});

/** A page of a list. `next` is null on the last one. */
export const pageOf = <T extends z.ZodType>(
  item: T,
): z.ZodObject<{ items: z.ZodArray<T>; next: z.ZodNullable<z.ZodString> }> =>
  z.strictObject({ items: z.array(item), next: z.string().nullable() });

/** The page of a list that is read whole; what is not in it is after nothing of it. */
export function pageAfter<T>(
  all: readonly T[],
  { limit, after }: Readonly<z.output<typeof Paging>>,
  idOf: (one: T) => string,
): Result<Readonly<{ items: readonly T[]; next: string | null }>, Problem> {
  const at = after === undefined ? -1 : all.findIndex((one) => idOf(one) === after);
  if (after !== undefined && at < 0)
    return err(fieldProblem([{ param: 'after', detail: 'is not in the list: begin anew without it' }]));
  const items = all.slice(at + 1, at + 1 + limit);
  const last = items.at(-1);
  return ok({ items, next: last !== undefined && all.length > at + 1 + limit ? idOf(last) : null });
}

export const Id = Text.min(1).max(512);

/** RFC 3339 text of whole seconds since 1970. */
export const instant = (seconds: number): string => new Date(seconds * 1000).toISOString();
