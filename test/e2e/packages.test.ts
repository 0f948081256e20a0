import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

const npm = (cwd: string, ...args: string[]): string => execFileSync('npm', args, { cwd, encoding: 'utf8' });
const node = (cwd: string, ...args: string[]): string =>
  execFileSync(process.execPath, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

let folder: string;
beforeAll(() => {
  if (!isBuilt()) npm('.', 'run', '-s', 'build');
  folder = mkdtempSync(join(tmpdir(), 'writ-packages-'));
}, 180_000);
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** True when the build is at least as new as every source. */
function isBuilt(): boolean {
  const changed = (file: string): number => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const sources = ['src', 'scripts'].flatMap((root) =>
    readdirSync(root, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => changed(join(root, name))),
  );
  return changed('dist/.tsbuildinfo') >= Math.max(...sources);
}

it('keeps what package.json exports, and gives no server to whoever imports an SDK', () => {
  expect(node('.', 'dist/scripts/check-exports.js')).toBe('');
});

describe.each([
  ['verifier', ['VerifierError', 'challenge', 'createVerifier', 'memoryOnceStore']],
  ['agent', ['AgentError', 'createAgent', 'memoryDeferralStore', 'rotateKey']],
])('the packed %s', (sdk, names) => {
  it('installs in an empty folder with zod alone, and is imported', () => {
    node('.', 'dist/scripts/pack-sdk.js', join(folder, 'packages'));
    const packed = join(folder, 'packages', `writ-${sdk}`);
    const tarball = join(packed, npm(packed, 'pack', '--silent').trim());
    const empty = join(folder, `empty-${sdk}`);
    mkdirSync(empty);
    writeFileSync(join(empty, 'package.json'), '{ "type": "module", "private": true }');
    install(empty, tarball);
    const shown = readdirSync(join(empty, 'node_modules')).filter((name) => !name.startsWith('.'));
    expect(shown.sort()).toEqual([`writ-${sdk}`, 'zod']);
    writeFileSync(
      join(empty, 'use.js'),
      `import * as sdk from 'writ-${sdk}';\nconsole.log(Object.keys(sdk).join(' '));\n`,
    );
    expect(node(empty, 'use.js').trim().split(' ').sort()).toEqual(names);
    const files = readdirSync(join(empty, 'node_modules', `writ-${sdk}`));
    expect(files.sort()).toEqual(['LICENSE', 'base', 'package.json', 'protocol', 'sdk']);
  }, 120_000);
});

/** By npm; where the registry cannot be reached, zod comes from our own folder and the rest is what npm would do. */
function install(empty: string, tarball: string): void {
  const args = ['install', '--silent', '--no-audit', '--no-fund', '--prefer-offline', '--fetch-retries=0', tarball];
  if (spawnSync('npm', args, { cwd: empty }).status === 0) return;
  const sdk = /writ-(\w+)-/.exec(tarball)?.[0].slice(0, -1) ?? '';
  const target = join(empty, 'node_modules', sdk);
  mkdirSync(target, { recursive: true });
  execFileSync('tar', ['-xzf', tarball, '-C', target, '--strip-components=1']);
  const { dependencies } = JSON.parse(readFileSync(join(target, 'package.json'), 'utf8')) as { dependencies: object };
  for (const name of Object.keys(dependencies))
    cpSync(join('node_modules', name), join(empty, 'node_modules', name), { recursive: true });
}
