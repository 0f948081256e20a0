import { z } from 'zod';
import type { Seconds } from '../base/index.js';
import { type LogRecord, Outcome } from './record.js';

/** What was decided of something that an agent wanted to do for a person, as that person is told of it. */
export type Deed = Readonly<{
  /** Its place in the log. */
  index: number;
  at: Seconds;
  decision: Outcome['decision'];
  /** Who acted first, then through whom. */
  agents: readonly string[];
  target: DeedTarget | undefined;
  tools: readonly string[];
  /** A person had approved it. */
  isApproved: boolean;
  /** What the MCP server reported of its calls. */
  reported: Readonly<{ executed: number; failed: number; unknown: number }>;
}>;

export type DeedTarget = Readonly<{ kind: 'server' | 'agent' | 'domain'; id: string }>;

/** What was decided for one person, the newest first. What was decided just now comes some seconds later. */
export interface Deeds {
  /** `before` is the place of the last one seen. */
  of(person: string, page: Readonly<{ before: number | undefined; limit: number }>): Promise<DeedPage>;
}
/** `next`: where to read on. */
export type DeedPage = Readonly<{ deeds: readonly Deed[]; next: number | undefined }>;

const Target = z
  .discriminatedUnion('kind', [
    z.object({ kind: z.literal('server'), resource: z.string() }).transform(({ kind, resource: id }) => ({ kind, id })),
    z.object({ kind: z.literal('agent'), clientId: z.string() }).transform(({ kind, clientId: id }) => ({ kind, id })),
    z.object({ kind: z.literal('domain'), name: z.string() }).transform(({ kind, name: id }) => ({ kind, id })),
  ])
  .optional()
  .catch(undefined);

const Facts = z.object({
  client: z.object({ id: z.string() }),
  actors: z.array(z.object({ sub: z.string() })).nullish(),
  agents: z.array(z.string()).optional(),
  target: Target,
  server: z.string().optional(),
  tools: z.array(z.object({ name: z.string() })).nullish(),
  tool: z.string().optional().catch(undefined),
  approval: z.string().nullish(),
  token: z.object({ hash: z.string() }).nullish(),
});

/** The record of a decision; `undefined` for any other. `token`: what the outcomes of its calls are found by. */
export function deedOf(
  index: number,
  { kind, at, facts, outcome }: LogRecord,
): Readonly<{ deed: Omit<Deed, 'reported'>; token: string | undefined }> | undefined {
  const read = kind === 'exchange' || kind === 'decision' ? Facts.safeParse(facts).data : undefined;
  if (read === undefined) return undefined;
  const { client, actors, agents, server, tool, tools, approval, token } = read;
  const acting = actors?.map(({ sub }) => sub) ?? agents ?? [];
  return {
    deed: {
      ...{ index, at, decision: outcome.decision },
      agents: acting.length === 0 ? [client.id] : acting,
      target: read.target ?? (server === undefined ? undefined : { kind: 'server', id: server }),
      tools: tools?.map(({ name }) => name) ?? (tool === undefined ? [] : [tool]),
      isApproved: typeof approval === 'string' && outcome.decision === 'permit',
    },
    token: token?.hash,
  };
}
