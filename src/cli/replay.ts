import type { Command } from 'commander';
import { z } from 'zod';
import { type AdminApi, connect } from './api.js';
import { type Connected, connected } from './command.js';
import { Failure, type Io } from './io.js';
import { policyFiles } from './policy.js';
import { table } from './table.js';

const COLUMNS = ['from', 'to', 'agent', 'person', 'tool', 'count', 'examples'];

const Change = z.object({
  from: z.string(),
  to: z.string(),
  agent: z.string(),
  person: z.string(),
  tool: z.string(),
  count: z.number(),
  examples: z.array(z.string()),
});
const Radius = z.object({
  considered: z.number(),
  unchanged: z.number(),
  undecidable: z.number(),
  undecidable_because: z.record(z.string(), z.number()),
  changes: z.array(Change),
  next: z.string().nullable(),
});
type Change = z.infer<typeof Change>;
type Radius = Omit<z.infer<typeof Radius>, 'next'>;

/** `writ policy replay | erase`: a candidate tried on what was decided lately. */
export function addReplay(policy: Command, io: Io): void {
  connected(policy.command('replay <directory>'))
    .description(
      'Decides again, by the *.cedar files of a directory, what was decided lately, and says what would change.',
    )
    .option('--since <time>', 'how far back, such as 90m, 12h or 7d', '7d')
    .action(async (directory: string, options: Connected & Readonly<{ since: string }>) => {
      const body = { files: policyFiles(directory, io), since_seconds: secondsOf(options.since) };
      const radius = await replay(connect(options, io), body);
      io.out(options.json === true ? JSON.stringify(radius, null, 2) : sentences(radius));
    });
  connected(policy.command('erase-inputs <person>'))
    .description('Erases what is kept of the decisions about one person.')
    .action(async (person: string, options: Connected) => {
      const answer = await connect(options, io).send('DELETE', `/policies/inputs?person=${encodeURIComponent(person)}`);
      io.out(JSON.stringify(answer));
    });
}

async function replay(api: AdminApi, body: object): Promise<Radius> {
  let all: Radius = { considered: 0, unchanged: 0, undecidable: 0, undecidable_because: {}, changes: [] };
  for (let after: string | undefined; ;) {
    const { next, ...part } = Radius.parse(await api.send('POST', '/policies/replay', { ...body, after }));
    all = together(all, part);
    if (next === null) return all;
    after = next;
  }
}

function together(one: Radius, other: Radius): Radius {
  const because = { ...one.undecidable_because };
  for (const [reason, count] of Object.entries(other.undecidable_because))
    because[reason] = (because[reason] ?? 0) + count;
  const changes = new Map<string, Change>();
  for (const change of [...one.changes, ...other.changes]) {
    const key = JSON.stringify([change.from, change.to, change.agent, change.person, change.tool]);
    const known = changes.get(key) ?? { ...change, count: 0, examples: [] };
    const examples = [...known.examples, ...change.examples].slice(0, 3);
    changes.set(key, { ...known, count: known.count + change.count, examples });
  }
  return {
    considered: one.considered + other.considered,
    unchanged: one.unchanged + other.unchanged,
    undecidable: one.undecidable + other.undecidable,
    undecidable_because: because,
    changes: [...changes.values()].sort((a, b) => b.count - a.count),
  };
}

function sentences({ considered, unchanged, undecidable, undecidable_because, changes }: Radius): string {
  const changed = changes.reduce((sum, { count }) => sum + count, 0);
  const why = Object.entries(undecidable_because).map(([reason, count]) => `${reason} ${String(count)}`);
  const rows = changes.map((change) => ({
    ...change,
    count: String(change.count),
    examples: change.examples.join(' '),
  }));
  return [
    ...(rows.length === 0 ? [] : [table(COLUMNS, rows), '']),
    `considered: ${String(considered)}, unchanged: ${String(unchanged)}, changed: ${String(changed)}`,
    `undecidable: ${String(undecidable)}${why.length === 0 ? '' : ` (${why.join(', ')})`}`,
  ].join('\n');
}

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

function secondsOf(text: string): number {
  const [, count, unit = ''] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const seconds = Number(count) * (UNITS[unit] ?? Number.NaN);
  if (!(seconds > 0)) throw new Failure(2, `--since ${text} is no length of time such as 90m, 12h or 7d`);
  return seconds;
}
