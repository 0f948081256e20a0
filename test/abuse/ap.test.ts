import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { ALLOW, ASK, type AskingWorld, type Asked, startAskingWorld } from '../support/asking-world.js';
import type { Browser, Seen } from '../support/browser.js';
import { BOB } from '../support/company.js';
import { activate } from '../support/policies.js';
import { reviewedTool } from '../support/tools.js';
import { RS1 } from '../support/world.js';
import { ADMIN_TOKEN, request } from '../support/writ.js';
import { change } from './sign-in.js';

let world: AskingWorld;
let alice: Browser;
beforeAll(async () => {
  world = await startAskingWorld();
  alice = await world.signedIn();
}, 60_000);
beforeEach(() => world.nothingWaits());
afterAll(async () => {
  await world.close();
  expect(world.faults).toEqual([]);
});

const titleOf = ({ body }: Seen): string | undefined => /<h1>([^<]*)<\/h1>/.exec(body)?.[1];
async function approve(asked: Asked, browser = alice): Promise<string | undefined> {
  return titleOf(await browser.submit(await browser.get(asked.page), { action: 'approve' }));
}
const stateOf = async (asked: Asked): Promise<string> => (await world.held(asked)).state;
const WRITES = { scopes: ['repo:write'], tier: 'medium', action: 'write' } as const;
let count = 0;
const fresh = (): string => `/tmp/${String(++count)}`;
/** A call whose arguments are spelled so. */
const spelled = (text: string): Promise<Asked> =>
  world.ask(
    {},
    {
      more: {
        authorization_details: `[{"type":"mcp_tool_call","locations":["${RS1}"],"actions":["tools/call"],"identifier":"write_file","arguments":${text}}]`,
      },
    },
  );

describe('what was approved', () => {
  it('AP-02 is fetched by the agent that asked and by no other', async () => {
    const asked = await world.ask({ path: fresh() });
    expect(await approve(asked)).toBe('Approved');
    expect((await world.poll(asked, world.a2)).body).toMatchObject({ error: 'invalid_grant' });
    expect((await world.poll(asked)).status).toBe(200);
  });

  it('AP-04 approves nothing else: neither other arguments, nor another tool, nor the same call again', async () => {
    const path = fresh();
    const asked = await world.ask({ path });
    await approve(asked);
    expect((await world.poll(asked)).status).toBe(200);
    const others = [
      await world.ask({ path: `${path}x` }),
      await world.ask({ path }, { name: 'delete_repo' }),
      await world.ask({ path }),
    ];
    expect(new Set([asked, ...others].map(({ id }) => id)).size).toBe(4);
    for (const other of others)
      expect((await world.poll(other)).body).toMatchObject({ error: 'authorization_pending' });
  });

  it.each([
    ['members in another order', '{"a":1,"b":"x"}', '{"b":"x","a":1}', true],
    ['a number spelled otherwise', '{"a":1}', '{"a":1.0e0}', true],
    ['an escape instead of a letter', '{"a":"x"}', '{"a":"\\u0078"}', true],
    ['the same letter composed otherwise', '{"a":"\u00e9"}', '{"a":"e\u0301"}', false],
    ['a text instead of a number', '{"a":1}', '{"a":"1"}', false],
    ['one blank more', '{"a":"rm"}', '{"a":"rm "}', false],
  ])('AP-22 is the same with %s only where RFC 8785 has the same bytes', async (_what, one, other, isSame) => {
    const [first, second] = [await spelled(one), await spelled(other)];
    expect(first.id === second.id).toBe(isSame);
  });

  it.each([
    ['the same member twice', '{"a":1,"a":2}'],
    ['a number that no computer keeps', '{"a":9007199254740993}'],
    ['half a character', '{"a":"\\ud800"}'],
  ])('AP-22 is not asked for with %s', async (_what, text) => {
    await expect(spelled(text)).rejects.toThrow(/invalid_authorization_details/);
  });
});

describe('nobody’s yes', () => {
  it('AP-06 comes by any other way: no API has one, and the administrator’s token opens no page', async () => {
    const asked = await world.ask({ path: fresh() });
    const authorization = `Bearer ${ADMIN_TOKEN}`;
    for (const path of [`/approvals/${asked.id}`, `/approvals/${asked.id}/approve`, '/approvals'])
      expect((await world.admin('POST', path, { action: 'approve' })).status).toBe(404);
    const body = new URLSearchParams({ action: 'approve', token: 'A'.repeat(43), shown: 'A'.repeat(43) });
    const page = await request(asked.page, { method: 'POST', headers: { authorization }, body });
    expect(page.text).toContain('<h1>Sign in to Writ</h1>');
    expect(await stateOf(asked)).toBe('asked');
  });

  it('AP-07 is a no for ever, once the time is over', async () => {
    const asked = await world.ask({ path: fresh() });
    const page = await alice.get(asked.page);
    await world.nothingWaits();
    expect(titleOf(await alice.submit(page, { action: 'approve' }))).toBe('Too late');
    for (let n = 0; n < 2; n++) expect((await world.poll(asked)).body).toMatchObject({ error: 'expired_token' });
    expect(await stateOf(asked)).toBe('expired');
  });
});

describe('AP-19 the world has changed since it was approved', () => {
  it('and policy forbids it now', async () => {
    const asked = await world.ask({ path: fresh() });
    await approve(asked);
    await activate(world, `${ASK} @id("never") forbid (principal, action in Action::"write", resource);`);
    const refused = await world.poll(asked);
    await activate(world, ASK);
    expect(refused.body).toMatchObject({ error: 'transaction_denied', policies: ['never'] });
  });

  it('and another policy asks', async () => {
    const asked = await world.ask({ path: fresh() });
    await approve(asked);
    await activate(
      world,
      `${ALLOW} @id("other") @requires("approval") forbid (principal, action in Action::"write", resource);`,
    );
    const refused = await world.poll(asked);
    await activate(world, ASK);
    expect(refused.body).toMatchObject({ error: 'access_denied' });
  });

  it('and the tool is another one', async () => {
    const asked = await world.ask({ path: fresh() });
    await approve(asked);
    await change(
      world,
      RS1,
      (server) => ({
        ...server,
        tools: (server['tools'] as Record<string, unknown>[]).map((one) =>
          one['name'] === 'write_file'
            ? reviewedTool('write_file', {
                ...WRITES,
                scopes: [...WRITES.scopes],
                description: 'Writes, and sends a copy',
              })
            : one,
        ),
      }),
      'servers',
    );
    expect((await world.poll(asked)).body).toMatchObject({ error: 'access_denied' });
  });

  it('and the person is disabled (AP-08: nothing of theirs goes on)', async () => {
    const asked = await world.ask({ path: fresh() }, { employee: BOB });
    expect(await approve(asked, await world.signedIn(BOB))).toBe('Approved');
    expect((await world.admin('POST', `/persons/${await world.personOf(BOB)}/disable`)).status).toBe(200);
    expect((await world.poll(asked)).body).not.toHaveProperty('access_token');
    expect((await world.poll(asked)).body).not.toMatchObject({ error: 'authorization_pending' });
    await expect(world.signedIn(BOB)).rejects.toThrow();
  });
});
