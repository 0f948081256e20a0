import { setTimeout as pause } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import { z } from 'zod';
import { connectAudit } from './api.js';
import { type EventOptions, filtered, FILTERS } from './audit.js';
import { type Connected, connected } from './command.js';
import { Failure, type Io } from './io.js';

/** `writ audit export` and `writ audit bundle`: the log as a stream, for other machines and for auditors. */
export function addExport(audit: Command, io: Io): void {
  filtered(connected(audit.command('export')))
    .description('Prints every record that fits, one a line, up to now or on and on.')
    .addOption(new Option('--format <format>', 'how').choices(['jsonl', 'ocsf']).default('jsonl'))
    .option('--follow', 'wait for more until interrupted')
    .action((options: EventOptions & ExportOptions) => exportLog(options, io));
  connected(audit.command('bundle'))
    .description('Prints part of the log with its proofs, for writ audit verify: give one of the ways to ask.')
    .option('--session <id>', 'all of a session')
    .option('--txn <id>', 'all of a transaction')
    .option('--since <time>', 'what was written from then on, such as 2026-11-22T09:00:00Z')
    .option('--until <time>', 'and before then')
    .option('--from <index>', 'from this entry of the log on')
    .option('--to <index>', 'and before this one')
    .option('--openings', 'with who the people are: issuer, subject and the salt that proves it')
    .action((options: Connected & BundleOptions) => bundle(options, io));
}

type ExportOptions = Readonly<{ format: string; follow?: boolean }>;

async function exportLog({ format, follow, ...options }: EventOptions & ExportOptions, io: Io): Promise<void> {
  const api = connectAudit(options, io);
  const query = Object.fromEntries(FILTERS.map((name) => [name, options[name]]));
  let after = options.after;
  do {
    for await (const line of api.lines('/export', { ...query, format, after })) {
      const { index, isOwnLook } = Line.parse(JSON.parse(line));
      after = String(index);
      // Each look is in the log: whoever follows it would see nothing else.
      if (follow === true && isOwnLook) continue;
      io.out(line);
    }
    if (follow === true) await pause(1_000);
  } while (follow === true);
}

const Facts = z.object({ what: z.unknown().optional() });
const isExport = (kind: string | undefined, facts: z.infer<typeof Facts> | undefined): boolean =>
  kind === 'access' && facts?.what === 'export';

const Line = z.union([
  z
    .object({ index: z.number(), kind: z.string().optional(), facts: Facts.optional() })
    .transform(({ index, kind, facts }) => ({ index, isOwnLook: isExport(kind, facts) })),
  z
    .object({ metadata: z.object({ sequence: z.number() }), unmapped: z.object({ kind: z.string(), facts: Facts }) })
    .transform(({ metadata, unmapped }) => ({
      index: metadata.sequence,
      isOwnLook: isExport(unmapped.kind, unmapped.facts),
    })),
]);

type BundleOptions = Readonly<
  Partial<Record<'session' | 'txn' | 'since' | 'until' | 'from' | 'to', string>> & { openings?: boolean }
>;

async function bundle({ openings, since, until, ...options }: Connected & BundleOptions, io: Io): Promise<void> {
  const { session, txn, from, to } = options;
  const times = { since: secondsOf(since), until: secondsOf(until) };
  const query = { session, txn, from, to, ...times, openings: openings === true ? 'true' : undefined };
  let last = '';
  for await (const line of connectAudit(options, io).lines('/bundle', query)) {
    io.out(line);
    last = line;
  }
  if (!last.startsWith('{"end":true')) throw new Failure(2, 'the bundle has no end: ask again');
}

function secondsOf(time: string | undefined): string | undefined {
  if (time === undefined) return undefined;
  const milliseconds = Date.parse(time);
  if (Number.isNaN(milliseconds)) throw new Failure(2, `${time} is no time such as 2026-11-22T09:00:00Z`);
  return String(Math.floor(milliseconds / 1_000));
}
