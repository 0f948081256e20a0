import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Fault } from '../base/index.js';

/** The `.cedar` files of a folder, with the schemas and entities of applications, in the order of their names. Throws a Fault that names the folder when it cannot be read. */
export function readPolicyFiles(folder = shippedPolicies()): readonly Readonly<{ path: string; text: string }>[] {
  try {
    const names = readdirSync(folder).filter((name) => /\.(cedar|cedarschema|entities\.json)$/.test(name));
    return names.sort().map((path) => ({ path, text: readFileSync(join(folder, path), 'utf8') }));
  } catch (cause) {
    throw new Fault('configuration_invalid', `The policies (WRIT_POLICIES) cannot be read from ${folder}.`, { cause });
  }
}

/** Works from src/ and from dist/src/ alike. */
function shippedPolicies(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'config', 'policies'))) {
    if (folder === dirname(folder))
      throw new Fault('configuration_invalid', 'This installation has no config/policies.');
    folder = dirname(folder);
  }
  return join(folder, 'config', 'policies');
}
