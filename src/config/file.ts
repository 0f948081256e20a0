import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { err, ok, type Result } from '../base/index.js';
import type { JsonObject } from '../protocol/index.js';
import { type ConfigProblem } from './problem.js';
import { parseYaml } from './yaml.js';

/** Reads a text file; `undefined` when there is none. May throw when there is one that cannot be read. */
export type ReadFile = (path: string) => string | undefined;

/** {@link ReadFile} on the real file system. Relative paths start at the working directory. */
export const readTextFile: ReadFile = (path) => (existsSync(path) ? readFileSync(path, 'utf8') : undefined);

const STANDARD = join('config', 'writ.yaml');

/** The settings of `WRIT_CONFIG`; without it those of config/writ.yaml here or in the package, or none at all. */
export function readConfigFile(named: string | undefined, readFile: ReadFile): Result<JsonObject, ConfigProblem> {
  if (named !== undefined && named !== '') {
    const text = readNamed(named, readFile);
    return text.ok ? parseSettings(text.value, named) : err(fileProblem(text.error));
  }
  const text = readNamed(STANDARD, readFile);
  if (text.ok) return parseSettings(text.value, STANDARD);
  const packaged = packagedFile();
  const fallback = packaged === undefined ? undefined : readFile(packaged);
  return fallback === undefined ? ok({}) : parseSettings(fallback, STANDARD);
}

/** A file that a setting names: its text, or why there is none. */
export function readNamed(path: string, readFile: ReadFile): Result<string, string> {
  try {
    const text = readFile(path);
    return text === undefined ? err(`there is no file ${path}`) : ok(text);
  } catch {
    return err(`the file ${path} cannot be read; check its permissions`);
  }
}

function parseSettings(text: string, path: string): Result<JsonObject, ConfigProblem> {
  const documents = parseYaml(text);
  if (!documents.ok) return err(fileProblem(`${path}: ${documents.error}`));
  const [settings, ...others] = documents.value;
  return others.length === 0 ? ok(settings ?? {}) : err(fileProblem(`${path} must hold one YAML document`));
}

const fileProblem = (message: string): ConfigProblem => ({ path: 'WRIT_CONFIG', env: 'WRIT_CONFIG', message });

function packagedFile(): string | undefined {
  for (let at = dirname(fileURLToPath(import.meta.url)); at !== dirname(at); at = dirname(at)) {
    if (existsSync(join(at, 'package.json'))) return join(at, STANDARD);
  }
  return undefined;
}
