import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { databaseKinds } from '../support/databases.js';
import { reevaluated } from '../support/invariants.js';
import { activate } from '../support/policies.js';
import { RS1, startWorld, tool, tools, type World } from '../support/world.js';
import { bearerAssertion, type Reply, startReplica, tokenOf } from '../support/writ.js';

const EVERYTHING =
  '@id("people") permit (principal is Person, action, resource);\n@id("agents") permit (principal is Agent, action, resource);\n';
const NO_WRITES = `${EVERYTHING}@id("no-writes") forbid (principal, action == Action::"${RS1}#write_file", resource);\n`;
const WRITES = { authorization_details: tools(tool('write_file')) };

describe.each(databaseKinds.filter((kind) => kind === 'server'))('what lives at two replicas (%s)', (kind) => {
  let world: World;
  let replica: Awaited<ReturnType<typeof startReplica>>;
  beforeAll(async () => {
    world = await startWorld({ kind });
    replica = await startReplica(world);
    await activate(world, EVERYTHING);
    await reevaluated(world);
  });
  afterAll(async () => {
    await replica.close();
    await world.close();
    expect([...world.faults, ...replica.faults]).toEqual([]);
  });

  const isActive = async (token: string): Promise<boolean> => {
    const form = { ...(await bearerAssertion(world.issuer, world.rs1)), token };
    return ((await replica.post('/introspect', form)).body as { active: boolean }).active;
  };
  const allowed = async (...names: string[]): Promise<void> => {
    const agent = (await world.admin('GET', '/agents/agt_a1')).body as object;
    const allow = [{ resource: RS1, scopes: ['repo:read', 'repo:write'], tools: names }];
    const { status, text } = await world.admin('PUT', '/agents/agt_a1', { ...agent, allow });
    if (status !== 200) throw new Error(text);
  };
  const narrow = (): Promise<void> => allowed('read_file');
  const CHANGES: readonly [string, () => Promise<unknown>, () => Promise<unknown>][] = [
    ['a registry that is narrowed', narrow, () => allowed('read_file', 'write_file')],
    ['a policy set that is activated', () => activate(world, NO_WRITES), () => activate(world, EVERYTHING)],
  ];
  /** How often re-evaluations came to their end, by the version of the registry. */
  const finished = async (): Promise<readonly number[]> => {
    await world.writ.flush();
    const { body } = await world.admin('GET', '/log?kind=policy&limit=200');
    const { items } = body as { items: { facts: { what: string; registry: number } }[] };
    return items.filter(({ facts }) => facts.what === 'reevaluated').map(({ facts }) => facts.registry);
  };
  const at = (n: number): Pick<World, 'post'> => (n % 2 === 0 ? world : replica);

  it.each(CHANGES)(
    '%s leaves no token of a racing exchange that it forbids, and every other one',
    async (_, change, back) => {
      for (let round = 0; round < 4; round++) {
        const reads = tokenOf(await world.exchange());
        const forms = await Promise.all(Array.from({ length: 16 }, () => world.form(WRITES)));
        const racing = forms.map((form, n) => at(n).post('/token', form));
        await racing[round];
        await change();
        const answers: readonly Reply[] = await Promise.all(racing);
        const minted = answers.filter(({ status }) => status === 200).map(tokenOf);
        expect(minted.length).toBeGreaterThan(0);
        const late = await Promise.all([0, 1].map(async (n) => at(n).post('/token', await world.form(WRITES))));
        expect(late.map(({ status }) => status)).toEqual([400, 400]);
        await reevaluated(world);
        expect(await Promise.all(minted.map(isActive))).toEqual(minted.map(() => false));
        expect(await isActive(reads)).toBe(true);
        await back();
        await reevaluated(world);
      }
      const versions = await finished();
      expect(versions.length).toBeGreaterThan(0);
      expect(new Set(versions).size).toBe(versions.length);
    },
  );

  it('ends what a replica left that stopped in the middle: another takes over, and it is recorded once', async () => {
    const minted = await Promise.all(Array.from({ length: 6 }, async () => tokenOf(await world.exchange(WRITES))));
    await world.writ.flush();
    const { prisma } = world.writ.database;
    await narrow();
    const stopped = await prisma.$executeRawUnsafe(
      `UPDATE policy_reevaluation SET holder = 'hold_stopped', held_until = clock_timestamp() + interval '2 seconds',
         passes = 0, place = 0 WHERE finished_at IS NULL`,
    );
    expect(stopped).toBe(1);
    const version = Number((await prisma.policyReevaluation.findFirstOrThrow({ where: { finishedAt: null } })).version);
    await reevaluated(world);
    expect(await Promise.all(minted.map(isActive))).toEqual(minted.map(() => false));
    expect((await finished()).filter((one) => one === version)).toEqual([version]);
    await allowed('read_file', 'write_file');
  });
});
