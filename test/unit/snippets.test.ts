import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { snippetFlaws } from '../../scripts/proofs/snippets.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'writ-snippets-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});
const file = (...lines: string[]): string => {
  const name = join(folder, 'README.md');
  writeFileSync(name, lines.join('\n'));
  return name;
};

it('finds nothing wrong with snippets that compile under the names of the package', () => {
  const good = [
    "import { createVerifier } from 'writ/verifier';",
    "const verifier = createVerifier({ issuer: 'https://writ.example', resource: 'https://mcp.example/files' });",
  ];
  expect(
    snippetFlaws(file('# Title', '```ts', ...good, '```', '```sh', 'not ts', '```', '```ts', ...good, '```')),
  ).toEqual([]);
}, 60_000);

it('names file and line of what does not compile', () => {
  const bad = ["import { createVerifier } from 'writ/verifier';", '', 'createVerifier({ isuer: 1 });'];
  const flaws = snippetFlaws(file('# Title', '', '```ts', ...bad, '```'));
  expect(flaws).toHaveLength(1);
  expect(flaws[0]).toContain('README.md:6: ');
  expect(flaws[0]).toContain('isuer');
}, 60_000);

it('finds nothing wrong with README.md', () => {
  expect(snippetFlaws('README.md')).toEqual([]);
}, 60_000);
