import { environmentSettings } from './environment.js';

/** Why Writ does not start: which setting, by its name in the file and in the environment, and what to do about it. */
export type ConfigProblem = Readonly<{ path: string; env: string | undefined; message: string }>;

/** A problem of the setting at `path` (dots between names). The message never holds the value, which may be a secret. */
export function problem(path: string, message: string): ConfigProblem {
  const setting = environmentSettings.find((candidate) => candidate.path.join('.') === path.replace(/\.\d+$/, ''));
  return { path, env: setting?.env, message };
}

/** One line for people: `WRIT_PORT (port): must be 1 to 65535`. */
export const describeProblem = ({ path, env, message }: ConfigProblem): string =>
  `${env === undefined || env === path ? path : `${env} (${path})`}: ${message}`;
