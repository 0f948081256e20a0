import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { run } from '../../src/cli/index.js';
import { databaseKinds } from '../support/databases.js';
import { startWorld, type World } from '../support/world.js';
import { ADMIN_TOKEN, request } from '../support/writ.js';

const until = async (isSo: () => Promise<boolean>): Promise<void> => {
  for (let waited = 0; !(await isSo()); waited += 50) {
    if (waited > 15_000) throw new Error('not in time');
    await pause(50);
  }
};

const readyOf = async (world: World): Promise<unknown> => (await request(`${world.issuer}/readyz`, {})).body;
const sizeOf = async (world: World): Promise<number> =>
  Number((await request(`${world.issuer}/audit/v1/checkpoint`, {})).text.split('\n')[1]);

describe.each(databaseKinds)('a log that was cut off (%s)', (kind) => {
  it('refuses exchanges until an operator says that it goes on, which is a record (AU-03, AU-04)', async () => {
    const world = await startWorld({ kind });
    const { prisma } = world.writ.database;
    for (let n = 0; n < 3; n++) expect((await world.exchange()).status).toBe(200);
    const pending = async (): Promise<number> => prisma.logPending.count();
    await until(async () => (await pending()) === 0);
    const size = await sizeOf(world);
    const copy = (await request(`${world.issuer}/audit/v1/checkpoint`, {})).text;
    // With their leaves: what still has its leaf has its place again afterwards.
    await prisma.$executeRawUnsafe(
      `WITH gone AS (DELETE FROM log_entry WHERE index >= ${size - 2} RETURNING leaf_id)
       DELETE FROM log_leaf WHERE id IN (SELECT leaf_id FROM gone)`,
    );
    await prisma.$executeRawUnsafe(`DELETE FROM log_checkpoint WHERE size > ${size - 2}`);
    await prisma.$executeRawUnsafe(`UPDATE log_tree SET size = ${size - 2}`);

    await until(async () => (await world.exchange()).status === 503);
    expect(await readyOf(world)).toEqual({ status: 'not_ready', reasons: ['log_inconsistent'] });
    expect((await world.exchange()).body).toEqual({
      error: 'temporarily_unavailable',
      error_description: expect.any(String),
    });

    const out: string[] = [];
    const code = await run(['audit', 'recover', '--reason', 'INC-1'], {
      env: { WRIT_ISSUER: world.issuer, WRIT_ADMIN_TOKEN: ADMIN_TOKEN },
      readFile: () => undefined,
      makePrivateFile: () => false,
      readStdin: () => Promise.resolve(''),
      out: (text) => out.push(text),
      err: (text) => out.push(text),
    });
    expect([code, out.join('\n')]).toEqual([
      0,
      expect.stringMatching(/^The log goes on from \d+ entries \(it said \d+\)/),
    ]);
    await until(async () => (await world.exchange()).status === 200);
    await until(async () => (await pending()) === 0);
    expect(await readyOf(world)).toEqual({ status: 'ready' });
    const { items } = (await world.admin('GET', '/log?kind=key&limit=200')).body as { items: { facts: unknown }[] };
    expect(items.map(({ facts }) => facts)).toContainEqual(
      expect.objectContaining({ what: 'log_recovered', had: size - 2, size: size - 2, by: expect.any(String) }),
    );
    expect((await world.admin('POST', '/log/recovery', { reason: 'again' })).status).toBe(409);

    await until(async () => (await sizeOf(world)) > Number(copy.split('\n')[1]));
    const { keys } = (await request(`${world.issuer}/audit/v1/keys`, {})).body as { keys: { vkey: string }[] };
    const said: string[] = [];
    const verdict = await run(
      ['audit', 'verify', `${world.issuer}/audit/v1`, '--key', keys[0]?.vkey ?? '', '--copy', 'older'],
      {
        env: {},
        readFile: () => copy,
        makePrivateFile: () => false,
        readStdin: () => Promise.resolve(''),
        out: (text) => said.push(text),
        err: (text) => said.push(text),
      },
    );
    const parted = `inconsistent: the copy of ${copy.split('\n')[1] ?? ''} entries is of another history`;
    expect([verdict, said.join('\n')]).toEqual([1, expect.stringContaining(parted)]);
    await world.close();
  }, 120_000);
});
