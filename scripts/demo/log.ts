import { z } from 'zod';
import type { House } from './house.js';
import type { Names } from './picture.js';

/** A record of the log in the words of the demo. */
export type LogEntry = Readonly<{
  id: string;
  at: string;
  who: string;
  through: string;
  what: string;
  decision: string;
  reason: string;
}>;

const Entry = z.object({
  id: z.string(),
  at: z.string(),
  kind: z.string(),
  facts: z.looseObject({
    person: z.string().nullish(),
    actors: z.array(z.object({ sub: z.string() })).nullish(),
    client: z.union([z.string(), z.object({ id: z.string() })]).nullish(),
    target: z.record(z.string(), z.string()).nullish(),
    tools: z.array(z.object({ name: z.string() })).nullish(),
    what: z.string().optional(),
    id: z.string().optional(),
    by: z.string().optional(),
  }),
  outcome: z.object({ decision: z.string(), reason: z.string() }),
});
type Entry = z.infer<typeof Entry>;

/** `writ log --json`, a record a line. */
export async function readLog({ writ }: House, names: Names): Promise<readonly LogEntry[]> {
  const lines = (await writ('log', '--json')).split('\n');
  const entries = lines.map((line) => Entry.parse(JSON.parse(line)));
  // What the demo itself asked the administration for is in the log too, and no part of the story.
  return entries.filter(({ kind }) => kind !== 'access').map((entry) => inWords(entry, names));
}

/** The log as names of columns and rows. */
export const tableOf = (log: readonly LogEntry[]): [readonly string[], readonly (readonly string[])[]] => [
  ['#', 'who', 'through', 'what', 'decision', 'reason'],
  log.map(({ id, who, through, what, decision, reason }) => [id, who, through, what, decision, reason]),
];

function inWords({ id, at, kind, facts, outcome }: Entry, names: Names): LogEntry {
  const name = (known: string): string => names[known] ?? known;
  const { by = '-' } = facts;
  // An agent that revokes its own token is the client of that request.
  const client = by in names ? by : typeof facts.client === 'string' ? facts.client : facts.client?.id;
  const actors = (facts.actors ?? []).map(({ sub }) => name(sub)).reverse();
  const through = actors.length > 0 ? actors : client === undefined ? [] : [name(client)];
  return {
    id,
    at,
    who:
      typeof facts.person === 'string'
        ? (names[facts.person] ?? `${facts.person.slice(0, 11)}…`)
        : by in names
          ? '-'
          : by === 'admin-token'
            ? 'administrator'
            : by,
    through: through.length > 0 ? through.join(' > ') : '-',
    what: whatOf(kind, facts, name),
    ...outcome,
  };
}

function whatOf(kind: string, facts: Entry['facts'], name: (id: string) => string): string {
  if (kind === 'registry') return `register ${name(facts.id ?? '?')}`;
  const shown = kind === 'authentication' ? 'people' : kind;
  if (kind !== 'exchange') return `${shown}: ${(facts.what ?? '').replace('_', ' ')}`;
  const { resource, clientId, name: domain } = facts.target ?? {};
  const target = name(resource ?? clientId ?? domain ?? '?');
  if (clientId !== undefined) return `hand over to ${target}`;
  const tools = (facts.tools ?? []).map((tool) => tool.name);
  return tools.length === 0 ? `${target}: connect` : `${target}: ${tools.join(', ')}`;
}
