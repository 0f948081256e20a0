import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect, it } from '@jest/globals';
import { newKey, witness } from '../support/log-book.js';
import { startWorld } from '../support/world.js';
import { freePort } from '../support/writ.js';

it('tells of every witness and every copy that fails, each once, and keeps the copies that do not', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'writ-copies-'));
  const [gone, copy] = [join(folder, 'no', 'such', 'folder'), join(folder, 'copy')];
  const away = `http://127.0.0.1:${String(await freePort())}`;
  const world = await startWorld({
    env: {
      WRIT_LOG_WITNESSES: `${away} ${witness('witness.example/w1', newKey()).text}`,
      WRIT_LOG_COPIES: `${gone},${copy}`,
    },
  });
  const told = (): string[] =>
    world.faults.map((thrown) => (thrown instanceof Error ? thrown.message : String(thrown)));
  while (told().length < 2) await pause(100);
  // The next round fails in the same ways.
  await pause(6_000);
  const ages = await agesOfFollowers(world.issuer);
  expect(ages['witness 1']).toBeGreaterThanOrEqual(6);
  expect(ages['copy 1']).toBeGreaterThanOrEqual(6);
  expect(ages['copy 2']).toBeLessThan(ages['copy 1'] ?? 0);
  expect(told().sort()).toEqual([
    expect.stringContaining('ENOENT'),
    expect.stringMatching(new RegExp(`^the witness at ${away} did not cosign \\d+ entries: unreachable$`)),
  ]);
  expect(readFileSync(copy, 'utf8')).toContain('/audit\n');
  await world.close();
  rmSync(folder, { recursive: true });
}, 60_000);

async function agesOfFollowers(issuer: string): Promise<Record<string, number>> {
  const text = await (await fetch(`${issuer}/metrics`)).text();
  const lines = text.matchAll(/^writ_log_follower_age_seconds\{follower="([^"]+)"\} (\S+)$/gm);
  return Object.fromEntries([...lines].map(([, name = '', age]) => [name, Number(age)] as const));
}
