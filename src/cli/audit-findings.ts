import type { Command } from 'commander';
import { z } from 'zod';
import { type ConnectionOptions, connectAudit } from './api.js';
import { JSON_OPTION, type Output } from './command.js';
import { Failure, type Io } from './io.js';

type Options = ConnectionOptions &
  Output &
  Readonly<{ session?: string; server?: string; kind?: string; since?: string }>;

/** `writ audit findings`. Exit codes: 0 there are none, 1 there are some, 2 it could not be asked. */
export function addFindings(audit: Command, io: Io): void {
  audit
    .command('findings')
    .description('Lists what does not fit together in the log, oldest first. Exit code 1 when there is anything.')
    .option('--session <id>', 'only of this session')
    .option('--server <resource>', 'only of this MCP server')
    .option('--kind <kind>', 'only of this kind, such as no_outcome')
    .option('--since <time>', 'only what was found since this time, such as 2026-11-22T00:00:00Z')
    .option('--url <url>', 'where Writ is (else WRIT_ISSUER, else http://localhost:4455)')
    .option(
      '--token-file <file>',
      'file with the token of auditors or administrators (else WRIT_AUDIT_TOKEN, else as everywhere)',
    )
    .addOption(JSON_OPTION())
    .action(async ({ session, server, kind, since, ...options }: Options) => {
      const query = { session, server, kind, since };
      const log = connectAudit(options, io);
      let count = 0;
      for await (const item of log.all('/findings', query)) {
        count += 1;
        io.out(options.json === true ? JSON.stringify(item) : describeFinding(Found.parse(item)));
      }
      const { not_expected } = Silent.parse(await log.get('/findings', { ...query, limit: '1' }));
      for (const { server: silent, because } of not_expected)
        io.err(`writ: no outcome is expected of ${silent}: ${WHY[because]}`);
      if (count > 0) throw new Failure(1, count === 1 ? 'one finding' : `${String(count)} findings`);
    });
}

/** Beside the findings: what is missing of these servers is none. */
const Silent = z.object({
  not_expected: z.array(z.object({ server: z.string(), because: z.enum(['registry_says_no', 'never_reported']) })),
});
const WHY = {
  registry_says_no: 'the registry says that it reports none',
  never_reported: 'it never reported one, and the registry does not say that it should',
} as const;

const Found = z.object({
  id: z.string(),
  kind: z.string(),
  at: z.string(),
  session: z.string().nullable(),
  server: z.string().nullable(),
  txn: z.string().nullable(),
  facts: z.record(z.string(), z.unknown()),
});

/** One line: when, what, where, and the facts. */
function describeFinding({ id, kind, at, facts, ...where }: z.infer<typeof Found>): string {
  const places = Object.entries(where).flatMap(([name, value]) => (value === null ? [] : [`${name}=${value}`]));
  return [
    at,
    id,
    kind,
    ...places,
    ...Object.entries(facts).map(([name, value]) => `${name}=${JSON.stringify(value)}`),
  ].join('  ');
}
