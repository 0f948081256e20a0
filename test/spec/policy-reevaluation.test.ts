import { describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { activate } from '../support/policies.js';
import { ownWorld, RS1, tool, tools } from '../support/world.js';
import { bearerAssertion, tokenOf } from '../support/writ.js';

const world = await ownWorld();
const PEOPLE = '@id("people") permit (principal is Person, action, resource);\n';
const AGENTS = '@id("agents") permit (principal is Agent, action, resource);\n';
const EVERYTHING = PEOPLE + AGENTS;
const NO_WRITES = `${EVERYTHING}@id("no-writes") forbid (principal, action == Action::"https://mcp1.example#write_file", resource);\n`;

const isActive = async (token: string): Promise<unknown> => {
  const form = { ...(await bearerAssertion(world.issuer, world.rs1)), token };
  return ((await world.post('/introspect', form)).body as { active: boolean }).active;
};
const tokenFor = async (name: string): Promise<string> =>
  tokenOf(await world.exchange({ authorization_details: tools(tool(name)) }));
const stage = async (text: string): Promise<string> => {
  const staged = await world.admin('POST', '/policies', { files: [{ path: 'rules.cedar', text }] });
  return (staged.body as { hash: string }).hash;
};
const records = async (what: string): Promise<readonly { facts: Record<string, unknown> }[]> => {
  const { body } = await world.admin('GET', '/log?kind=policy&limit=200');
  const { items } = body as { items: { facts: Record<string, unknown> }[] };
  return items.filter(({ facts }) => facts['what'] === what);
};

async function eventually<T>(ask: () => Promise<T>, wanted: (answer: T) => boolean): Promise<T> {
  for (;;) {
    const answer = await ask();
    if (wanted(answer)) return answer;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Done once more after what was under way at the change must have come to its end. */
const secondPass = (): Promise<unknown> =>
  world.writ.database.prisma.$executeRawUnsafe(
    `UPDATE policy_reevaluation SET begun_at = begun_at - interval '10 seconds' WHERE finished_at IS NULL`,
  );

describe('a policy set that is activated', () => {
  it('shows first which live sessions would lose what, then ends that and nothing else, and records it', async () => {
    await activate(world, EVERYTHING);
    const [reads, writes] = [await tokenFor('read_file'), await tokenFor('write_file')];
    await world.writ.flush();
    const hash = await stage(NO_WRITES);
    const { sub, writ } = decodeJwt(writes) as { sub: string; writ: { session: string } };
    const effect = await world.admin('GET', `/policies/${encodeURIComponent(hash)}/effect`);
    expect([effect.status, effect.body]).toEqual([
      200,
      {
        ...{ considered: 2, complete: true, tokens: 1, undecided: 0, sessions_ended: 0, sessions_narrowed: 1, more: 0 },
        next: null,
        losses: [
          {
            ...{ session: writ.session, agent: world.a1.id, person: sub, because: 'policy' },
            ...{ tool: 'https://mcp1.example#write_file', to: 'deny', tokens: 1 },
          },
        ],
      },
    ]);
    expect([await isActive(reads), await isActive(writes)]).toEqual([true, true]);
    await activate(world, NO_WRITES);
    await eventually(
      () => isActive(writes),
      (active) => active === false,
    );
    expect(await isActive(reads)).toBe(true);
    expect((await world.admin('GET', `/sessions/${writ.session}`)).body).toMatchObject({ status: 'active' });
    await secondPass();
    const [done] = await eventually(
      async () => (await records('reevaluated')).filter(({ facts }) => facts['policy'] === hash),
      (found) => found.length > 0,
    );
    expect(done?.facts).toEqual({
      ...{ what: 'reevaluated', policy: hash, ended: 1, undecided: 0 },
      registry: expect.any(Number),
    });
  });

  it('is not previewed when nobody kept it, or from a place that is none', async () => {
    const lost = await world.admin('GET', '/policies/sha256%3Anone/effect?after=here');
    expect([lost.status, (lost.body as { param: string }).param]).toEqual([400, 'after']);
    const unknown = await world.admin('GET', '/policies/sha256%3Anone/effect');
    expect([unknown.status, (unknown.body as { code: string }).code]).toEqual([404, 'not_found']);
  });

  it('ends what cannot be decided again, since nobody kept what it was decided on, and says how much that was', async () => {
    await activate(world, EVERYTHING);
    const [reads, lists] = [await tokenFor('read_file'), await tokenFor('list_files')];
    await world.writ.flush();
    const { writ } = decodeJwt(lists) as { writ: { decision: string } };
    await world.writ.database.prisma.$executeRawUnsafe('DELETE FROM decision_input WHERE decision = $1', writ.decision);
    const text = `${EVERYTHING}// once more\n`;
    const hash = await stage(text);
    expect((await world.admin('GET', `/policies/${encodeURIComponent(hash)}/effect`)).body).toMatchObject({
      ...{ undecided: 1, tokens: 1, losses: [{ because: 'undecided', tokens: 1 }] },
    });
    await activate(world, text);
    await secondPass();
    await eventually(
      () => isActive(lists),
      (active) => active === false,
    );
    expect(await isActive(reads)).toBe(true);
    const [done] = await eventually(
      async () => (await records('reevaluated')).filter(({ facts }) => facts['policy'] === hash),
      (found) => found.length > 0,
    );
    expect(done?.facts).toMatchObject({ ended: 1, undecided: 1 });
  });
});

describe('a narrowed registry', () => {
  const change = async (kind: 'agents' | 'servers', id: string, changes: object): Promise<void> => {
    const object = (await world.admin('GET', `/${kind}/${encodeURIComponent(id)}`)).body as object;
    const { status, text } = await world.admin('POST', '/apply', { [kind]: [{ ...object, ...changes }] });
    if (status !== 200) throw new Error(text);
  };
  const begun = (): Promise<number> => world.writ.database.prisma.policyReevaluation.count();
  const ends = (token: string): Promise<unknown> =>
    eventually(
      () => isActive(token),
      (active) => active === false,
    );
  const through = (): Promise<unknown> =>
    eventually(
      () => world.writ.database.prisma.policyReevaluation.count({ where: { finishedAt: null, passes: 0 } }),
      (left) => left === 0,
    );
  const threeTokens = async (): Promise<[reads: string, lists: string, writes: string]> => [
    await tokenFor('read_file'),
    await tokenFor('list_files'),
    await tokenFor('write_file'),
  ];
  const allowed = (...names: string[]): object => ({
    allow: [{ resource: RS1, scopes: ['repo:read', 'repo:write'], tools: names }],
  });
  const classed = async (name: string, classes: object): Promise<void> => {
    const { tools: all } = (await world.admin('GET', `/servers/${encodeURIComponent(RS1)}`)).body as {
      tools: { name: string }[];
    };
    await change('servers', RS1, { tools: all.map((one) => (one.name === name ? { ...one, ...classes } : one)) });
  };

  it('ends the tokens that are beyond an agent’s new ceiling or beneath a tool’s new tier, and no session', async () => {
    await activate(world, EVERYTHING);
    await change('agents', 'agt_a1', allowed('read_file', 'list_files', 'write_file'));
    const [reads, lists, writes] = await threeTokens();
    await world.writ.flush();
    await change('agents', 'agt_a1', allowed('read_file', 'list_files'));
    await ends(writes);
    expect([await isActive(reads), await isActive(lists)]).toEqual([true, true]);
    const { writ } = decodeJwt(writes) as { writ: { session: string } };
    expect((await world.admin('GET', `/sessions/${writ.session}`)).body).toMatchObject({ status: 'active' });
    await classed('list_files', { tier: 'high' });
    await ends(lists);
    await classed('list_files', { tier: 'low' });
    expect(await isActive(reads)).toBe(true);
  });

  it('is held against what policies say of a tool in its new classes, raised or lowered, and nothing else ends', async () => {
    await activate(
      world,
      `${EVERYTHING}@id("medium-writes") forbid (principal, action in Action::"write", resource)
         unless { action in Action::"tier:medium" };\n`,
    );
    await change('agents', 'agt_a1', allowed('read_file', 'list_files', 'write_file'));
    const [reads, lists, writes] = await threeTokens();
    await world.writ.flush();
    await classed('list_files', { action: 'write' });
    await ends(lists);
    await classed('write_file', { tier: 'low' });
    await ends(writes);
    await secondPass();
    await through();
    expect(await isActive(reads)).toBe(true);
    await classed('write_file', { tier: 'medium' });
    await classed('list_files', { action: 'read' });
  });

  it('is what a set is previewed with, however lately the set was previewed before', async () => {
    await activate(world, EVERYTHING);
    await tokenFor('write_file');
    await world.writ.flush();
    const hash = await stage(
      `${EVERYTHING}@id("few-writes") forbid (principal, action in Action::"write", resource) unless { action in Action::"tier:medium" };\n`,
    );
    const ending = async (): Promise<readonly string[]> => {
      const { body } = await world.admin('GET', `/policies/${encodeURIComponent(hash)}/effect`);
      return (body as { losses: { tool: string }[] }).losses.map(({ tool: name }) => name);
    };
    expect([await ending(), await ending()]).toEqual([[], []]);
    await classed('write_file', { tier: 'low' });
    expect(await ending()).toEqual([`${RS1}#write_file`]);
    await classed('write_file', { tier: 'medium' });
  });

  it('is held against what policies say of an agent that proves less who it is', async () => {
    await activate(
      world,
      `${EVERYTHING}@id("keys-only") forbid (principal, action == Action::"https://mcp1.example#list_files", resource)
         unless { context.chain has authentication && context.chain.authentication == "private_key_jwt" };\n`,
    );
    const [reads, lists] = [await tokenFor('read_file'), await tokenFor('list_files')];
    await world.writ.flush();
    const { body } = await world.admin('GET', '/agents/agt_a1');
    const { authentication } = body as { authentication: object };
    await change('agents', 'agt_a1', { authentication: { method: 'client_secret_basic' } });
    await ends(lists);
    expect(await isActive(reads)).toBe(true);
    await change('agents', 'agt_a1', { authentication });
  });

  it('ends no token of which nobody kept what was decided over, when the set is the one that allowed it', async () => {
    await activate(world, EVERYTHING);
    await change('agents', 'agt_a1', allowed('read_file', 'list_files', 'write_file'));
    const reads = await tokenFor('read_file');
    await world.writ.flush();
    const { writ } = decodeJwt(reads) as { writ: { decision: string } };
    await world.writ.database.prisma.$executeRawUnsafe('DELETE FROM decision_input WHERE decision = $1', writ.decision);
    const before = await begun();
    await activate(world, EVERYTHING);
    expect(await begun()).toBe(before);
    await change('agents', 'agt_a1', allowed('read_file', 'list_files'));
    expect(await begun()).toBe(before + 1);
    await secondPass();
    await eventually(
      () => world.writ.database.prisma.policyReevaluation.count({ where: { finishedAt: null } }),
      (left) => left === 0,
    );
    expect(await isActive(reads)).toBe(true);
  });

  it('is re-evaluated for what it takes, and for nothing that it gives', async () => {
    const before = await begun();
    await change('agents', 'agt_a1', allowed('read_file', 'list_files', 'write_file', 'delete_repo'));
    await change('agents', 'agt_a1', { purpose: 'more tests' });
    expect(await begun()).toBe(before);
    await change('agents', 'agt_a1', { allow: [{ resource: RS1, scopes: ['repo:read'], tools: '*' }] });
    expect(await begun()).toBe(before + 1);
  });
});
