import { existsSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, normalize } from 'node:path';
import ts from 'typescript';

/** All files that come with a module, types included, and the packages that they name. */
export type Closure = Readonly<{ files: readonly string[]; packages: readonly string[] }>;

export function closureOf(entry: string): Closure {
  const files = new Set<string>();
  const packages = new Set<string>();
  const visit = (file: string): void => {
    if (files.has(file)) return;
    files.add(file);
    if (file.endsWith('.js')) visit(file.replace(/\.js$/, '.d.ts'));
    for (const { fileName } of ts.preProcessFile(readFileSync(file, 'utf8')).importedFiles) {
      if (fileName.startsWith('.')) visit(normalize(join(dirname(file), fileName)));
      else if (!isBuiltin(fileName)) packages.add(packageOf(fileName));
    }
  };
  visit(entry);
  return { files: [...files].sort(), packages: [...packages].sort() };
}

const packageOf = (specifier: string): string =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');

/** What `exports` of package.json promises and the build does not keep, or keeps with more than it may. */
export async function exportFlaws(exports: Readonly<Record<string, string>>): Promise<readonly string[]> {
  const flaws: string[] = [];
  for (const [name, target] of Object.entries(exports)) {
    const file = normalize(target);
    if (!existsSync(file)) {
      flaws.push(`${name}: ${target} does not exist`);
      continue;
    }
    const exported: object = (await import(join(process.cwd(), file))) as object;
    if (Object.keys(exported).length === 0) flaws.push(`${name}: exports nothing`);
    const folders = MAY[name];
    if (folders !== undefined)
      flaws.push(...beyond(closureOf(file), folders).map((one) => `${name}: comes with ${one}`));
  }
  return flaws;
}

/** STYLE C: what whoever installs one of these gets with it. */
const MAY: Readonly<Record<string, readonly string[]>> = {
  './verifier': ['base', 'protocol', 'sdk/verifier'],
  './agent': ['base', 'protocol', 'sdk/agent'],
  './auditor': ['base', 'protocol', 'tlog', 'sdk/auditor'],
  './protocol': ['base', 'protocol'],
};
const PACKAGES = ['zod'];

const beyond = ({ files, packages }: Closure, folders: readonly string[]): readonly string[] => [
  ...files.filter((file) => !folders.some((folder) => file.startsWith(join('dist', 'src', folder, '/')))),
  ...packages.filter((name) => !PACKAGES.includes(name)),
];
