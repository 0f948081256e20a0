import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { beforeAll, describe, expect, it } from '@jest/globals';

const FUZZ = 'dist/scripts/fuzz.js';

/** As `npm run fuzz` runs it after the build; the result is on its last line. */
function fuzz(...args: readonly string[]): Promise<Readonly<{ code: number; result: unknown; said: string }>> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [FUZZ, ...args, '--json'], { timeout: 280_000 }, (error, stdout, said) => {
      const last = stdout.trimEnd().split('\n').at(-1) ?? '';
      if (!last.startsWith('{')) reject(new Error(`no result: ${said}`));
      else resolve({ code: error === null ? 0 : 1, result: JSON.parse(last), said });
    });
  });
}

beforeAll(() => {
  if (!existsSync(FUZZ)) throw new Error('npm run build comes first');
});

describe('a server that gets thousands of broken forms, headers, tokens and JSON bodies', () => {
  it('answers each with a 4xx in time, keeps no memory of them, and exchanges as before', async () => {
    const { code, result, said } = await fuzz('--seconds', '10', '--seed', 'ci');
    expect({ code, result, said }).toMatchObject({
      code: 0,
      result: { found: 0, findings: [], exchanges_at_end: true },
    });
    const { cases } = result as { cases: Record<string, number> };
    expect(Object.keys(cases).sort()).toEqual(['forms', 'headers', 'json', 'jwt']);
    for (const count of Object.values(cases)) expect(count).toBeGreaterThan(100);
  }, 300_000);
});
