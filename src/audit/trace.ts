import { z } from 'zod';
import type { Seconds } from '../base/index.js';
import type { JsonObject } from '../protocol/index.js';
import { Outcome, type RecordKind } from './record.js';

const Event = z.strictObject({
  at: z.iso.datetime(),
  what: z.enum(['decision', 'use', 'outcome', 'revocation', 'record']),
  decision: Outcome.shape.decision,
  reason: z.string(),
  detail: z.string().nullable().describe('What came of a call, or which policies decided.'),
  approval: z.string().nullable(),
  leaf_hash: z.string(),
});
export type TraceEvent = z.infer<typeof Event>;

const Call = z.strictObject({
  tool: z.string().nullable(),
  outcome: z
    .enum(['reported', 'none_so_far', 'none_expected'])
    .nullable()
    .describe('Of what was permitted at an MCP server. `none_expected`: the server does not report.'),
  events: z.array(Event),
});
const Chain = z.strictObject({
  agents: z.array(z.string()).describe('The first one first; the last one acted.'),
  target: z.string().nullable(),
  calls: z.array(Call),
});

/** One transaction: who let whom act, where, what was decided, and what came of it. */
export const Trace = z.strictObject({
  txn: z.string(),
  person: z.string().nullable(),
  sessions: z.array(z.string()),
  chains: z.array(Chain),
  records: z.number().int(),
  complete: z.boolean(),
  pruned_before: z.iso
    .datetime()
    .nullable()
    .describe('Retention removed what was written before, so there may have been more.'),
});
export type Trace = z.infer<typeof Trace>;

/** A record as tracing looks at it. */
export type Traced = Readonly<{ kind: RecordKind; at: number; leafHash: string; facts: JsonObject; outcome: Outcome }>;

const text = z.string().catch('');
const Facts = z.object({
  person: z.string().nullable().catch(null),
  client: z.union([z.string(), z.object({ id: z.string() }).transform(({ id }) => id)]).catch(''),
  actors: z
    .array(z.object({ sub: z.string() }).transform(({ sub }) => sub))
    .nullable()
    .catch(null),
  agents: z.array(z.string()).catch([]),
  target: z
    .object({ kind: z.string(), resource: text.optional(), clientId: text.optional(), name: text.optional() })
    .transform(({ resource, clientId, name }) => resource ?? clientId ?? name ?? null)
    .nullable()
    .catch(null),
  server: z.string().nullable().catch(null),
  tools: z
    .array(z.object({ name: z.string() }).transform(({ name }) => name))
    .nullable()
    .catch(null),
  tool: z.string().nullable().catch(null),
  token: z
    .union([z.string(), z.object({ hash: z.string() }).transform(({ hash }) => hash)])
    .nullable()
    .catch(null),
  approval: z.string().nullable().catch(null),
  policies: z.array(z.string()).catch([]),
  outcome: z.string().nullable().catch(null),
  duration_ms: z.number().nullable().catch(null),
  error: z.string().nullable().catch(null),
});
type Facts = z.infer<typeof Facts>;
type Seen = Readonly<{ record: Traced; facts: Facts }>;
type Place = Readonly<{ agents: readonly string[]; target: string | null }>;

export type TraceAbout = Readonly<{
  txn: string;
  /** Whether there are no other records of it. */
  complete: boolean;
  /** What was written before may be gone. */
  prunedBefore?: Seconds | undefined;
  /** Of MCP servers, by their resource: whether their outcomes are expected. */
  expected: ReadonlyMap<string, boolean>;
}>;

/** Puts the records of one transaction together, oldest first. What names no chain of its own belongs to its token's. */
export function traceOf({ txn, complete, prunedBefore = 0, expected }: TraceAbout, records: readonly Traced[]): Trace {
  const seen = records.map((record) => ({ record, facts: Facts.parse(record.facts) }));
  const places = new Map(seen.flatMap((one) => placeByToken(one)));
  const chains = new Map<string, z.infer<typeof Chain>>();
  for (const one of seen) {
    const { agents, target } = placeOf(one, places);
    const key = JSON.stringify([agents, target]);
    const chain = chains.get(key) ?? { agents: [...agents], target, calls: [] };
    chains.set(key, chain);
    for (const tool of toolsOf(one.facts)) {
      const call = callOf(chain, tool);
      call.events.push(eventOf(one));
      call.outcome = outcomeAfter(call.outcome, one.record, expected.get(target ?? ''));
    }
  }
  const mayLack = (records[0]?.at ?? Infinity) < prunedBefore + LONGEST;
  return {
    txn,
    person: seen.find(({ facts }) => facts.person !== null)?.facts.person ?? null,
    sessions: [...new Set(seen.flatMap(({ record }) => record.outcome.session ?? []))],
    chains: [...chains.values()],
    records: records.length,
    complete: complete && !mayLack,
    pruned_before: mayLack ? new Date(prunedBefore * 1_000).toISOString() : null,
  };
}

function outcomeAfter(
  before: z.infer<typeof Call>['outcome'],
  { kind, outcome: { decision } }: Traced,
  isExpected: boolean | undefined,
): z.infer<typeof Call>['outcome'] {
  if (kind === 'outcome' && decision === 'done') return 'reported';
  if (before !== null || kind !== 'exchange' || decision !== 'permit' || isExpected === undefined) return before;
  return isExpected ? 'none_so_far' : 'none_expected';
}

/** No transaction lasts longer than a session may. */
const LONGEST: Seconds = 86_400;

const placeByToken = ({ record, facts }: Seen): readonly (readonly [string, Place])[] =>
  record.kind === 'exchange' && facts.token !== null ? [[facts.token, ownPlace(facts)]] : [];

const ownPlace = ({ actors, agents, client, target, server }: Facts): Place => ({
  agents: [...(actors ?? (agents.length > 0 ? agents : [client]))].reverse(),
  target: target ?? server,
});

function placeOf({ record, facts }: Seen, places: ReadonlyMap<string, Place>): Place {
  const permitted = record.kind === 'exchange' ? undefined : places.get(facts.token ?? '');
  return permitted ?? ownPlace(facts);
}

const toolsOf = ({ tools, tool }: Facts): readonly (string | null)[] =>
  tools !== null && tools.length > 0 ? tools : [tool];

function callOf(chain: z.infer<typeof Chain>, tool: string | null): z.infer<typeof Call> {
  const known = chain.calls.find((call) => call.tool === tool);
  if (known !== undefined) return known;
  const made = { tool, outcome: null, events: [] };
  chain.calls.push(made);
  return made;
}

const WHAT: Partial<Readonly<Record<RecordKind, TraceEvent['what']>>> = {
  exchange: 'decision',
  decision: 'decision',
  introspection: 'use',
  outcome: 'outcome',
  revocation: 'revocation',
};

const eventOf = ({ record: { kind, at, leafHash, outcome }, facts }: Seen): TraceEvent => ({
  at: new Date(at * 1_000).toISOString(),
  what: WHAT[kind] ?? 'record',
  decision: outcome.decision,
  reason: outcome.reason,
  detail: detailOf(facts),
  approval: facts.approval,
  leaf_hash: leafHash,
});

function detailOf({ outcome, duration_ms, error, policies }: Facts): string | null {
  if (outcome === null) return policies.length === 0 ? null : `policies ${policies.join(', ')}`;
  const [lasted, failed] = [
    duration_ms === null ? '' : ` in ${String(duration_ms)} ms`,
    error === null ? '' : `: ${error}`,
  ];
  return `${outcome}${lasted}${failed}`;
}
