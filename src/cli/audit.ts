import { type Command, Option } from 'commander';
import { drawMermaid, drawText, RecordKind, Trace } from '../audit/index.js';
import { connect, connectAudit } from './api.js';
import { type Connected, connected, print } from './command.js';
import type { Io } from './io.js';
import { table } from './table.js';

/** `writ audit`: questions to the log, and what is done about people in it. */
export function addAudit(writ: Command, io: Io): Command {
  const group = writ.command('audit').description('Asks the log who authorised what, and what came of it.');
  addEvents(group, io);
  connected(group.command('trace <txn>'))
    .description('Draws one transaction: person, agents, servers, tools, decisions and outcomes.')
    .option('--mermaid', 'as a Mermaid flowchart')
    .action(async (txn: string, options: Connected & Readonly<{ mermaid?: boolean }>) => {
      const answer = await connectAudit(options, io).get(`/transactions/${encodeURIComponent(txn)}`);
      if (options.json === true) print(answer, options, io);
      else io.out(options.mermaid === true ? drawMermaid(Trace.parse(answer)) : drawText(Trace.parse(answer)));
    });
  connected(group.command('erase <person>'))
    .description('Erases who a person is, and ends what they granted. The log and its proofs stay.')
    .action(async (person: string, options: Connected) => {
      print(await connect(options, io).send('DELETE', `/persons/${encodeURIComponent(person)}`), options, io);
    });
  return group;
}

export type EventOptions = Connected & Readonly<Record<(typeof FILTERS)[number], string | undefined>>;

export const FILTERS = [
  'person',
  'agent',
  'server',
  'tool',
  'session',
  'txn',
  'kind',
  'decision',
  'since',
  'until',
  'after',
] as const;

function addEvents(group: Command, io: Io): void {
  filtered(connected(group.command('events')))
    .description('Prints the records that fit, oldest first; with --json one a line.')
    .action(async (options: EventOptions) => {
      const query = Object.fromEntries(FILTERS.map((name) => [name, options[name]]));
      const rows: Record<string, unknown>[] = [];
      for await (const item of connectAudit(options, io).all('/events', query)) {
        if (options.json === true) io.out(JSON.stringify(item));
        else rows.push({ ...item, ...plainOf(item['outcome']) });
      }
      if (options.json !== true) io.out(table(['index', 'at', 'kind', 'decision', 'reason', 'session', 'txn'], rows));
    });
}

/** What is asked of records; everything that is given must fit. */
export const filtered = (command: Command): Command =>
  command
    .option('--person <id>', 'for this person')
    .option('--agent <id>', 'through this agent')
    .option('--server <resource>', 'at this MCP server')
    .option('--tool <name>', 'of this tool')
    .option('--session <id>', 'in this session')
    .option('--txn <id>', 'of this transaction')
    .addOption(new Option('--kind <kind>', 'of this kind').choices(RecordKind.options))
    .addOption(new Option('--decision <decision>', 'decided so').choices(['permit', 'refuse', 'ask', 'done']))
    .option('--since <time>', 'from then on, such as 2026-11-22T09:00:00Z')
    .option('--until <time>', 'before then')
    .option('--after <index>', 'behind this entry of the log');

const plainOf = (outcome: unknown): object => (typeof outcome === 'object' && outcome !== null ? outcome : {});
