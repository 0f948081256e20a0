import { describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { foresee } from '../../src/policy/index.js';
import { openLivePermits } from '../../src/storage/index.js';
import { reevaluated } from '../support/invariants.js';
import { activate } from '../support/policies.js';
import { COMPANY, ownWorld, RS1, RS2, tool, tools } from '../support/world.js';
import { bearerAssertion, makeKey, type Reply, tokenOf } from '../support/writ.js';

const world = await ownWorld();
const EVERYTHING =
  '@id("people") permit (principal is Person, action, resource);\n@id("agents") permit (principal is Agent, action, resource);\n';
const NOTHING_ENDS = {
  ...{ considered: 0, complete: true, tokens: 0, undecided: 0, sessions_ended: 0, sessions_narrowed: 0 },
  ...{ losses: [], more: 0 },
};

const RECEIVED = 'urn:ietf:params:oauth:token-type:txn_access_token';

type Kind = 'agents' | 'servers' | 'issuers';
type Loss = Readonly<{ session: string; tool: string; because: string; tokens: number }>;
type Effect = Readonly<{ tokens: number; undecided: number; complete: boolean; losses: readonly Loss[] }>;
type Claims = Readonly<{ sub: string; writ: Readonly<{ session: string; decision: string }> }>;

const at = (kind: Kind, id: string): string => `/${kind}/${encodeURIComponent(id)}`;
const objectAt = async (kind: Kind, id: string): Promise<Record<string, unknown>> =>
  (await world.admin('GET', at(kind, id))).body as Record<string, unknown>;
const effectOf = ({ status, body, text }: Reply): Effect => {
  if (status !== 200) throw new Error(text);
  return (body as { effect: Effect }).effect;
};
const claims = (token: string): Claims => decodeJwt(token);
const isActive = async (token: string): Promise<boolean> => {
  const by = decodeJwt(token).aud === RS2 ? world.rs2 : world.rs1;
  const form = { ...(await bearerAssertion(world.issuer, by)), token };
  return ((await world.post('/introspect', form)).body as { active: boolean }).active;
};
/** Every token of this file; what the last change ended is known by asking for all of them. */
const made: string[] = [];
const alive = async (): Promise<readonly string[]> => {
  await world.writ.flush();
  const active = await Promise.all(made.map(isActive));
  return made.filter((_, index) => active[index]);
};
/** Tries a change, makes it, and holds the one against the other: answers what was said and what ended. */
async function tried(
  kind: Kind,
  id: string,
  changes: object,
): Promise<Readonly<{ effect: Effect; ended: readonly string[] }>> {
  const object = { ...(await objectAt(kind, id)), ...changes };
  const before = await alive();
  const answer = await world.admin('PUT', `${at(kind, id)}?dry_run=true`, object);
  const { effect, ...shown } = answer.body as { effect: Effect };
  expect([answer.status, shown]).toEqual([200, object]);
  expect(await alive()).toEqual(before);
  expect(effectOf(await world.admin('POST', '/apply?dry_run=true', { [kind]: [object] }))).toEqual(effect);
  expect(effectOf(await world.admin('PUT', at(kind, id), object))).toBeUndefined();
  await reevaluated(world);
  const after = await alive();
  const ended = before.filter((token) => !after.includes(token));
  expect([effect.tokens, effect.complete]).toEqual([ended.length, true]);
  expect(sum(effect.losses.map(({ tokens }) => tokens))).toBe(ended.length);
  expect(new Set(effect.losses.map(({ session }) => session))).toEqual(
    new Set(ended.map((token) => claims(token).writ.session)),
  );
  return { effect, ended };
}
const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);
const tokenFor = async (
  name: string,
  more: Parameters<typeof world.exchange>[0] = {},
  by = world.a1,
): Promise<string> => {
  const token = tokenOf(await world.exchange({ authorization_details: tools(tool(name)), ...more }, by));
  made.push(token);
  return token;
};
const whyOf = ({ losses }: Effect): readonly string[] =>
  losses.map(({ tool: name, because }) => `${name} ${because}`).sort();

const key = makeKey('new');
const newAgent = async (): Promise<object> => ({
  ...(await objectAt('agents', 'agt_a1')),
  ...{ client_id: 'agt_new', hand_over_to: [] },
  authentication: { method: 'private_key_jwt', jwks: { keys: [key.jwk] } },
});

describe('a dry run of a change of the registry', () => {
  it('says that nothing ends where nothing is taken, and looks at no token', async () => {
    await activate(world, EVERYTHING);
    await tokenFor('read_file');
    expect(await tried('agents', 'agt_a1', { purpose: 'another' })).toEqual({ effect: NOTHING_ENDS, ended: [] });
    const created = await world.admin('PUT', '/agents/agt_new?dry_run=true', await newAgent());
    expect([created.status, (created.body as { effect: Effect }).effect]).toEqual([201, NOTHING_ENDS]);
  });

  it('is checked whole without it, where nobody asks what would end', async () => {
    const object = { ...(await objectAt('agents', 'agt_a1')), status: 'disabled' };
    const at1 = `${at('agents', 'agt_a1')}?dry_run=true`;
    const answers = [
      await world.admin('PUT', `${at1}&effect=false`, object),
      await world.admin('PUT', `${at1}&effect=false`, { ...object, expires_at: '2020-01-01T00:00:00Z' }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 400]);
    expect(answers[0]?.body).toEqual(object);
    expect(effectOf(await world.admin('PUT', at1, object)).tokens).toBeGreaterThan(0);
  });

  it('stops looking when its time is over, and says that there is more', async () => {
    await world.writ.flush();
    const live = openLivePermits(world.writ.database);
    const nothingKept = { of: () => Promise.resolve([]) };
    const lookingWhile = (hasTime: () => boolean): ReturnType<typeof foresee> =>
      foresee(
        { cutOff: ['agent:agt_a1'], rules: undefined },
        { live, inputs: nothingKept, since: 0, most: 1_000, hasTime, turn: () => Promise.resolve() },
      );
    expect(await lookingWhile(() => false)).toEqual({ considered: 0, isWhole: false, ended: [], next: '0' });
    const whole = await lookingWhile(() => true);
    expect([whole.considered, whole.isWhole, whole.ended.length]).toEqual([made.length, true, made.length]);
    const all = whole.ended.map(({ token }) => token);
    const [one, other] = all.map(({ tokenHash }) => tokenHash);
    expect(await live.among([other ?? '', 'unknown', one ?? ''])).toEqual(all.slice(0, 2));
    expect(await live.among([])).toEqual([]);
  });

  it('names the sessions that a narrower agent would lose tokens of, tool by tool; the change ends exactly those', async () => {
    const lost = [await tokenFor('write_file'), await tokenFor('write_file')];
    await tokenFor('list_files');
    const { allow } = await objectAt('agents', 'agt_a1');
    const narrow = [{ resource: RS1, scopes: ['repo:read', 'repo:write'], tools: ['read_file', 'list_files'] }];
    const { effect, ended } = await tried('agents', 'agt_a1', { allow: narrow });
    expect(ended).toEqual(lost);
    const losses = lost.map((token) => ({
      ...{ session: claims(token).writ.session, agent: 'agt_a1', person: claims(token).sub },
      ...{ tool: `${RS1}#write_file`, to: 'deny', because: 'ceiling', tokens: 1 },
    }));
    expect(effect).toEqual({
      ...{ considered: 4, complete: true, tokens: 2, undecided: 0, sessions_ended: 0, sessions_narrowed: 2 },
      ...{ losses: expect.arrayContaining(losses), more: 0 },
    });
    await world.admin('PUT', at('agents', 'agt_a1'), { ...(await objectAt('agents', 'agt_a1')), allow });
  });

  it('asks the active policies about a tool in its new classes, and says how much they cannot decide', async () => {
    const rules = `${EVERYTHING}@id("medium-writes") forbid (principal, action in Action::"write", resource) unless { action in Action::"tier:medium" };
`;
    await tokenFor('list_files');
    const unsure = claims(await tokenFor('read_file')).writ.decision;
    await world.writ.flush();
    const staged = await world.admin('POST', '/policies', { files: [{ path: 'rules.cedar', text: rules }] });
    await activate(world, rules);
    await reevaluated(world);
    await tokenFor('list_files');
    await world.writ.flush();
    const { prisma } = world.writ.database;
    await prisma.$executeRawUnsafe('DELETE FROM decision_input WHERE decision = $1', unsure);
    expect(staged.status).toBe(201);
    const { tools: all } = (await objectAt('servers', RS1)) as { tools: { name: string }[] };
    const classed = (name: string, classes: object): object => ({
      tools: all.map((one) => (one.name === name ? { ...one, ...classes } : one)),
    });
    const { effect } = await tried('servers', RS1, classed('list_files', { action: 'write' }));
    expect([new Set(whyOf(effect)), effect.undecided]).toEqual([
      new Set([`${RS1}#list_files policy`, `${RS1}#read_file undecided`]),
      1,
    ]);
    await world.admin('PUT', at('servers', RS1), { ...(await objectAt('servers', RS1)), tools: all });
    await activate(world, EVERYTHING);
    await reevaluated(world);
  });

  it('counts what was made from a token that ends, and what was made from one that is cut off', async () => {
    const server = { allow: [{ resource: RS2, scopes: ['repo:read'], tools: ['read_file', 'list_files'] }] };
    await tried('servers', RS1, server);
    const hop = async (parent: string): Promise<string> =>
      tokenFor(
        'read_file',
        {
          subject_token: parent,
          subject_token_type: RECEIVED,
          resource: RS2,
          authorization_details: tools(tool('read_file', {}, RS2)),
        },
        world.rs1,
      );
    const parent = await tokenFor('list_files');
    const child = await hop(parent);
    const { allow } = await objectAt('agents', 'agt_a1');
    const narrow = [{ resource: RS1, scopes: ['repo:read', 'repo:write'], tools: ['read_file', 'write_file'] }];
    const first = await tried('agents', 'agt_a1', { allow: narrow });
    expect(first.ended).toEqual(expect.arrayContaining([parent, child]));
    const { session } = claims(child).writ;
    expect(whyOf({ ...first.effect, losses: first.effect.losses.filter((one) => one.session === session) })).toEqual([
      `${RS1}#list_files ceiling`,
      `${RS2}#read_file derived`,
    ]);
    await world.admin('PUT', at('agents', 'agt_a1'), { ...(await objectAt('agents', 'agt_a1')), allow });
    const again = await tokenFor('read_file');
    await hop(again);
    const second = await tried('servers', RS1, { status: 'disabled' });
    expect(new Set(second.effect.losses.map(({ because }) => because))).toEqual(new Set(['cut_off']));
    expect(await alive()).toEqual([]);
    await tried('servers', RS1, { status: 'active' });
  });

  it('counts the sessions that end with an agent that is removed', async () => {
    expect((await world.admin('PUT', '/agents/agt_new', await newAgent())).status).toBe(201);
    const { agents } = await objectAt('issuers', COMPANY);
    const trusted = { ...(await objectAt('issuers', COMPANY)), agents: [...(agents as string[]), 'agt_new'] };
    await world.admin('PUT', at('issuers', COMPANY), trusted);
    const by = { id: 'agt_new', key };
    const person = (): Promise<string> => world.personToken('alice', { client_id: 'agt_new' });
    const theirs = [
      await tokenFor('read_file', { subject_token: await person() }, by),
      await tokenFor('read_file', { subject_token: await person() }, by),
    ];
    const other = await tokenFor('read_file');
    const all = (await world.admin('GET', '/agents?limit=200')).body as { items: { client_id: string }[] };
    const without = {
      ...{ agents: all.items.filter(({ client_id: id }) => id !== 'agt_new'), prune: true },
      issuers: [{ ...trusted, agents }],
    };
    expect(effectOf(await world.admin('POST', '/apply?dry_run=true', without))).toEqual({
      ...{ considered: 3, complete: true, tokens: 2, undecided: 0, sessions_ended: 2, sessions_narrowed: 0 },
      ...{ losses: [expect.anything(), expect.anything()], more: 0 },
    });
    expect(await alive()).toEqual([...theirs, other]);
    expect((await world.admin('POST', '/apply', without)).status).toBe(200);
    await reevaluated(world);
    expect(await alive()).toEqual([other]);
    const ended = theirs.map((token) => world.admin('GET', `/sessions/${claims(token).writ.session}`));
    for (const session of await Promise.all(ended)) expect(session.body).toMatchObject({ status: 'ended' });
    const answer = await world.admin('DELETE', '/agents/agt_a2?dry_run=true');
    expect([answer.status, (answer.body as { code?: string }).code]).toEqual([409, 'in_use']);
  });

  it('counts the sessions that end with an agent that is removed long after it was disabled', async () => {
    expect(
      (await world.admin('PUT', '/agents/agt_late', { ...(await newAgent()), client_id: 'agt_late' })).status,
    ).toBe(201);
    const trusted = await objectAt('issuers', COMPANY);
    const agents = trusted['agents'] as string[];
    await world.admin('PUT', at('issuers', COMPANY), { ...trusted, agents: [...agents, 'agt_late'] });
    const subject_token = await world.personToken('bob', { client_id: 'agt_late' });
    const token = await tokenFor('read_file', { subject_token }, { id: 'agt_late', key });
    await world.admin('PUT', '/agents/agt_late', { ...(await objectAt('agents', 'agt_late')), status: 'disabled' });
    await world.admin('PUT', at('issuers', COMPANY), trusted);
    await reevaluated(world);
    const { session } = claims(token).writ;
    const open = (await world.admin('GET', `/sessions/${session}`)).body;
    expect(open).toMatchObject({ status: 'active' });
    expect(effectOf(await world.admin('DELETE', '/agents/agt_late?dry_run=true'))).toEqual({
      ...NOTHING_ENDS,
      sessions_ended: 1,
    });
    expect((await world.admin('DELETE', '/agents/agt_late')).status).toBe(204);
    expect((await world.admin('GET', `/sessions/${session}`)).body).toMatchObject({ status: 'ended' });
  });

  it('says what ends with a disabled issuer, and what a review in other classes takes', async () => {
    const token = await tokenFor('list_files');
    const path = `${at('servers', RS1)}/tools/list_files`;
    const { body } = await world.admin('GET', path);
    const review = { definition_sha256: (body as { tool: { reviewed: string } }).tool.reviewed, tier: 'high' };
    const reviewed = await world.admin('POST', `${path}/review?dry_run=true`, review);
    const { losses } = effectOf(reviewed);
    expect(losses.filter(({ session }) => session === claims(token).writ.session)).toEqual([
      expect.objectContaining({ tool: `${RS1}#list_files`, because: 'ceiling' }),
    ]);
    expect((await world.admin('GET', path)).body).toEqual(body);
    const { ended } = await tried('issuers', COMPANY, { status: 'disabled' });
    expect(ended).toContain(token);
    expect(await alive()).toEqual([]);
  });
});
