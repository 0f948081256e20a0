import { Command, InvalidArgumentError, Option } from 'commander';
import { z } from 'zod';
import { type AdminApi, connect, type ConnectionOptions } from './api.js';
import { effectLines } from './effect.js';
import { Failure, type Io } from './io.js';
import { table } from './table.js';
import { addToolChange } from './tool-change.js';

type Connected = ConnectionOptions & Readonly<{ json?: boolean }>;
type ImportOptions = Connected & Readonly<{ serverTokenFile?: string; scopes?: string; dryRun?: boolean }>;
type ReviewOptions = Connected &
  Readonly<{
    pin: string;
    action?: string;
    data?: string;
    tier?: string;
    scopes?: string;
    sensitive?: string;
    sentence?: string;
    dryRun?: boolean;
  }>;

/** `writ servers import` and `writ tools`. `connected` gives a command the options of every command that talks to Writ. */
export function addTools(writ: Command, connected: (command: Command) => Command, io: Io): void {
  const servers = writ.commands.find((command) => command.name() === 'servers');
  connected((servers ?? writ.command('servers')).command('import <url>'))
    .description('Reads the tools of a live MCP server: new ones become drafts, changed ones wait for a review.')
    .option('--server-token-file <file>', 'file with a bearer token for that server, used for this one reading')
    .option('--scopes <scopes>', 'scopes of the tools that are new, separated by spaces')
    .option('--dry-run', 'only print what would change')
    .action((url: string, options: ImportOptions) => importTools(url, options, connect(options, io), io));
  const tools = writ.command('tools').description('Lists, shows, changes and reviews the tools of MCP servers.');
  connected(tools.command('list <server>'))
    .description('Lists the tools of one MCP server.')
    .addOption(new Option('--state <state>', 'only these').choices(['reviewed', 'draft', 'needs_review']))
    .action((server: string, options: Connected & Readonly<{ state?: string }>) =>
      listTools(server, options, connect(options, io), io),
    );
  connected(tools.command('show <server> <tool>'))
    .description('Shows one tool, what waits for a review, how that differs, and what in it to look at twice.')
    .action((server: string, name: string, options: Connected) =>
      showTool(at(server, name), options, connect(options, io), io),
    );
  connected(tools.command('review <server> <tool>'))
    .description('Confirms the definition of a tool that you have looked at with show.')
    .requiredOption('--pin <hash>', 'the hash that show printed: of what you looked at', pinOf)
    .option('--action <class>', 'read, write, delete, execute, send or pay')
    .option('--data <class>', 'public, internal, confidential or restricted')
    .option('--tier <tier>', 'low, medium, high or critical')
    .option('--scopes <scopes>', 'all that a call needs, separated by spaces')
    .option('--sensitive <arguments>', 'arguments that are kept nowhere, separated by spaces')
    .option('--sentence <sentence>', 'what a call does, such as "Delete repository {owner}/{repo}"')
    .option('--dry-run', 'only print what it would be, and what would end')
    .action((server: string, name: string, options: ReviewOptions) =>
      review(at(server, name), options, connect(options, io), io),
    );
  addToolChange(tools, io);
  connected(tools.command('dismiss <server> <tool>'))
    .description('Says that what was reported of a tool is wrong: it can be called as it was reviewed.')
    .requiredOption('--pin <hash>', 'the hash that show printed: of what was reported', pinOf)
    .action(async (server: string, name: string, options: Connected & Readonly<{ pin: string }>) => {
      const { pin, json } = options;
      const answer = await connect(options, io).send('POST', `${at(server, name)}/dismiss`, { definition_sha256: pin });
      const { tool } = View.parse(answer);
      const said = `dismissed ${pin}: ${String(tool['name'])} is as it was reviewed`;
      io.out(json === true ? JSON.stringify(answer, null, 2) : said);
    });
}

const at = (server: string, tool: string): string =>
  `/servers/${encodeURIComponent(server)}/tools/${encodeURIComponent(tool)}`;

function pinOf(text: string): string {
  if (/^[A-Za-z0-9_-]{43}$/.test(text)) return text;
  throw new InvalidArgumentError('It is the hash of 43 characters that writ tools show prints.');
}

const listOf = (text: string | undefined): readonly string[] | undefined =>
  text?.split(/[\s,]+/).filter((each) => each !== '');

async function importTools(url: string, options: ImportOptions, api: AdminApi, io: Io): Promise<void> {
  const { serverTokenFile, dryRun = false, json = false } = options;
  const token = serverTokenFile === undefined ? undefined : tokenIn(serverTokenFile, io);
  const path = `/servers/${encodeURIComponent(url)}/import?dry_run=${String(dryRun)}`;
  const answer = await api.send('POST', path, { token, scopes: listOf(options.scopes) });
  const lines = [describeImport(url, Imported.parse(answer)), ...effectLines(answer)];
  io.out(json ? JSON.stringify(answer, null, 2) : lines.join('\n'));
}

function tokenIn(file: string, io: Io): string {
  const text = io.readFile(file)?.trim();
  if (text === undefined || text === '') throw new Failure(2, `there is no token in ${file}`);
  return text;
}

const Finding = z.object({ rule: z.string(), path: z.string(), shown: z.string(), about: z.string() });
type Finding = z.infer<typeof Finding>;
const Imported = z.object({
  dry_run: z.boolean(),
  version: z.number(),
  revision: z.string(),
  tools: z.array(
    z.object({
      name: z.string(),
      result: z.string(),
      state: z.string().nullable(),
      why: z.array(z.string()),
      findings: z.array(Finding),
    }),
  ),
});

const MARKS: Readonly<Record<string, string>> = {
  new: '+',
  changed: '~',
  draft_changed: '~',
  as_reviewed: '~',
  vanished: '-',
  unreadable: '!',
};

function describeImport(url: string, { dry_run, version, revision, tools }: z.infer<typeof Imported>): string {
  const lines = tools
    .filter(({ result }) => result !== 'unchanged')
    .flatMap(({ name, result, state, why, findings }) => [
      `${MARKS[result] ?? ' '} ${within(name)}: ${result}${state === null ? '' : ` (${state})`}`,
      ...why.map((reason) => `    ${reason}`),
      ...findings.map(findingLine),
    ]);
  const counts = [...new Set(tools.map(({ result }) => result))].map(
    (result) => `${String(tools.filter((tool) => tool.result === result).length)} ${result}`,
  );
  const ending = dry_run ? 'Would be' : 'Imported';
  const mustWait = !dry_run && tools.some(({ state }) => state === 'draft' || state === 'needs_review');
  return [
    ...lines,
    `${ending}: ${counts.join(', ') || 'no tools'} (MCP ${revision}, registry version ${String(version)})`,
    ...(mustWait ? [`Nobody can call what waits for a review: writ tools show ${url} <tool>`] : []),
  ].join('\n');
}

const findingLine = ({ rule, path, shown, about }: Finding): string => `    ! ${path}: ${rule}: ${about}: ${shown}`;

async function listTools(
  server: string,
  { state, json }: Connected & Readonly<{ state?: string }>,
  api: AdminApi,
  io: Io,
): Promise<void> {
  const rows: Record<string, unknown>[] = [];
  for await (const tool of api.all(`/servers/${encodeURIComponent(server)}/tools`, { state })) rows.push(tool);
  io.out(
    json === true ? JSON.stringify(rows, null, 2) : table(['name', 'state', 'tier', 'action', 'data', 'pending'], rows),
  );
}

const View = z.object({
  state: z.string(),
  tool: z.record(z.string(), z.unknown()),
  pending: z
    .object({
      definition_sha256: z.string(),
      definition: z.unknown(),
      seen_by: z.string().nullable(),
      by: z.string().nullable(),
      seen_at: z.string().nullable(),
    })
    .nullable(),
  difference: z.array(
    z.object({
      path: z.string(),
      change: z.string(),
      before: z.string().optional(),
      after: z.string().optional(),
      words: z.array(z.object({ kind: z.enum(['same', 'removed', 'added']), text: z.string() })).optional(),
    }),
  ),
  findings: z.array(Finding),
});
type View = z.infer<typeof View>;

async function showTool(path: string, { json }: Connected, api: AdminApi, io: Io): Promise<void> {
  const answer = await api.get(path);
  io.out(json === true ? JSON.stringify(answer, null, 2) : describeTool(View.parse(answer)));
}

const FIELDS = ['name', 'tier', 'action', 'data', 'scopes', 'sensitive', 'money', 'budgets', 'sentence', 'reviewed'];

function describeTool({ state, tool, pending, difference, findings }: View): string {
  const words = FIELDS.flatMap((field) =>
    tool[field] === undefined ? [] : [`${field}: ${JSON.stringify(tool[field])}`],
  );
  return [
    `state: ${state}`,
    ...words,
    ...(pending === null ? ['definition:', indented(tool['definition'])] : waiting(pending)),
    ...(difference.length === 0 ? [] : ['difference:', ...difference.flatMap(changeLines)]),
    ...(findings.length === 0 ? [] : ['look twice at:', ...findings.map(findingLine)]),
    ...(pending === null ? [] : [`confirm it: writ tools review <server> <tool> --pin ${pending.definition_sha256}`]),
    ...(pending?.by == null ? [] : ['or, where the report is wrong: writ tools dismiss with the same']),
  ].join('\n');
}

const waiting = ({ definition, seen_by, by, seen_at }: NonNullable<View['pending']>): readonly string[] => [
  ...(seen_by === null ? [] : [`reported by: ${by ?? seen_by}, ${seen_at ?? ''}`]),
  ...(definition === null
    ? ['only its hash is known: import the tools of the server']
    : ['waits for a review:', indented(definition)]),
];

const indented = (value: unknown): string => `    ${JSON.stringify(value ?? null, null, 2).replaceAll('\n', '\n    ')}`;

/** What went stands in [-…-], what came in {+…+}. */
function changeLines({ path, change, before, after, words }: View['difference'][number]): readonly string[] {
  if (words !== undefined)
    return [
      within(
        `    ${path}: ${words.map(({ kind, text }) => (kind === 'same' ? text : kind === 'removed' ? `[-${text}-]` : `{+${text}+}`)).join('')}`,
      ),
    ];
  if (change === 'added') return [within(`    + ${path}: ${after ?? ''}`)];
  if (change === 'removed') return [within(`    - ${path}: ${before ?? ''}`)];
  return [within(`    ${path}: ${before ?? ''} -> ${after ?? ''}`)];
}

/** A server's text has lines of its own, which must not pass for lines of ours. */
const within = (text: string): string => text.replaceAll('\n', '\n      | ');

async function review(path: string, options: ReviewOptions, api: AdminApi, io: Io): Promise<void> {
  const { pin, action, data, tier, scopes, sensitive, sentence, dryRun, json } = options;
  const body = {
    definition_sha256: pin,
    action,
    data,
    tier,
    scopes: listOf(scopes),
    sensitive: listOf(sensitive),
    sentence,
  };
  const answer = await api.send('POST', `${path}/review${dryRun === true ? '?dry_run=true' : ''}`, body);
  const { tool } = View.parse(answer);
  const said = `${dryRun === true ? 'would be reviewed:' : 'reviewed'} ${String(tool['name'])} as ${pin}`;
  io.out(json === true ? JSON.stringify(answer, null, 2) : [said, ...effectLines(answer)].join('\n'));
}
