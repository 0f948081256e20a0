// Prisma's client is generated, not committed. `prisma generate` would try to download a schema engine that it does
// not need for this, which fails in a closed network; pointing it at /bin/true keeps it offline.
import { execFileSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';

const made = 'src/storage/generated/client.ts';
const newer = (a, b) => statSync(a).mtimeMs > statSync(b).mtimeMs;
if (!existsSync(made) || newer('prisma/schema.prisma', made)) {
  execFileSync(process.execPath, ['node_modules/prisma/build/index.js', 'generate'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: '/bin/true', PRISMA_HIDE_UPDATE_MESSAGE: '1' },
  });
}
