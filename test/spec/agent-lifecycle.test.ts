import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { OWNER, PEOPLE, SPONSOR } from '../support/accountable.js';
import { systemClock } from '../../src/base/index.js';
import { run } from '../../src/cli/index.js';
import { hashSecret } from '../../src/client/index.js';
import { stopOrphans } from '../../src/registry/index.js';
import { leafOf, openAccountablePeople, openPersons, openRegistry } from '../../src/storage/index.js';
import { databaseKinds } from '../support/databases.js';
import { ownWorld, RS1, RS2, startWorld, type World } from '../support/world.js';
import { ADMIN_TOKEN, bearerAssertion, type Reply, startReplica, tokenOf } from '../support/writ.js';

const world = await ownWorld();

const agentOf = async (id: string): Promise<Record<string, unknown>> =>
  (await world.admin('GET', `/agents/${id}`)).body as Record<string, unknown>;
const disable = (person: string, body?: object, query = '') =>
  world.admin('POST', `/persons/${person}/disable${query}`, body);
const introspected = async (token: string): Promise<Reply> =>
  world.post('/introspect', { ...(await bearerAssertion(world.issuer, world.rs1)), token });
/** With a token that the company issued after what was cut off. */
const exchangeAnew = async (): Promise<Reply> => {
  await world.minutePasses();
  return world.exchange();
};
const makePerson = async (n: number): Promise<string> => {
  const id = `prs_heir${String(n).padStart(18, '0')}`;
  await world.writ.database.prisma.$executeRawUnsafe(
    `INSERT INTO person (id, issuer, subject) VALUES ('${id}', '${PEOPLE}', 'heir ${String(n)}')`,
  );
  return id;
};
const restored = async (): Promise<void> => {
  await world.admin('POST', `/persons/${OWNER}/enable`);
  for (const id of [world.a1.id, world.a2.id]) {
    const agent = { ...(await agentOf(id)), owner: OWNER, sponsor: SPONSOR, status: 'active' };
    expect((await world.admin('PUT', `/agents/${id}`, agent)).status).toBe(200);
  }
};

describe('an owner who leaves (OWASP NHI1)', () => {
  it('stops the agents that nobody else answers for, and every token of them', async () => {
    const token = tokenOf(await world.exchange());
    const agents = [world.a1.id, world.a2.id];
    const tried = await disable(OWNER, undefined, '?dry_run=true');
    expect([tried.status, tried.body]).toEqual([
      200,
      {
        ...{ id: OWNER, result: 'would_be_disabled', handed_over: [], stopped: expect.arrayContaining(agents) },
        effect: expect.objectContaining({ complete: true, tokens: 1, sessions_ended: 0, sessions_narrowed: 1 }),
      },
    ]);
    expect((await world.exchange()).status).toBe(200);
    const left = await disable(OWNER);
    expect([left.status, left.body]).toEqual([
      200,
      { id: OWNER, result: 'disabled', handed_over: [], stopped: expect.arrayContaining(agents) },
    ]);
    expect(await agentOf(world.a1.id)).toMatchObject({ status: 'disabled', owner: OWNER });
    expect((await world.exchange()).status).toBe(401);
    expect((await introspected(token)).body).toEqual({ active: false });
    expect((await disable(OWNER)).body).toEqual({
      id: OWNER,
      result: 'already_disabled',
      handed_over: [],
      stopped: [],
    });
    const { text } = await world.admin('GET', '/log?kind=authentication&limit=200');
    expect(text).toContain(`"what":"person_disabled","person":"${OWNER}","by":"admin-token"`);
    await restored();
    expect((await exchangeAnew()).status).toBe(200);
  });

  it('hands them over to somebody who answers for them, and they go on', async () => {
    const heir = await makePerson(1);
    const refused = await disable(OWNER, { hand_over_to: 'platform team' });
    expect([refused.status, (refused.body as { code: string }).code]).toEqual([400, 'invalid_field']);
    const tried = await disable(OWNER, { hand_over_to: heir }, '?dry_run=true');
    expect(tried.body).toMatchObject({
      ...{ result: 'would_be_disabled', stopped: [], effect: { complete: true, tokens: 0, losses: [] } },
      handed_over: expect.arrayContaining([world.a1.id, world.a2.id]),
    });
    const left = await disable(OWNER, { hand_over_to: `${PEOPLE}#heir 1` });
    expect([left.status, left.body]).toEqual([
      200,
      {
        ...{ id: OWNER, result: 'disabled', stopped: [] },
        handed_over: expect.arrayContaining([world.a1.id, world.a2.id]),
      },
    ]);
    expect(await agentOf(world.a1.id)).toMatchObject({ status: 'active', owner: heir, sponsor: SPONSOR });
    expect((await exchangeAnew()).status).toBe(200);
    await restored();
  });

  it('may act no more, and again after being enabled', async () => {
    const token = tokenOf(await exchangeAnew());
    const person = String(decodeJwt(token).sub);
    expect((await disable(person)).body).toMatchObject({ result: 'disabled', handed_over: [], stopped: [] });
    expect((await introspected(token)).body).toEqual({ active: false });
    expect((await world.exchange()).status).toBe(400);
    expect((await world.admin('POST', `/persons/${person}/enable`)).body).toEqual({ id: person, result: 'enabled' });
    expect((await exchangeAnew()).status).toBe(200);
  });

  it('shows first what would end: all that is done in their name, and nothing of others', async () => {
    const [token, other] = [
      tokenOf(await world.exchange({ subject_token: await world.personToken('somebody who leaves') })),
      tokenOf(await world.exchange({ subject_token: await world.personToken('somebody else') })),
    ];
    const { sub, writ } = decodeJwt(token) as { sub: string; writ: { session: string } };
    await world.writ.flush();
    const tried = await disable(sub, undefined, '?dry_run=true');
    const loss = { session: writ.session, agent: world.a1.id, person: sub, to: 'deny', because: 'cut_off', tokens: 1 };
    expect([tried.status, tried.body]).toEqual([
      200,
      {
        ...{ id: sub, result: 'would_be_disabled', handed_over: [], stopped: [] },
        effect: {
          ...{ considered: expect.any(Number), complete: true, tokens: 1, undecided: 0 },
          ...{ sessions_ended: 1, sessions_narrowed: 0, losses: [{ ...loss, tool: expect.any(String) }], more: 0 },
        },
      },
    ]);
    const out: string[] = [];
    const io = {
      ...{ env: { WRIT_ADMIN_TOKEN: ADMIN_TOKEN }, readFile: () => undefined, makePrivateFile: () => false },
      readStdin: () => Promise.resolve(''),
      ...{ out: (text: string) => out.push(text), err: (text: string) => out.push(text) },
    };
    expect(await run(['persons', 'disable', sub, '--dry-run', '--url', world.issuer], io)).toBe(0);
    expect(out.join('\n')).toMatch(
      /would end 1 of \d+ live tokens; sessions: 1 ended, 0 narrowed\n {2}agt_a1 for prs_/,
    );
    expect((await introspected(token)).body).toMatchObject({ active: true });
    await disable(sub);
    expect((await introspected(token)).body).toEqual({ active: false });
    expect((await introspected(other)).body).toMatchObject({ active: true });
    expect((await disable(sub, undefined, '?dry_run=true')).body).toMatchObject({
      effect: { considered: 0, tokens: 0, sessions_ended: 0, losses: [] },
    });
    await world.admin('POST', `/persons/${sub}/enable`);
  });

  it('is nobody when the id is unknown, and no heir of their own', async () => {
    const nobody = 'prs_nobody7890123456789012';
    for (const verb of ['disable', 'enable'])
      expect((await world.admin('POST', `/persons/${nobody}/${verb}`)).status).toBe(404);
    const { issuer, subject } = await world.writ.database.prisma.person.findUniqueOrThrow({ where: { id: OWNER } });
    for (const oneself of [OWNER, `${issuer}#${subject}`])
      expect(await disable(OWNER, { hand_over_to: oneself })).toMatchObject({
        status: 400,
        body: { code: 'invalid_field', param: 'hand_over_to' },
      });
  });
});

describe.each(databaseKinds.filter((kind) => kind === 'server'))('an owner who is gone without a word (%s)', (kind) => {
  let shared: World;
  let replica: Awaited<ReturnType<typeof startReplica>>;
  const sweeps: (() => Promise<readonly string[]>)[] = [];
  const sql = (text: string): Promise<number> => shared.writ.database.prisma.$executeRawUnsafe(text);
  beforeAll(async () => {
    shared = await startWorld({ kind });
    replica = await startReplica(shared);
    const { database } = shared.writ;
    const people = openAccountablePeople(database, openPersons(database, systemClock), systemClock);
    for (const by of ['one', 'other']) {
      const registry = await openRegistry(database, {
        ...{ hashSecret, now: () => systemClock.now() },
        recordOf: ({ kind: what, id, secretWasSet: secret_set }, _, who, version) => {
          const facts = { what, id, secret_set, by: who, registry: version };
          return leafOf({ kind: 'registry', at: systemClock.now(), facts, decision: 'done', reason: 'changed' });
        },
      });
      sweeps.push(() => stopOrphans({ registry, writer: registry, people }, by));
    }
  });
  afterAll(async () => {
    await replica.close();
    await shared.close();
    expect([...shared.faults, ...replica.faults]).toEqual([]);
  });
  const statuses = async (): Promise<unknown> =>
    shared.writ.database.prisma.agent.findMany({
      select: { clientId: true, status: true },
      orderBy: { clientId: 'asc' },
    });
  const of = (a1: string, a2: string): unknown =>
    Object.entries({ agt_a1: a1, agt_a2: a2, agt_ax: 'disabled' }).map(([clientId, status]) => ({ clientId, status }));

  it('leaves none of their agents at work when one of them cannot be written', async () => {
    expect((await shared.exchange()).status).toBe(200);
    await sql(`CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN RAISE 'not this one'; END $$ LANGUAGE plpgsql`);
    await sql(
      `CREATE TRIGGER refuse BEFORE UPDATE ON agent FOR EACH ROW WHEN (OLD.client_id = 'agt_a1') EXECUTE FUNCTION refuse()`,
    );
    await sql(`UPDATE person SET status = 'disabled' WHERE id = '${OWNER}'`);
    await expect(sweeps[0]?.()).rejects.toThrow('an agent that nobody answers for cannot be stopped');
    expect(await statuses()).toEqual(of('active', 'disabled'));
    await sql('DROP TRIGGER refuse ON agent');
  });

  it('has their agents stopped once by replicas that look at the same time, and refused at each', async () => {
    const stopped = await Promise.all([...sweeps, ...sweeps].map((sweep) => sweep()));
    // The house looks by itself each minute, and may have been first.
    expect(['', 'agt_a1']).toContain(stopped.flat().join());
    expect(await statuses()).toEqual(of('disabled', 'disabled'));
    const { text } = await shared.admin('GET', '/log?kind=registry&limit=200');
    const { items } = JSON.parse(text) as { items: { facts: { id: string; by: string } }[] };
    const changes = items.filter(({ facts: { id, by } }) => id === 'agt_a1' && by !== 'admin-token');
    expect(changes).toHaveLength(1);
    const form = await shared.form();
    expect((await shared.post('/token', form)).status).toBe(401);
    expect((await replica.post('/token', await shared.form())).status).toBe(401);
  });
});

describe('the report of agents (OWASP NHI1, NHI5)', () => {
  it('names those that nobody answers for, that end soon or that are unused, and no other', async () => {
    const report = async (query = ''): Promise<unknown> => (await world.admin('GET', `/reports/agents${query}`)).body;
    const sql = (text: string) => world.writ.database.prisma.$executeRawUnsafe(text);
    expect((await exchangeAnew()).status).toBe(200);
    expect(await report()).toEqual({ items: [], next: null });
    await sql(`UPDATE agent SET created_at = now() - interval '40 days' WHERE client_id = '${world.a2.id}'`);
    await sql(
      `UPDATE agent SET document = (document - 'sponsor') || '{"owner": "platform team"}' WHERE client_id = '${world.a1.id}'`,
    );
    await sql('UPDATE registry_state SET version = version + 1');
    const [first, second] = [expect.objectContaining({ client_id: world.a1.id }), { client_id: world.a2.id }];
    const body = (await report()) as { items: { concerns: string[]; last_used_at: string | null }[] };
    expect(body).toMatchObject({ items: [first, second], next: null });
    expect(body.items.map(({ concerns }) => concerns)).toEqual([['owner_is_no_person', 'sponsor_missing'], ['unused']]);
    expect(body.items.map(({ last_used_at: used }) => used === null)).toEqual([false, true]);
    expect(await report('?limit=1')).toMatchObject({ items: [first], next: world.a1.id });
    expect(await report(`?limit=1&after=${world.a1.id}&unused_days=50`)).toEqual({ items: [], next: null });
  });
});

describe('the report of MCP servers (OWASP NHI1)', () => {
  it('names those for which no person answers who is here, and no other', async () => {
    const report = async (query = ''): Promise<unknown> => (await world.admin('GET', `/reports/servers${query}`)).body;
    const own = async (owner: string): Promise<void> => {
      const path = `/servers/${encodeURIComponent(RS1)}`;
      const server = (await world.admin('GET', path)).body as object;
      expect((await world.admin('PUT', path, { ...server, owner })).status).toBe(200);
    };
    const team = (resource: string): object => ({ resource, owner: 'platform team', concerns: ['owner_is_no_person'] });
    expect(await report()).toEqual({ items: [team(RS1), team(RS2)], next: null });
    expect(await report('?limit=1')).toEqual({ items: [team(RS1)], next: RS1 });
    for (const owner of [OWNER, `${PEOPLE}#owner`]) {
      await own(owner);
      expect(await report()).toEqual({ items: [team(RS2)], next: null });
    }
    const left = await makePerson(9);
    await disable(left);
    for (const [owner, concern] of [
      [`${PEOPLE}#nobody`, 'owner_unknown'],
      [left, 'owner_left'],
      [`${PEOPLE}#heir 9`, 'owner_left'],
    ] as const) {
      await own(owner);
      expect(await report()).toEqual({ items: [{ resource: RS1, owner, concerns: [concern] }, team(RS2)], next: null });
    }
    await own('platform team');
  });
});
