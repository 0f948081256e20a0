import { type Command, InvalidArgumentError, Option } from 'commander';
import { connect } from './api.js';
import { type Connected, connected, list, print } from './command.js';
import type { Io } from './io.js';

const COLUMNS = ['id', 'person', 'agent', 'status', 'parent', 'last_sequence', 'last_used_at', 'expires_at'];

/** `writ sessions`: looks at sessions, pauses, resumes and ends them. */
export function addSessions(writ: Command, io: Io): void {
  const group = writ.command('sessions').description('Lists, pauses, resumes and ends the sessions of agents.');
  addReading(group, io);
  addChange(group, { verb: 'end', about: 'Ends a session and those below it, and with them every token of them.' }, io);
  addChange(
    group,
    { verb: 'resume', about: 'Ends the pause of a session, and of those below it that were paused with it.' },
    io,
  );
  addChange(
    group,
    { verb: 'pause', about: 'Pauses a session and those below it, and cuts off every token of them.' },
    io,
  ).option('--for <seconds>', 'the pause ends by itself after so long', wholeSeconds);
}

type Filter = Readonly<{ person?: string; agent?: string; status?: string; parent?: string }>;

function addReading(group: Command, io: Io): void {
  connected(group.command('list'))
    .description('Lists sessions.')
    .option('--person <id>', 'only those for this person')
    .option('--agent <id>', 'only those of this agent')
    .option('--parent <id>', 'only those below this one')
    .addOption(new Option('--status <status>', 'only these').choices(['active', 'paused', 'ended']))
    .action((options: Connected & Filter) => {
      const { person, agent, status, parent } = options;
      const items = connect(options, io).all('/sessions', { person, agent, status, parent });
      return list(items, COLUMNS, { io, ...options });
    });
  connected(group.command('get <id>').alias('show'))
    .description('Shows one session.')
    .action(async (id: string, options: Connected) => {
      print(await connect(options, io).get(`/sessions/${encodeURIComponent(id)}`), options, io);
    });
}

type Change = Connected & Readonly<{ reason?: string; for?: number }>;

function addChange(
  group: Command,
  { verb, about }: Readonly<{ verb: 'pause' | 'resume' | 'end'; about: string }>,
  io: Io,
): Command {
  return connected(group.command(`${verb} <id>`))
    .description(about)
    .option('--reason <text>', 'why, for the log and the agent')
    .action(async (id: string, options: Change) => {
      const { reason, for: seconds } = options;
      const given = { ...(reason === undefined ? {} : { reason }), ...(seconds === undefined ? {} : { seconds }) };
      const body = Object.keys(given).length === 0 ? undefined : given;
      print(await connect(options, io).send('POST', `/sessions/${encodeURIComponent(id)}/${verb}`, body), options, io);
    });
}

function wholeSeconds(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError('It is a whole number of seconds.');
  return Number(text);
}
