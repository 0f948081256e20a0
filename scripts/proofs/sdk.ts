import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { closureOf } from './closure.js';
import { manifest } from './manifest.js';

const SDKS = ['verifier', 'agent'] as const;
const ROOT = join('dist', 'src');

/**
 * Writes `writ-verifier` and `writ-agent` as folders that `npm pack` takes: the files that they need from the build, and
 * zod as their only dependency. Whoever installs one of them gets neither Koa nor Prisma.
 */
export function packSdks(target: string): readonly string[] {
  return SDKS.map((sdk) => {
    const folder = join(target, `writ-${sdk}`);
    rmSync(folder, { recursive: true, force: true });
    const { files, packages } = closureOf(join(ROOT, 'sdk', sdk, 'index.js'));
    for (const file of files) {
      const copy = join(folder, relative(ROOT, file));
      mkdirSync(dirname(copy), { recursive: true });
      copyFileSync(file, copy);
    }
    copyFileSync('LICENSE', join(folder, 'LICENSE'));
    writeFileSync(join(folder, 'package.json'), `${JSON.stringify(describe(sdk, packages), null, 2)}\n`);
    return folder;
  });
}

function describe(sdk: (typeof SDKS)[number], packages: readonly string[]): object {
  const { version, license, engines, dependencies } = manifest();
  return {
    name: `writ-${sdk}`,
    version,
    description:
      sdk === 'agent' ? 'Exchanges tokens at Writ for an AI agent.' : 'Verifies the tokens of Writ for an MCP server.',
    license,
    private: true,
    type: 'module',
    engines,
    exports: { '.': `./sdk/${sdk}/index.js` },
    dependencies: Object.fromEntries(packages.map((name) => [name, dependencies[name]])),
  };
}
