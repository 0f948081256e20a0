import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { leafFlaws } from '../../src/audit/index.js';
import { ALLOW, type AskingWorld, startAskingWorld } from '../support/asking-world.js';
import { Browser } from '../support/browser.js';
import { ALICE, BOB, type Employee } from '../support/company.js';
import { outcomeOf, report } from '../support/outcomes.js';
import { activate } from '../support/policies.js';
import { tool, tools } from '../support/world.js';
import { type Form, type Reply, request, tokenOf, tokensOf } from '../support/writ.js';

let world: AskingWorld;
beforeAll(async () => {
  world = await startAskingWorld();
}, 60_000);
afterAll(async () => {
  await world.writ.flush();
  const leaves = await world.writ.database.prisma.logLeaf.findMany({ select: { leaf: true } });
  await world.close();
  expect(leaves.flatMap(({ leaf }) => leafFlaws(leaf))).toEqual([]);
  expect(world.faults).toEqual([]);
});

const history = (): string => `${world.place}/history`;
const itemsIn = (body: string): readonly string[] =>
  [...body.matchAll(/<li class="server">([^]*?)<\/li>/g)].map(([, item = '']) =>
    item
      .replaceAll(/<[^>]*>/g, ' ')
      .replaceAll(/\s+/g, ' ')
      .trim(),
  );

/** What the log has is there once it is sequenced and indexed. */
async function caughtUp(): Promise<void> {
  await world.writ.flush();
  const behind = `SELECT 1 FROM log_pending UNION ALL
    SELECT 1 FROM log_tree t LEFT JOIN log_consumer c ON c.name = 'search' WHERE coalesce(c.index, 0) < t.size`;
  for (let tries = 0; tries < 100; tries++) {
    if ((await world.writ.database.prisma.$queryRawUnsafe<object[]>(behind)).length === 0) return;
    await pause(100);
  }
  throw new Error('the index does not catch up');
}

/** The newest, as lines. */
async function newest(browser: Browser): Promise<readonly string[]> {
  await caughtUp();
  return itemsIn((await browser.get(history())).body);
}

async function personToken(employee: Employee): Promise<string> {
  const code = await world.codeFor(world.a1, { prompt: 'consent' }, employee, new Browser());
  return tokensOf(await world.post('/token', await world.codeForm(code, world.a1))).access_token;
}
const does = (subject_token: string, changes: Form = {}): Promise<Reply> =>
  world.exchange({ subject_token, ...changes });
const WRITES = { authorization_details: tools(tool('write_file', { arguments: { path: '/tmp/secret-name' } })) };
const AT = String.raw`\d{4}-\d\d-\d\d \d\d:\d\d UTC`;

describe('what was done in the name of a person, at /approvals/history', () => {
  it('says in plain words what was allowed, refused and asked, and what came of it, without a value of an argument', async () => {
    const [mine, alice] = [await personToken(ALICE), await world.signedIn()];
    tokenOf(await does(mine));
    expect((await newest(alice))[0]).toMatch(new RegExp(`^Planner .* ${AT} · Allowed$`));

    const asked = await world.ask({ path: '/tmp/secret-name' });
    expect((await newest(alice))[0]).toMatch(
      new RegExp(`^Planner Write the file path Files · ${AT} · Waited for an approval$`),
    );
    const page = await alice.get(asked.page);
    await alice.submit(page, { action: 'approve' });
    const token = tokenOf(await world.poll(asked));
    expect((await newest(alice))[0]).toMatch(
      new RegExp(`^Planner Write the file path Files · ${AT} · Approved by a person$`),
    );
    await report(world, [outcomeOf(token)], world.rs1);
    expect((await newest(alice))[0]).toMatch(/· Approved by a person, done$/);

    await activate(world, `${ALLOW} @id("no") forbid (principal, action in Action::"write", resource);`);
    expect((await does(mine, WRITES)).status).toBe(400);
    expect((await newest(alice))[0]).toMatch(new RegExp(`^Planner Write the file path Files · ${AT} · Refused$`));
    await activate(world, ALLOW);
    const failing = tokenOf(await does(mine, WRITES));
    await report(
      world,
      [outcomeOf(failing, { outcome: 'failed', result_sha256: undefined, error: 'timeout' })],
      world.rs1,
    );
    expect((await newest(alice))[0]).toMatch(/^Planner Write the file path Files · .* · Allowed, failed$/);
    const { body } = await alice.get(history());
    expect(body).not.toContain('secret-name');
  });

  it('names to whom an agent handed over, and through whom another acted', async () => {
    const [mine, alice] = [await personToken(ALICE), await world.signedIn()];
    const handed = await does(mine, { audience: world.a2.id, resource: undefined, authorization_details: undefined });
    expect(handed.status).toBe(200);
    expect((await newest(alice))[0]).toMatch(/^Planner Hand over to .* · Allowed$/);
    const done = await world.exchange({ subject_token: tokenOf(handed) }, world.a2);
    expect(done.status).toBe(200);
    expect((await newest(alice))[0]).toMatch(/^.* through Planner .* · Allowed$/);
  });

  it('is on the first page too, with a link to the rest', async () => {
    const alice = await world.signedIn();
    const [first] = await newest(alice);
    const { body } = await alice.get(world.place);
    expect(Buffer.byteLength(body)).toBeLessThan(30_000);
    expect(body).toContain('What was done in my name');
    expect(itemsIn(body)).toContain(first);
  });

  it('goes on by links, the newest first, each once, and shows nothing of others', async () => {
    const [mine, bobs] = [await personToken(ALICE), await personToken(BOB)];
    const [alice, bob] = [await world.signedIn(), await world.signedIn(BOB)];
    const hers = (await all(alice)).length;
    const his = (await all(bob)).length;
    // More than a tile of the index has.
    for (let n = 0; n < 26; n++) await Promise.all(Array.from({ length: 10 }, async () => tokenOf(await does(mine))));
    tokenOf(await does(bobs));
    await caughtUp();
    const shown = await all(alice);
    expect(shown).toHaveLength(hers + 260);
    expect(await all(bob)).toHaveLength(his + 1);
    const times = shown.map((item) => new RegExp(AT).exec(item)?.[0] ?? '');
    expect(times).toEqual([...times].sort().reverse());
    expect((await alice.get(world.place)).body).toContain(`href="${history()}"`);
  }, 60_000);

  /** Every decision that is shown, page by page. */
  async function all(browser: Browser): Promise<readonly string[]> {
    await caughtUp();
    const items: string[] = [];
    for (let next: string | undefined = history(); next !== undefined;) {
      const { body } = await browser.get(next);
      expect(Buffer.byteLength(body)).toBeLessThan(30_000);
      items.push(...itemsIn(body));
      next = /href="([^"]*history\?before=[^"]*)"/.exec(body)?.[1];
    }
    return items;
  }

  it.each(['-1', 'x', '1e9', '0', '999999999999999', '1&before=2'])(
    'is a page whatever is asked: before=%s',
    async (before) => {
      const alice = await world.signedIn();
      const { status, body } = await alice.get(`${history()}?before=${before}`);
      expect([status, /<h1>([^<]*)/.exec(body)?.[1]]).toEqual([200, 'What was done in my name']);
    },
  );

  it('asks whoever is not signed in to sign in, and is no POST', async () => {
    expect((await request(history(), {})).text).toContain('<h1>Sign in to Writ</h1>');
    const posted = await request(history(), { method: 'POST' });
    expect([posted.status, posted.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
  });
});
