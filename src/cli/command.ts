import { type Command, Option } from 'commander';
import { stringify } from 'yaml';
import type { ConnectionOptions, Page } from './api.js';
import type { Io } from './io.js';
import { table } from './table.js';

export type Output = Readonly<{ json?: boolean }>;
export type Connected = ConnectionOptions & Output;

export const JSON_OPTION = (): Option => new Option('--json', 'print JSON');

/** A command that talks to Writ. */
export const connected = (command: Command): Command =>
  command
    .option('--url <url>', 'where Writ is (else WRIT_ISSUER, else http://localhost:4455)')
    .option(
      '--token-file <file>',
      'file with the admin token (else WRIT_ADMIN_TOKEN, else admin-token in WRIT_DATA_DIR)',
    )
    .addOption(JSON_OPTION());

/** One answer, for people as YAML. */
export function print(answer: unknown, { json }: Output, io: Io): void {
  io.out(json === true ? JSON.stringify(answer, null, 2) : stringify(answer).trimEnd());
}

/** A list in columns. */
export async function list(
  items: AsyncGenerator<Record<string, unknown>>,
  columns: readonly string[],
  { io, json }: Readonly<{ io: Io; json?: boolean }>,
): Promise<void> {
  const rows: Record<string, unknown>[] = [];
  for await (const item of items) rows.push(item);
  io.out(json === true ? JSON.stringify(rows, null, 2) : table(columns, rows));
}

/** One page in columns, and how to read on. */
export async function listPage(
  page: Promise<Page>,
  columns: readonly string[],
  { io, json }: Readonly<{ io: Io; json?: boolean }>,
): Promise<void> {
  const { items, next } = await page;
  io.out(json === true ? JSON.stringify({ items, next }, null, 2) : table(columns, items));
  if (json !== true && next !== null) io.err(`more: --after ${next}`);
}
