import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { activate } from '../support/policies.js';
import { reviewedTool } from '../support/tools.js';
import { RS1, startWorld, type World } from '../support/world.js';

const READS = `@id("people-read")
permit (principal is Person, action in Action::"read", resource);

@id("agents-read")
permit (principal is Agent, action in Action::"read", resource);
`;
const NOTHING = '@id("nothing")\nforbid (principal, action, resource);\n';

let world: World;
let first: string;
beforeAll(async () => {
  world = await startWorld();
  first = ((await world.admin('GET', '/policies')).body as { items: { hash: string }[] }).items[0]?.hash ?? '';
});
afterAll(() => world.close());

const stage = (text: string, path = 'rules.cedar', query = '') =>
  world.admin('POST', `/policies${query}`, { files: [{ path, text }] });
const flawsOf = (body: unknown) => {
  const { code, param, errors } = body as { code: string; param: string; errors?: { param: string; detail: string }[] };
  return { code, flaws: errors ?? [{ param, detail: (body as { detail: string }).detail }] };
};
const active = async () => {
  const { items } = (await world.admin('GET', '/policies')).body as { items: { hash: string; active: boolean }[] };
  return items.filter((set) => set.active).map(({ hash }) => hash);
};

describe('a policy set', () => {
  it('is there from the start, activated by Writ itself', async () => {
    const { body } = await world.admin('GET', '/policies');
    expect(body).toEqual({
      items: [
        {
          hash: expect.stringMatching(/^sha256:[\w-]{43}$/),
          active: true,
          staged_at: expect.any(String),
          staged_by: 'writ',
          activated_at: expect.any(String),
          activated_by: 'writ',
          replaced: null,
        },
      ],
      next: null,
    });
  });

  it('is kept whole, decides nothing before it is activated, and can be read again', async () => {
    const staged = await stage(READS);
    const { hash } = staged.body as { hash: string };
    expect([staged.status, staged.body]).toEqual([201, { result: 'staged', hash, policies: 2 }]);
    expect((await stage(READS)).body).toEqual({ result: 'known', hash, policies: 2 });
    expect((await world.admin('GET', `/policies/${hash}`)).body).toEqual({
      hash,
      files: [{ path: 'rules.cedar', text: READS }],
    });
    expect(await active()).toEqual([first]);
  });

  it('is listed page by page, and not from after what is not in the list', async () => {
    for (const path of ['/policies', '/keys'])
      expect(await world.admin('GET', `${path}?after=unknown`)).toMatchObject({
        status: 400,
        body: { code: 'invalid_field', param: 'after' },
      });
    const all = (await world.admin('GET', '/policies')).body as { items: { hash: string }[] };
    const { body } = await world.admin('GET', `/policies?after=${String(all.items[0]?.hash)}`);
    expect(body).toEqual({ items: all.items.slice(1), next: null });
    const first = (await world.admin('GET', '/policies?limit=1')).body as { items: object[]; next: string | null };
    expect([first.items, first.next]).toEqual([
      all.items.slice(0, 1),
      all.items.length > 1 ? all.items[0]?.hash : null,
    ]);
  });

  it('is tried without being kept', async () => {
    const tried = await stage(NOTHING, 'rules.cedar', '?dry_run=true');
    const { hash } = tried.body as { hash: string };
    expect([tried.status, tried.body]).toEqual([201, { result: 'would_be_staged', hash, policies: 1 }]);
    expect((await world.admin('GET', `/policies/${hash}`)).status).toBe(404);
  });

  it.each([
    ['a syntax error', 'permit (principal, action resource);', /^files rules\.cedar:1:\d+/],
    ['a policy without an id', `${READS}permit (principal, action, resource);`, /^files rules\.cedar:6:1/],
    ['two policies with one id', `${NOTHING}${NOTHING}`, /^files rules\.cedar:3:1 \(nothing\)/],
    [
      'a tool that nobody registered',
      '@id("a")\npermit (principal, action == Action::"https://x.example#y", resource);',
      /^files rules\.cedar:2:\d+/,
    ],
    [
      'an argument that no schema has',
      '@id("a")\npermit (principal, action in Action::"read", resource) when { context.arguments.x == 1 };',
      /^files rules\.cedar:\d+:\d+/,
    ],
    [
      'an unknown annotation',
      '@id("a") @require("approval")\nforbid (principal, action, resource);',
      /^files rules\.cedar:1:1/,
    ],
  ])('is refused whole for %s, with line and column, and the live one stays', async (_title, text, place) => {
    const answer = await stage(text);
    const { code, flaws } = flawsOf(answer.body);
    expect([answer.status, code, flaws.length]).toEqual([400, 'invalid_field', expect.any(Number)]);
    expect(flaws[0]?.param).toMatch(place);
    expect(await active()).toEqual([first]);
    expect((await world.exchange()).status).toBe(200);
  });

  it('is refused when it has 10 MB', async () => {
    const answer = await stage(`${'// padding\n'.repeat(1_000_000)}${READS}`);
    expect([answer.status, (answer.body as { code: string }).code]).toEqual([413, 'too_large']);
  });

  it('is obeyed by every exchange after its activation, and rolled back in one step', async () => {
    const hash = await activate(world, NOTHING);
    const refused = await world.exchange();
    expect([refused.status, refused.body]).toMatchObject([400, { error: 'transaction_denied', policies: ['nothing'] }]);
    const back = await world.admin('POST', '/policies/rollback');
    expect([back.status, back.body]).toEqual([
      200,
      { result: 'activated', hash: first, before: hash, version: expect.any(Number) },
    ]);
    expect((await world.exchange()).status).toBe(200);
    const { body } = await world.admin('GET', '/log?kind=policy&limit=200');
    const records = (body as { items: { facts: object }[] }).items.map(({ facts }) => facts);
    expect(records.slice(-2)).toMatchObject([
      { what: 'activated', policy: hash, before: first, by: 'admin-token' },
      { what: 'activated', policy: first, before: hash, by: 'admin-token' },
    ]);
  });

  it('is known by its hash or not at all', async () => {
    const answer = await world.admin('POST', '/policies/sha256:none/activate');
    expect([answer.status, (answer.body as { code: string }).code]).toEqual([404, 'not_found']);
  });

  it('keeps the tools that it names: a change that it would not fit is refused and names the policy', async () => {
    await activate(
      world,
      `${READS}\n@id("names-one")\nforbid (principal, action == Action::"${RS1}#wipe", resource);\n`,
    );
    const { body } = await world.admin('GET', `/servers/${encodeURIComponent(RS1)}`);
    const server = body as Record<string, unknown> & { tools: { name: string }[] };
    const without = { ...server, tools: server.tools.filter(({ name }) => name !== 'wipe') };
    const answer = await world.admin('POST', '/apply', { servers: [without] });
    const { flaws } = flawsOf(answer.body);
    expect([answer.status, flaws[0]?.detail]).toEqual([
      400,
      expect.stringMatching(/^servers.0.tools: the active policy rules\.cedar:8:\d+ \(names-one\) would not fit: /),
    ]);
    const more = {
      ...server,
      tools: [...server.tools, reviewedTool('one_more', { scopes: ['repo:read'], tier: 'low', action: 'read' })],
    };
    expect((await world.admin('POST', '/apply', { servers: [more] })).status).toBe(200);
    await world.admin('POST', '/policies/rollback');
  });
});
