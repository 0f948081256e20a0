import { join } from 'node:path';
import type { House } from './house.js';
import type { Terminal } from './terminal.js';

/** As it is after `npm run demo`; npx finds a package only where it is a dependency. */
const WRIT = 'node dist/src/cli/main.js';

/** Commands for another terminal, while everything stays up. */
export function whatToTryNext({ issuer, files, tokenFile, folder }: House, terminal: Terminal): void {
  const groups: readonly (readonly [string, ...string[]])[] = [
    ['First, for all that follows', `export WRIT_ISSUER=${issuer} WRIT_DATA_DIR=${join(folder, 'data')}`],
    ['', 'export ADMIN="Authorization: Bearer $(cat $WRIT_DATA_DIR/admin-token)"'],
    ['Who may do what: the sessions, and the log as it grows', `${WRIT} sessions list`, `${WRIT} log --follow`],
    ['Change the registry: edit the file, look at the difference, apply it'],
    ['', `${WRIT} apply -f ${join(folder, 'registry.yaml')} --dry-run`],
    ['The admin API, and its description', 'curl -H "$ADMIN" $WRIT_ISSUER/admin/v1/agents'],
    ['', 'curl -H "$ADMIN" $WRIT_ISSUER/admin/v1/openapi.json'],
    ['What Writ says of itself, and its public keys', 'curl $WRIT_ISSUER/.well-known/oauth-authorization-server'],
    ['', 'curl $WRIT_ISSUER/jwks'],
    ['Without a token nothing runs', `curl -i -X POST ${files.resource}`],
  ];
  terminal.title('Still up. What to try next, in another terminal');
  for (const [about, ...commands] of groups) {
    if (about !== '') terminal.show(terminal.paint.dim(about));
    terminal.show(...commands.map((command) => `  ${command}`));
  }
  terminal.show('', `The admin token is in ${tokenFile}`);
  terminal.say('The code to copy is in scripts/demo: agents.ts, files-server.ts and payments-server.ts.');
  terminal.show('', 'Ctrl-C stops everything and removes its files.');
}
