import type { Command } from 'commander';
import { z } from 'zod';
import { connect, type ConnectionOptions } from './api.js';
import { JSON_OPTION, type Output } from './command.js';
import type { Io } from './io.js';

type Options = ConnectionOptions & Output & Readonly<{ reason: string }>;

/** `writ audit recover`: an operator lets a halted log go on from what is there. */
export function addRecover(audit: Command, io: Io): void {
  audit
    .command('recover')
    .description(
      'Lets a halted log go on from the entries that are there, and writes that into it. For administrators.',
    )
    .requiredOption('--reason <text>', 'what happened, such as the ticket of the restored backup')
    .option('--url <url>', 'where Writ is (else WRIT_ISSUER, else http://localhost:4455)')
    .option('--token-file <file>', 'file with the admin token (else WRIT_ADMIN_TOKEN)')
    .addOption(JSON_OPTION())
    .action(async ({ reason, ...options }: Options) => {
      const answer = await connect(options, io).send('POST', '/log/recovery', { reason });
      if (options.json === true) {
        io.out(JSON.stringify(answer, null, 2));
        return;
      }
      const { size, had, halted } = Recovered.parse(answer);
      io.out(`The log goes on from ${size} entries (it said ${had}). It was halted because ${halted}.`);
    });
}

const Recovered = z.object({ size: z.number(), had: z.number(), halted: z.string() });
