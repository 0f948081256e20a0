import { spawn } from 'node:child_process';
import { join } from 'node:path';

const COMMAND = join('node_modules', '@redocly', 'cli', 'bin', 'cli.js');

/** Runs Redocly in a directory, with our rules. It tells nobody and asks nobody about it. */
export function redocly(
  args: readonly string[],
  directory: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Readonly<{ code: number | null; text: string }>> {
  const child = spawn(process.execPath, [join(process.cwd(), COMMAND), ...args], {
    cwd: directory,
    env: {
      PATH: process.env['PATH'],
      REDOCLY_TELEMETRY: 'off',
      REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true',
      NO_COLOR: '1',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (more: string) => (text += more));
  return new Promise((resolve) =>
    child.once('close', (code) => {
      resolve({ code, text });
    }),
  );
}
