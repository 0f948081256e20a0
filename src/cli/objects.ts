import { Command, Option } from 'commander';
import { stringify } from 'yaml';
import { z } from 'zod';
import { connect } from './api.js';
import { budgetOf } from './budgets.js';
import { type Connected, connected, JSON_OPTION, list, listPage, print } from './command.js';
import { effectLines } from './effect.js';
import { type Draft, type Fill, fillAgent, fillIssuer, fillServer } from './fields.js';
import type { Io } from './io.js';
import { rotate, type RotateOptions } from './rotate.js';
import { shrink, type ShrinkOptions } from './shrink.js';
import { type ObjectPlace, type WriteOptions, writeObject } from './write-object.js';

/** A kind of object in the registry: what names it, how it is listed, and how its flags fill it. */
type Objects = ObjectPlace &
  Readonly<{
    columns: readonly string[];
    hasSecrets: boolean;
    /** What a new one is before its flags. */
    fresh(id: string): Draft;
    fill: Fill;
    withFlags(command: Command): Command;
    examples: readonly string[];
  }>;

const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];
const many = (flags: string, about: string): Option =>
  new Option(flags, `${about} (may be repeated)`).argParser(collect);

const withClientFlags = (command: Command): Command =>
  command
    .option('--name <text>', 'its name, for people (else its id)')
    .option('--new-key <file>', 'make a key pair; the private half goes into this new file, Writ gets the public one')
    .option('--jwks <file>', 'its public keys: a file with a JWK or a JWK Set')
    .option('--jwks-uri <url>', 'where its public keys are')
    .option('--secret', 'a client secret instead of keys; make it afterwards with: secret <id>')
    .addOption(
      many(
        '--allow <resource#tools>',
        'an MCP server that it may ask for; tools separated by commas, or all without #',
      ),
    )
    .option('--dpop', 'refuse it without a DPoP proof');

const AGENTS: Objects = {
  plural: 'agents',
  title: 'agent',
  idField: 'client_id',
  columns: ['client_id', 'status', 'owner', 'expires_at', 'name'],
  hasSecrets: true,
  fresh: (id) => ({ client_id: id, name: id }),
  fill: fillAgent,
  withFlags: (command) =>
    withClientFlags(command)
      .option('--owner <person>', 'the person who answers for it: prs_… or <issuer>#<subject>')
      .option('--sponsor <person>', 'the person who wants it to exist')
      .option('--purpose <text>', 'what it is for, for the people who are asked')
      .addOption(many('--redirect-uri <url>', 'where it receives codes'))
      .addOption(many('--hand-over-to <id>', 'an agent that it may hand over to'))
      .addOption(
        new Option('--budget <fields>', 'such as unit=calls,per=session,limit=100 (may be repeated)').argParser(
          budgetOf,
        ),
      )
      .option('--expires <when>', 'days such as 90d, or an instant (without it a new agent gets one)'),
  examples: [
    'writ agents create agt_planner --owner https://login.example.com#8c1f0c6e \\',
    '  --sponsor https://login.example.com#b72d44a1 --purpose "Plans the week" \\',
    '  --new-key planner.jwk.json --allow https://mcp.example.com/files#read_file',
    'writ agents change agt_planner --expires 30d',
    'writ agents change agt_planner --budget unit=writes,per=session,limit=20,on_breach=pause',
    'writ agents rotate agt_planner --key planner.jwk.json --new-key planner-2.jwk.json',
    'writ agents shrink agt_planner --dry-run',
    'writ agents retire agt_planner',
  ],
};

const SERVERS: Objects = {
  plural: 'servers',
  title: 'MCP server',
  idField: 'resource',
  columns: ['resource', 'client_id', 'status', 'token_shape', 'name'],
  hasSecrets: true,
  fresh: (id) => ({ resource: id, client_id: clientIdOf(id), name: id, tools: [] }),
  fill: fillServer,
  withFlags: (command) =>
    withClientFlags(command)
      .option('--owner <text>', 'the person who answers for it: prs_… or <issuer>#<subject> (a team is reported)')
      .option('--client-id <id>', 'as what it introspects tokens (a new server: made from its address)')
      .addOption(
        many('--tool <name:tier=scopes>', 'a tool: name:tier=scope,scope or name:tier:action:data=scope,scope'),
      )
      .addOption(many('--scope <scope>', 'a scope beside those of its tools')),
  examples: [
    'writ servers create https://mcp.example.com/files --owner me@example.com --new-key files.jwk.json \\',
    '  --tool read_file:low:read:internal=files:read --tool write_file:high:write:internal=files:write',
    'writ servers change https://mcp.example.com/files --set token_shape=at+jwt',
    'writ servers change https://mcp.example.com/files --set reports_outcomes=true',
  ],
};

const ISSUERS: Objects = {
  plural: 'issuers',
  title: 'trusted issuer',
  idField: 'issuer',
  columns: ['issuer', 'status', 'name'],
  hasSecrets: false,
  fresh: (id) => ({ issuer: id, name: id }),
  fill: fillIssuer,
  withFlags: (command) =>
    command
      .option('--name <text>', 'its name, for people (else its address)')
      .option('--jwks <file>', 'its public keys: a file with a JWK or a JWK Set')
      .option('--jwks-uri <url>', 'where its public keys are')
      .addOption(many('--accept <kind>', 'what its people may bring: id_token, access_token or jwt'))
      .addOption(many('--audience <name>', 'by which name its tokens mean Writ'))
      .addOption(many('--scope <scope>', 'what a token that names no scope is good for'))
      .addOption(many('--agent <id>', 'an agent that may exchange its tokens')),
  examples: [
    'writ issuers create https://login.example.com --jwks-uri https://login.example.com/jwks.json \\',
    '  --accept id_token --audience agt_planner --scope files:read --agent agt_planner',
  ],
};

const clientIdOf = (resource: string): string =>
  `mcp_${(resource.split('/').findLast((part) => part !== '') ?? '').replaceAll(/[^A-Za-z0-9_~-]+/g, '_')}`;

/** `writ agents`, `writ servers` and `writ issuers`. */
export function addObjects(writ: Command, io: Io): void {
  for (const objects of [AGENTS, SERVERS, ISSUERS]) addKind(writ, objects, io);
}

function addKind(writ: Command, objects: Objects, io: Io): void {
  const { plural, title } = objects;
  const group = writ
    .command(plural)
    .description(`Registers, shows, changes, retires and removes ${title}s.`)
    .addHelpText('after', ['', 'Examples:', ...objects.examples.map((line) => `  ${line}`)].join('\n'));
  addReading(group, objects, io);
  if (plural === 'agents') {
    addReport(group, io);
    addRotate(group, io);
    addShrink(group, io);
  }
  if (plural === 'servers') addServerReport(group, io);
  addCreate(group, objects, io);
  addChange(group, objects, io);
  addRetire(group, objects, io);
  addRemove(group, objects, io);
  if (objects.hasSecrets) addSecret(group, objects, io);
}

function addReading(group: Command, { plural, title, columns }: Objects, io: Io): void {
  connected(group.command('list'))
    .description(`Lists every ${title}; with --limit one page.`)
    .option('--limit <number>', 'how many at most')
    .option('--after <id>', 'only those after this one')
    .action((options: Connected & Readonly<{ limit?: string; after?: string }>) => {
      const { limit, after } = options;
      const api = connect(options, io);
      if (limit !== undefined) return listPage(api.page(`/${plural}`, { limit, after }), columns, { io, ...options });
      return list(api.all(`/${plural}`, { after }), columns, { io, ...options });
    });
  connected(group.command('get <id>').alias('show'))
    .description(`Shows one ${title} as YAML that create, change and apply take again.`)
    .action(async (id: string, options: Connected) => {
      const { object, etag } = await connect(options, io).read(at(plural, id));
      const yaml = stringify({ [plural]: [object] }).trimEnd();
      io.out(options.json === true ? JSON.stringify(object, null, 2) : `# ETag: ${etag}\n${yaml}`);
    });
}

const at = (plural: string, id: string): string => `/${plural}/${encodeURIComponent(id)}`;

type Writing = Connected & WriteOptions;

function addReport(group: Command, io: Io): void {
  connected(group.command('report'))
    .description(
      'Lists the active agents that somebody should look at: unowned, unused, with rights that they do not use, ending.',
    )
    .option('--unused-days <number>', 'an agent not used for so many days is unused (30)')
    .option('--rights-unused-days <number>', 'a right not used for so many days is unused (90)')
    .action((options: Connected & Readonly<{ unusedDays?: string; rightsUnusedDays?: string }>) => {
      const columns = ['client_id', 'concerns', 'last_used_at', 'expires_at', 'owner'];
      const query = { unused_days: options.unusedDays, rights_unused_days: options.rightsUnusedDays };
      return list(connect(options, io).all('/reports/agents', query), columns, { io, ...options });
    });
}

function addServerReport(group: Command, io: Io): void {
  connected(group.command('report'))
    .description('Lists the active MCP servers for which no person answers.')
    .action((options: Connected) => {
      const columns = ['resource', 'concerns', 'owner'];
      return list(connect(options, io).all('/reports/servers'), columns, { io, ...options });
    });
}

function addRotate(group: Command, io: Io): void {
  group
    .command('rotate <client_id>')
    .description('Puts a new key in the place of the old one, proved with both; no administrator is needed.')
    .requiredOption('--key <file>', 'the private JWK that the agent has now')
    .requiredOption('--new-key <file>', 'a new file for the new one (one that is there from an earlier try is used)')
    .option('--url <url>', 'where Writ is (else WRIT_ISSUER, else http://localhost:4455)')
    .addOption(JSON_OPTION())
    .action((id: string, options: RotateOptions) => rotate(id, options, io));
}

function addShrink(group: Command, io: Io): void {
  connected(group.command('shrink <client_id>'))
    .description('Takes from an agent what it was granted long ago and does not use; look with --dry-run first.')
    .option('--unused-days <number>', 'a right not used for so many days is unused (90)')
    .option('--if-match <etag>', 'only when the agent still is as it was seen (--dry-run prints the ETag)')
    .option('--dry-run', 'only print what would be taken')
    .action((id: string, options: ShrinkOptions) => shrink(id, options, io));
}

function addCreate(group: Command, objects: Objects, io: Io): void {
  writing(objects.withFlags(group.command('create <id>')), 'the whole object from a YAML or JSON file')
    .description(`Registers a new ${objects.title}. Never changes one that is there.`)
    .addHelpText('after', AFTER)
    .action((id: string, options: Writing) => {
      const { fresh, fill } = objects;
      return writeObject({ verb: 'create', id, place: objects, fresh, fill }, options, io);
    });
}

function addChange(group: Command, objects: Objects, io: Io): void {
  const command = objects.withFlags(group.command('change <id>'));
  if (objects.hasSecrets)
    command
      .addOption(many('--disallow <resource>', 'an MCP server that it may ask for no more'))
      .option('--no-dpop', 'take it without a DPoP proof');
  writing(command, 'the whole object from a YAML or JSON file, in place of what is there')
    .option('--status <status>', 'active or disabled')
    .option('--if-match <etag>', 'only when it still is as it was seen (get prints the ETag)')
    .description(`Changes one ${objects.title}: what is named, and nothing else. Refused when somebody was faster.`)
    .addHelpText('after', AFTER)
    .action((id: string, options: Writing) =>
      writeObject({ verb: 'change', id, place: objects, fill: objects.fill }, options, io),
    );
}

const writing = (command: Command, whole: string): Command =>
  connected(command)
    .addOption(many('--set <field=value>', 'any other field, such as claims.email=mail; the value is YAML'))
    .option('-f, --file <file>', `${whole}, - for standard input`)
    .option('--dry-run', 'only check it, and print what would be');

const AFTER =
  '\nEvery field, with its rules: GET /admin/v1/openapi.json. What a refusal means is at the address it names.';

function addRetire(group: Command, objects: Objects, io: Io): void {
  connected(group.command('retire <id>'))
    .description(
      `Disables one ${objects.title}: refused everywhere at once, still named. change --status active undoes it.`,
    )
    .option('--dry-run', 'only print what would be')
    .action((id: string, options: Writing) =>
      writeObject({ verb: 'retire', id, place: objects, fill: objects.fill }, { ...options, status: 'disabled' }, io),
    );
}

const Tried = z.object({ effect: z.unknown().optional() }).optional();

function addRemove(group: Command, { plural, title }: Objects, io: Io): void {
  connected(group.command('remove <id>'))
    .description(`Removes one ${title} for good, unless something else names it.`)
    .option('--dry-run', 'only check whether it is removable')
    .action(async (id: string, options: Connected & Readonly<{ dryRun?: boolean }>) => {
      const dryRun = options.dryRun === true;
      const answer = await connect(options, io).send('DELETE', `${at(plural, id)}?dry_run=${String(dryRun)}`);
      const result = dryRun ? 'removable' : 'removed';
      const lines = [`${result} ${title} ${id}`, ...(dryRun ? effectLines(answer) : [])];
      io.out(options.json === true ? JSON.stringify({ id, result, ...Tried.parse(answer) }) : lines.join('\n'));
    });
}

function addSecret(group: Command, { plural, title }: Objects, io: Io): void {
  connected(group.command('secret <id>'))
    .description(`Makes a new client secret for one ${title} and shows it once.`)
    .action(async (id: string, options: Connected) => {
      print(await connect(options, io).send('POST', `${at(plural, id)}/secret`), options, io);
    });
}
