import { describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { activate } from '../support/policies.js';
import { ownWorld, tool, tools } from '../support/world.js';
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
        considered: 2,
        undecided: 0,
        losses: [
          {
            ...{ session: writ.session, agent: world.a1.id, person: sub },
            ...{ tool: 'https://mcp1.example#write_file', to: 'deny', tokens: 1 },
          },
        ],
        next: null,
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
    const unknown = await world.admin('GET', '/policies/sha256%3Anone/effect');
    expect([unknown.status, (unknown.body as { code: string }).code]).toEqual([404, 'not_found']);
    const lost = await world.admin('GET', '/policies/sha256%3Anone/effect?after=here');
    expect([lost.status, (lost.body as { param: string }).param]).toEqual([400, 'after']);
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
      ...{ undecided: 1, losses: [] },
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
