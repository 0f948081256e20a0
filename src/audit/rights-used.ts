import { z } from 'zod';
import { clientOf } from '../protocol/index.js';
import type { SeenEntry } from './findings.js';
import type { LogRecord } from './record.js';

/** A right that an agent, or whoever acted under it, has used. `name` is empty for the server itself, `resource` for what is of none. */
export type RightUse = Readonly<{
  client: string;
  resource: string;
  kind: 'server' | 'tool' | 'scope' | 'hand_over' | 'domain';
  name: string;
  at: number;
}>;

const Exchanged = z.object({
  client: z.object({ id: z.string() }),
  actors: z.array(z.object({ sub: z.string() })).nullable(),
  target: z.object({ kind: z.literal('server'), resource: z.string() }),
  tools: z.array(z.object({ name: z.string() })).nullable(),
  scope: z.string().nullable(),
});
/** What is of no MCP server is the client's own right alone. */
const Passed = z.object({
  client: z.object({ id: z.string() }),
  target: z.union([
    z.object({ kind: z.literal('agent'), clientId: z.string() }),
    z.object({ kind: z.literal('domain'), name: z.string() }),
  ]),
});
const Decided = z.object({
  what: z.literal('call'),
  agents: z.array(z.string()),
  server: z.string(),
  tool: z.string(),
});

/** The rights that a permit of the log used: at a server of the client and of everybody in whose name it acted. */
export function rightsUsedBy({ kind, facts, outcome, at }: LogRecord): readonly RightUse[] {
  if (outcome.decision !== 'permit') return [];
  const passed = kind === 'exchange' ? Passed.safeParse(facts).data : undefined;
  if (passed !== undefined) {
    const { client, target } = passed;
    const right =
      target.kind === 'agent'
        ? ({ kind: 'hand_over', name: target.clientId } as const)
        : ({ kind: 'domain', name: '' } as const);
    return [{ client: client.id, resource: '', ...right, at }];
  }
  const exchanged = kind === 'exchange' ? Exchanged.safeParse(facts).data : undefined;
  const decided = kind === 'decision' ? Decided.safeParse(facts).data : undefined;
  const use =
    exchanged === undefined
      ? decided && { actors: decided.agents, resource: decided.server, tools: [decided.tool], scopes: [] }
      : {
          actors: [exchanged.client.id, ...(exchanged.actors ?? []).map(({ sub }) => sub)],
          resource: exchanged.target.resource,
          tools: (exchanged.tools ?? []).map(({ name }) => name),
          scopes: (exchanged.scope ?? '').split(' ').filter((scope) => scope !== ''),
        };
  if (use === undefined) return [];
  const { actors, resource, tools, scopes } = use;
  return [...new Set(actors.map(clientOf))].flatMap((client) => [
    { client, resource, kind: 'server' as const, name: '', at },
    ...tools.map((name) => ({ client, resource, kind: 'tool' as const, name, at })),
    ...scopes.map((name) => ({ client, resource, kind: 'scope' as const, name, at })),
  ]);
}

/** Each right once, with its latest use. */
export function latestUses(entries: readonly Pick<SeenEntry, 'record'>[]): readonly RightUse[] {
  const latest = new Map<string, RightUse>();
  for (const { record } of entries) {
    for (const use of record === undefined ? [] : rightsUsedBy(record)) {
      const key = JSON.stringify([use.client, use.resource, use.kind, use.name]);
      if ((latest.get(key)?.at ?? -1) < use.at) latest.set(key, use);
    }
  }
  return [...latest.values()];
}

/** A mark by which one workload can be told from another: the key of its assertions, or its DPoP key. */
export type Mark = Readonly<{ actor: string; kind: 'key' | 'dpop'; mark: string; at: number }>;

/** The marks that an agent showed in a permitted exchange. An instance with a name of its own is by itself. */
export function marksOf({ kind, facts, outcome, at }: LogRecord): readonly Mark[] {
  const shown = kind === 'exchange' && outcome.decision === 'permit' ? Shown.safeParse(facts).data : undefined;
  if (shown === undefined) return [];
  const { client, actors, token } = shown;
  const current = actors?.[0]?.sub;
  const actor = current?.startsWith(`${client.id}/`) === true ? current : client.id;
  const marks = [
    ['key', client.key],
    ['dpop', token.bound],
  ] as const;
  return marks.flatMap(([of, mark]) => (mark === null ? [] : [{ actor, kind: of, mark, at }]));
}

const Shown = z.object({
  client: z.object({ id: z.string(), kind: z.literal('agent'), key: z.string().nullable() }),
  actors: z.array(z.object({ sub: z.string() })).nullable(),
  token: z.object({ bound: z.string().nullable() }),
});
