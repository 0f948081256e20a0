export type { Config, IdentityProvider, Tls } from './config.js';
export { openSecrets, type Secrets } from './development.js';
export { type Environment, type EnvironmentSetting, environmentSettings } from './environment.js';
export { environmentExample } from './example.js';
export { type ReadFile, readTextFile } from './file.js';
export { loadConfig } from './load.js';
export { type ConfigProblem, describeProblem } from './problem.js';
export { Settings } from './settings.js';
export { parseYaml } from './yaml.js';
