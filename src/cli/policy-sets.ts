import type { Command } from 'commander';
import { z } from 'zod';
import { type AdminApi, connect } from './api.js';
import { type Connected, connected, list, print } from './command.js';
import { effectLines } from './effect.js';
import type { Io } from './io.js';
import { policyFiles } from './policy.js';

const COLUMNS = ['hash', 'active', 'staged_at', 'staged_by', 'activated_at', 'replaced'];
const Staged = z.object({ hash: z.string() });
type Trial = Connected & Readonly<{ dryRun?: boolean }>;

/** `writ policy list | get | stage | activate | rollback`: the sets of a running Writ. */
export function addPolicySets(policy: Command, io: Io): void {
  const change = (name: string, about: string): Command =>
    connected(policy.command(name)).description(about).option('--dry-run', 'only check, and say what would be');
  connected(policy.command('list'))
    .description('Lists the policy sets of Writ, the newest first.')
    .action((options: Connected) => list(connect(options, io).all('/policies'), COLUMNS, { io, ...options }));
  connected(policy.command('get <hash>').alias('show'))
    .description('Shows the files of a policy set.')
    .action(async (hash: string, options: Connected) => {
      print(await connect(options, io).get(`/policies/${encodeURIComponent(hash)}`), options, io);
    });
  change('stage <directory>', 'Keeps the *.cedar files of a directory as a set; it decides nothing yet.')
    .option('--activate', 'let it decide at once')
    .action(async (directory: string, options: Trial & Readonly<{ activate?: boolean }>) => {
      const api = connect(options, io);
      const staged = await api.send('POST', `/policies${trial(options)}`, { files: policyFiles(directory, io) });
      print(staged, options, io);
      if (options.activate === true && options.dryRun !== true)
        print(await api.send('POST', activation(Staged.parse(staged).hash)), options, io);
    });
  change('activate <hash>', 'Lets a kept set decide, in one step that every later exchange obeys.')
    .option('--preview', 'change nothing, and print which live sessions would lose what')
    .action(async (hash: string, options: Trial & Readonly<{ preview?: boolean }>) => {
      const api = connect(options, io);
      if (options.preview === true) await preview(hash, api, { options, io });
      else print(await api.send('POST', `${activation(hash)}${trial(options)}`), options, io);
    });
  change('rollback', 'Lets the set decide that was active before this one.').action(async (options: Trial) => {
    print(await connect(options, io).send('POST', `/policies/rollback${trial(options)}`), options, io);
  });
}

/** In parts, each as it comes. */
async function preview(
  hash: string,
  api: AdminApi,
  { options, io }: Readonly<{ options: Connected; io: Io }>,
): Promise<void> {
  for (let after: string | null = '0'; after !== null;) {
    const part: z.infer<typeof Part> = Part.parse(
      await api.get(`/policies/${encodeURIComponent(hash)}/effect?after=${after}`),
    );
    after = part.next === after ? null : part.next;
    // What there was no time for follows at once.
    const lines = effectLines({ effect: { ...part, complete: part.complete || after !== null } });
    if (options.json === true) print(part, options, io);
    else io.out(lines.length === 0 ? 'no token lives' : lines.join('\n'));
  }
}

const Part = z.looseObject({ complete: z.boolean(), next: z.string().nullable() });

const activation = (hash: string): string => `/policies/${encodeURIComponent(hash)}/activate`;
const trial = ({ dryRun }: Trial): string => (dryRun === true ? '?dry_run=true' : '');
