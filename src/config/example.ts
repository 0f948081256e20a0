import { environmentSettings } from './environment.js';

/** The text of .env.example: every variable with what it does and its default, all of them commented out. */
export function environmentExample(): string {
  const settings = environmentSettings.map(({ env, about, standard, example }) =>
    [
      `# ${about}`,
      ...(example === undefined ? [] : [`# For example: ${example}`]),
      `# ${env}=${standard ?? ''}`,
      '',
    ].join('\n'),
  );
  return [HEAD, ...settings].join('\n');
}

const HEAD = `# Every environment variable that Writ reads, with its default. Generated from the configuration schema by
# \`npm run env-example\`; do not edit. A variable wins over the same setting in the file, and an empty one counts as unset.

# The configuration file (YAML).
# WRIT_CONFIG=config/writ.yaml
`;
