import { Command, CommanderError, Option } from 'commander';
import { stringify } from 'yaml';
import { connect, type ConnectionOptions } from './api.js';
import { apply, type ApplyOptions } from './apply.js';
import { doctor } from './doctor.js';
import { Failure, harmless, type Io } from './io.js';
import { followLog, type LogOptions } from './log.js';
import { table } from './table.js';
import { decodeToken } from './token.js';

/** Runs one command line. Answers the exit code: 0 done, 1 refused, 2 wrong usage or no connection. */
export async function run(args: readonly string[], io: Io): Promise<0 | 1 | 2> {
  const safe: Io = {
    ...io,
    out: (text) => {
      io.out(harmless(text));
    },
    err: (text) => {
      io.err(harmless(text));
    },
  };
  try {
    await program(safe).parseAsync(args, { from: 'user' });
    return 0;
  } catch (thrown) {
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : 2;
    if (!(thrown instanceof Failure)) throw thrown;
    safe.err(`writ: ${thrown.message}`);
    return thrown.exitCode;
  }
}

function program(io: Io): Command {
  const writ = new Command('writ')
    .description('Administers a running Writ through its admin API.')
    .configureOutput({
      writeOut: (text) => {
        io.out(text.trimEnd());
      },
      writeErr: (text) => {
        io.err(text.trimEnd());
      },
    })
    .showHelpAfterError('(try --help)')
    .exitOverride();
  addApply(writ, io);
  for (const objects of OBJECTS) addObjects(writ, objects, io);
  addSessions(writ, io);
  addKeys(writ, io);
  addLog(writ, io);
  connected(writ.command('doctor'))
    .description('Looks at everything that Writ stands on, and says what is wrong and what to do. Changes nothing.')
    .action((options: Connected) => doctor(options, io));
  const token = writ.command('token').description('Looks at tokens.');
  token
    .command('decode')
    .description('Shows the claims of a token from standard input, and its delegation as a picture. Verifies nothing.')
    .addOption(JSON_OPTION())
    .action((options: Output) => decodeToken(options, io));
  return writ;
}

type Output = Readonly<{ json?: boolean }>;
type Connected = ConnectionOptions & Output;

const JSON_OPTION = (): Option => new Option('--json', 'print JSON');

/** A command that talks to Writ. */
const connected = (command: Command): Command =>
  command
    .option('--url <url>', 'where Writ is (else WRIT_ISSUER, else http://localhost:4455)')
    .option(
      '--token-file <file>',
      'file with the admin token (else WRIT_ADMIN_TOKEN, else admin-token in WRIT_DATA_DIR)',
    )
    .addOption(JSON_OPTION());

function addApply(writ: Command, io: Io): void {
  connected(writ.command('apply'))
    .description('Makes the registry as a YAML file has it. Again changes nothing.')
    .requiredOption('-f, --file <file>', 'the file, - for standard input')
    .option('--dry-run', 'only print what would change')
    .option('--prune', 'also remove what the file does not name, of each kind that it lists')
    .action((options: Connected & ApplyOptions) => apply(options, connect(options, io), io));
}

/** A kind of object in the registry, with the columns of its list. */
type Objects = Readonly<{ plural: string; title: string; columns: readonly string[]; hasSecrets: boolean }>;

const OBJECTS: readonly Objects[] = [
  {
    plural: 'agents',
    title: 'agent',
    columns: ['client_id', 'status', 'owner', 'expires_at', 'name'],
    hasSecrets: true,
  },
  {
    plural: 'servers',
    title: 'MCP server',
    columns: ['resource', 'client_id', 'status', 'token_shape', 'name'],
    hasSecrets: true,
  },
  { plural: 'issuers', title: 'trusted issuer', columns: ['issuer', 'status', 'name'], hasSecrets: false },
];

function addObjects(writ: Command, { plural, title, columns, hasSecrets }: Objects, io: Io): void {
  const group = writ.command(plural).description(`Lists, shows and removes ${title}s.`);
  const at = (id: string): string => `/${plural}/${encodeURIComponent(id)}`;
  connected(group.command('list'))
    .description(`Lists every ${title}.`)
    .action((options: Connected) => list(connect(options, io).all(`/${plural}`), columns, { io, ...options }));
  connected(group.command('get <id>'))
    .description(`Shows one ${title} as YAML that apply takes again.`)
    .action(async (id: string, options: Connected) => {
      const object = await connect(options, io).get(at(id));
      io.out(options.json === true ? JSON.stringify(object, null, 2) : stringify({ [plural]: [object] }).trimEnd());
    });
  connected(group.command('remove <id>'))
    .description(`Removes one ${title}, unless something else names it.`)
    .action(async (id: string, options: Connected) => {
      await connect(options, io).send('DELETE', at(id));
      io.out(options.json === true ? JSON.stringify({ id, result: 'removed' }) : `removed ${title} ${id}`);
    });
  if (!hasSecrets) return;
  connected(group.command('secret <id>'))
    .description(`Makes a new client secret for one ${title} and shows it once.`)
    .action(async (id: string, options: Connected) => {
      const secret = await connect(options, io).send('POST', `${at(id)}/secret`);
      io.out(options.json === true ? JSON.stringify(secret, null, 2) : stringify(secret).trimEnd());
    });
}

function addSessions(writ: Command, io: Io): void {
  const columns = ['id', 'person', 'agent', 'status', 'last_sequence', 'last_used_at', 'expires_at'];
  const group = writ.command('sessions').description('Lists and ends the sessions of agents.');
  connected(group.command('list'))
    .description('Lists sessions.')
    .option('--person <id>', 'only those for this person')
    .option('--agent <id>', 'only those of this agent')
    .addOption(new Option('--status <status>', 'only these').choices(['active', 'ended']))
    .action((options: Connected & Readonly<{ person?: string; agent?: string; status?: string }>) => {
      const { person, agent, status } = options;
      return list(connect(options, io).all('/sessions', { person, agent, status }), columns, { io, ...options });
    });
  connected(group.command('end <id>'))
    .description('Ends a session, and with it every token of it.')
    .option('--reason <text>', 'why, for the log')
    .action(async (id: string, options: Connected & Readonly<{ reason?: string }>) => {
      const body = options.reason === undefined ? undefined : { reason: options.reason };
      const answer = await connect(options, io).send('POST', `/sessions/${encodeURIComponent(id)}/end`, body);
      io.out(options.json === true ? JSON.stringify(answer, null, 2) : stringify(answer).trimEnd());
    });
}

function addKeys(writ: Command, io: Io): void {
  const columns = ['kid', 'state', 'alg', 'created_at', 'activates_at', 'published_until'];
  const group = writ.command('keys').description('Lists and moves the keys that sign tokens.');
  const print = (answer: unknown, { json }: Output): void => {
    io.out(json === true ? JSON.stringify(answer, null, 2) : stringify(answer).trimEnd());
  };
  connected(group.command('list'))
    .description('Lists the signing keys, the newest first.')
    .action((options: Connected) => list(connect(options, io).all('/keys'), columns, { io, ...options }));
  connected(group.command('rotate'))
    .description('Publishes a new key, which signs by itself once every cache knows it.')
    .option('--reason <text>', 'why, for the log')
    .option(
      '--activate-after <seconds>',
      'when it begins to sign; DANGER: less than keys may be cached, and verifiers refuse good tokens',
    )
    .action(async (options: Connected & Readonly<{ reason?: string; activateAfter?: string }>) => {
      const { reason, activateAfter } = options;
      const body = { reason, activate_after_seconds: activateAfter === undefined ? undefined : Number(activateAfter) };
      print(await connect(options, io).send('POST', '/keys/rotate', body), options);
    });
  connected(group.command('withdraw <kid>'))
    .description('Takes a key away at once, and with it every token that it signed. Another key signs at once.')
    .option('--reason <text>', 'why, for the log')
    .action(async (kid: string, options: Connected & Readonly<{ reason?: string }>) => {
      const body = { reason: options.reason };
      print(await connect(options, io).send('POST', `/keys/${encodeURIComponent(kid)}/withdraw`, body), options);
    });
}

function addLog(writ: Command, io: Io): void {
  connected(writ.command('log'))
    .description('Prints the log, oldest first; with --json one record a line.')
    .option('--session <id>', 'only this session')
    .option('--txn <id>', 'only this transaction')
    .option('--kind <kind>', 'only this kind of record')
    .option('--follow', 'wait for more until interrupted')
    .action((options: Connected & LogOptions) => followLog(options, connect(options, io), io));
}

async function list(
  items: AsyncGenerator<Record<string, unknown>>,
  columns: readonly string[],
  { io, json }: Readonly<{ io: Io; json?: boolean }>,
): Promise<void> {
  const rows: Record<string, unknown>[] = [];
  for await (const item of items) rows.push(item);
  io.out(json === true ? JSON.stringify(rows, null, 2) : table(columns, rows));
}
