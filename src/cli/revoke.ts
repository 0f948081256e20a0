import type { Command } from 'commander';
import { connect } from './api.js';
import { type Connected, connected, list, print } from './command.js';
import type { Io } from './io.js';

const SCOPES: readonly (readonly [string, string, string])[] = [
  ['token', '<jti>', 'one token and what was made from it: its jti, or the SHA-256 of it that the log has'],
  ['transaction', '<txn>', 'every token of a transaction'],
  ['session', '<id>', 'a session and those below it'],
  ['agent', '<client-id>', 'everything that an agent got before now'],
  ['owner', '<owner>', 'everything that the agents of an owner got before now'],
  ['person', '<id>', 'signs a person out: everything from before now'],
  ['issuer', '<issuer>', 'the same for all people of an issuer'],
  ['server', '<resource>', 'everything from before now for an MCP server'],
  ['tool', '<resource#name>', 'everything from before now for one tool'],
  ['agent-key', '<client-id#thumbprint>', 'a public key of an agent, and what the agent got before now'],
  ['signing-key', '<kid>', 'a signing key and every token that it signed'],
];

/** `writ revoke`: one thing, one write. */
export function addRevoke(writ: Command, io: Io): void {
  const group = writ
    .command('revoke')
    .description(
      'Ends tokens, sessions and keys, or cuts off all from before now of an agent, person, server or tool.',
    );
  for (const [kind, id, about] of SCOPES) {
    connected(group.command(`${kind} ${id}`))
      .description(`Revokes ${about}.`)
      .requiredOption('--reason <text>', 'why, for the log')
      .action(async (named: string, options: Connected & Readonly<{ reason: string }>) => {
        const body = { [kind.replace('-', '_')]: named, reason: options.reason };
        print(await connect(options, io).send('POST', '/revocations', body), options, io);
      });
  }
  connected(group.command('list'))
    .description('Lists what was revoked, the newest first.')
    .action((options: Connected) =>
      list(connect(options, io).all('/revocations'), ['number', 'target', 'reason', 'by', 'at'], { io, ...options }),
    );
}
