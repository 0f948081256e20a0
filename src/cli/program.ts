import { Command, CommanderError } from 'commander';
import { connect } from './api.js';
import { addExport } from './audit-export.js';
import { addFindings } from './audit-findings.js';
import { addRecover } from './audit-recover.js';
import { addVerify } from './audit-verify.js';
import { apply, type ApplyOptions } from './apply.js';
import { type Connected, connected, JSON_OPTION, list, type Output, print } from './command.js';
import { addAudit } from './audit.js';
import { doctor } from './doctor.js';
import { printTried } from './effect.js';
import { Failure, harmless, type Io } from './io.js';
import { followLog, type LogOptions } from './log.js';
import { addObjects } from './objects.js';
import { addPolicySets } from './policy-sets.js';
import { addPolicy } from './policy.js';
import { addReplay } from './replay.js';
import { addRevoke } from './revoke.js';
import { addSessions } from './sessions.js';
import { decodeToken } from './token.js';
import { addTools } from './tools.js';

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
    .addHelpText('after', AFTER)
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
  addObjects(writ, io);
  addTools(writ, connected, io);
  addSessions(writ, io);
  addPersons(writ, io);
  addKeys(writ, io);
  addRevoke(writ, io);
  addLog(writ, io);
  const audit = addAudit(writ, io);
  addVerify(audit, io);
  addRecover(audit, io);
  addFindings(audit, io);
  addExport(audit, io);
  const policy = addPolicy(writ, io);
  addPolicySets(policy, io);
  addReplay(policy, io);
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

const AFTER = `
First steps, beside a Writ that runs on this machine (npm start):
  writ doctor
  writ servers create https://mcp.example.com/files --owner me@example.com --new-key files.jwk.json \\
    --tool read_file:low:read:internal=files:read
  writ agents create agt_planner --owner <issuer>#<subject> --sponsor <issuer>#<subject> --purpose "Plans the week" \\
    --new-key planner.jwk.json --allow https://mcp.example.com/files#read_file
  writ agents get agt_planner

Exit codes: 0 done, 1 refused by Writ (the reason names the field and where it is explained),
2 wrong usage or no connection.`;

function addApply(writ: Command, io: Io): void {
  connected(writ.command('apply'))
    .description('Makes the registry as a YAML file has it. Again changes nothing.')
    .requiredOption('-f, --file <file>', 'the file, - for standard input')
    .option('--dry-run', 'only print what would change')
    .option('--prune', 'also remove what the file does not name, of each kind that it lists')
    .action((options: Connected & ApplyOptions) => apply(options, connect(options, io), io));
}

type Invited = Readonly<{ name?: string; email?: string; group?: string[]; replace?: boolean }>;

function addPersons(writ: Command, io: Io): void {
  const group = writ
    .command('persons')
    .description('Invites people, disables those who leave, and enables them again.');
  connected(group.command('invite [person]'))
    .description(
      'Prints the link by which a person makes a passkey: a new person by name, or one of our own again by id.',
    )
    .option('--name <text>', 'how pages call them')
    .option('--email <address>', 'shown beside the name')
    .option('--group <name...>', 'as whose member they may approve for others')
    .option('--replace', 'of somebody who has an account: all their passkeys and sign-ins go first')
    .action(async (person: string | undefined, options: Connected & Invited) => {
      const { name, email, group: groups, replace } = options;
      const again = `/persons/${encodeURIComponent(person ?? '')}/invitation${replace === true ? '?replace=true' : ''}`;
      const path = person === undefined ? '/persons' : again;
      const body = person === undefined ? { name, email, groups } : undefined;
      print(await connect(options, io).send('POST', path, body), options, io);
    });
  connected(group.command('groups <person> [groups...]'))
    .description('Says of which groups a local account is a member, to approve for others; without any, of none.')
    .action(async (person: string, groups: string[], options: Connected) => {
      const path = `/persons/${encodeURIComponent(person)}/groups`;
      print(await connect(options, io).send('PUT', path, { groups }), options, io);
    });
  connected(group.command('passkeys <person>'))
    .description('Lists the passkeys of a person.')
    .action(async (person: string, options: Connected) => {
      print(await connect(options, io).get(`/persons/${encodeURIComponent(person)}/passkeys`), options, io);
    });
  connected(group.command('remove-passkey <person> <passkey>'))
    .description('Removes a passkey that is lost, and ends all that was done by that person and in their name.')
    .action(async (person: string, passkey: string, options: Connected) => {
      const path = `/persons/${encodeURIComponent(person)}/passkeys/${encodeURIComponent(passkey)}`;
      print(await connect(options, io).send('DELETE', path), options, io);
    });
  connected(group.command('find <issuer> <subject>'))
    .description('Finds the person whom an issuer knows by this subject.')
    .action(async (issuer: string, subject: string, options: Connected) => {
      const asked = new URLSearchParams({ issuer, subject }).toString();
      print(await connect(options, io).get(`/persons?${asked}`), options, io);
    });
  connected(group.command('disable <person>'))
    .description('Ends what a person may do, at once. Their agents go over to somebody else, or stop.')
    .option('--hand-over-to <person>', 'who answers for their agents from now on: prs_… or <issuer>#<subject>')
    .option('--dry-run', 'only print what would be, and what would end')
    .action(async (person: string, options: Connected & Readonly<{ handOverTo?: string; dryRun?: boolean }>) => {
      const body = options.handOverTo === undefined ? undefined : { hand_over_to: options.handOverTo };
      const path = `/persons/${encodeURIComponent(person)}/disable?dry_run=${String(options.dryRun === true)}`;
      printTried(await connect(options, io).send('POST', path, body), options, io);
    });
  connected(group.command('enable <person>'))
    .description('Lets a person act again, who signs in and consents anew.')
    .action(async (person: string, options: Connected) => {
      print(await connect(options, io).send('POST', `/persons/${encodeURIComponent(person)}/enable`), options, io);
    });
}

function addKeys(writ: Command, io: Io): void {
  const columns = ['kid', 'state', 'alg', 'created_at', 'activates_at', 'published_until'];
  const group = writ.command('keys').description('Lists and moves the keys that sign tokens.');
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
      print(await connect(options, io).send('POST', '/keys/rotate', body), options, io);
    });
  connected(group.command('withdraw <kid>'))
    .description('Takes a key away at once, and with it every token that it signed. Another key signs at once.')
    .option('--reason <text>', 'why, for the log')
    .action(async (kid: string, options: Connected & Readonly<{ reason?: string }>) => {
      const body = { reason: options.reason };
      print(await connect(options, io).send('POST', `/keys/${encodeURIComponent(kid)}/withdraw`, body), options, io);
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
