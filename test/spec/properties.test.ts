import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { flattenAct, MAX_CHAIN, type TransactionalAccessToken } from '../../src/protocol/index.js';
import { ACCESS_TOKEN, type Client, COMPANY, startWorld, tool, tools, type World } from '../support/world.js';
import { reviewedTool } from '../support/tools.js';
import { assertion, type Form, makeKey, type Reply } from '../support/writ.js';

const TYPE = 'urn:ietf:params:oauth:token-type:';
const DOMAIN = 'trust.example';
const SCOPES = ['s:read', 's:write', 's:list'] as const;
const TOOLS = { read: ['s:read'], list: ['s:list'], both: ['s:read', 's:write'] } as const;
const TOOL_NAMES = ['read', 'list', 'both'] as const;
const DEPTH = 5;

const agents: readonly Client[] = ['agt_p0', 'agt_p1', 'agt_p2', 'agt_p3', 'agt_p4', 'agt_p5', 'agt_p6'].map(client);
const [first] = agents as readonly [Client];
const servers: readonly (Client & { resource: string })[] = [0, 1, 2].map((n) => ({
  ...client(`srv_p${n}`),
  resource: `https://p${n}.example`,
}));
function client(id: string): Client {
  return { id, key: makeKey(`${id}-key`) };
}

let world: World;
beforeAll(async () => {
  world = await startWorld();
  const applied = await world.admin('POST', '/apply', registry());
  if (applied.status !== 200) throw new Error(applied.text);
}, 60_000);
afterAll(async () => {
  await world.close();
  expect(world.faults).toEqual([]);
});

/** Agents that hand over to each other, servers that call each other, each with a ceiling of its own. */
function registry(): object {
  const common = ({ id, key }: Client) => ({
    client_id: id,
    name: id,
    owner: 'o',
    authentication: { method: 'private_key_jwt', jwks: { keys: [key.jwk] } },
    transaction_tokens: true,
  });
  const ceilingOf = (n: number) => (SCOPES.length > n % 5 ? SCOPES.filter((_, at) => at !== n % 5) : SCOPES);
  const allow = (n: number) => servers.map(({ resource }) => ({ resource, scopes: ceilingOf(n), tools: '*' }));
  return {
    agents: agents.map((agent, n) => ({
      ...common(agent),
      owner: 'https://people.example#ada',
      sponsor: 'https://people.example#bob',
      purpose: 'p',
      // The first one has everything, or no tree would get far.
      allow: allow(n + 3),
      hand_over_to: agents.filter((other) => other !== agent).map(({ id }) => id),
    })),
    servers: servers.map((server, n) => ({
      ...common(server),
      resource: server.resource,
      scopes: SCOPES,
      tools: TOOL_NAMES.map((name) => reviewedTool(name, { scopes: [...TOOLS[name]], tier: 'low', action: 'read' })),
      allow: allow(n + 3).filter(({ resource }) => resource !== server.resource),
    })),
    issuers: [
      {
        issuer: COMPANY,
        name: 'Company',
        jwks: { keys: [world.companyKey.jwk] },
        accepts: [{ token_type: ACCESS_TOKEN, typ: 'at+jwt' }],
        agents: [first.id, 'agt_a1', 'agt_ax'],
      },
    ],
  };
}

/** One exchange of a tree: which of the tokens so far, by whom, towards what, for how much of it. */
type Step = Readonly<{
  from: number;
  /** Of the clients: mostly the one that the token is for. */
  by: number | undefined;
  instance: string | undefined;
  to: Readonly<{ kind: 'server' | 'agent'; n: number }> | Readonly<{ kind: 'domain' }>;
  scopes: readonly string[] | undefined;
  tools: readonly (typeof TOOL_NAMES)[number][] | undefined;
  uses: number | undefined;
}>;

type Tree = Readonly<{ scopes: readonly string[]; life: number; steps: readonly Step[] }>;

const rarely = <T>(one: fc.Arbitrary<T>, of: number): fc.Arbitrary<T | undefined> =>
  fc.nat({ max: of - 1 }).chain((n) => (n === 0 ? one : fc.constant(undefined)));
const step: fc.Arbitrary<Step> = fc.record({
  from: fc.nat({ max: 100 }),
  by: rarely(fc.nat({ max: agents.length + servers.length - 1 }), 8),
  instance: rarely(fc.constantFrom('one', 'two'), 4),
  to: fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('agent' as const), n: fc.nat({ max: agents.length - 1 }) }) },
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constant('server' as const), n: fc.nat({ max: servers.length - 1 }) }),
    },
    { weight: 1, arbitrary: fc.constant({ kind: 'domain' as const }) },
  ),
  scopes: rarely(fc.subarray([...SCOPES], { minLength: 1 }), 3),
  tools: rarely(fc.subarray([...TOOL_NAMES], { minLength: 1 }), 2),
  uses: rarely(fc.integer({ min: 1, max: 100 }), 3),
});
const tree: fc.Arbitrary<Tree> = fc.record({
  scopes: fc.oneof(fc.constant([...SCOPES]), fc.subarray([...SCOPES], { minLength: 1 })),
  life: fc.integer({ min: 40, max: 600 }),
  steps: fc.array(step, { minLength: 4, maxLength: 14, size: 'max' }),
});

/** One further than a chain may be, by agents whose ceilings leave something to the end. */
const lineOfAgents: readonly Step[] = [1, 5, 6, 2, 3, 4].map((n, at) => ({
  from: 0,
  by: undefined,
  instance: at === 2 ? 'one' : undefined,
  to: { kind: 'agent', n },
  scopes: undefined,
  tools: undefined,
  uses: undefined,
}));

type Actor = Readonly<{ sub: string; iss: string; sub_profile: 'ai_agent' | 'service' }>;
type Claims = TransactionalAccessToken & Readonly<{ may_act?: { sub: string } }>;
/** A token that somebody holds, and what is known of it without looking at it. */
type Held = Readonly<{
  token: string;
  type: string;
  holders: readonly Client[];
  kind: 'person' | 'hand-over' | 'transaction';
  scopes: readonly string[];
  expiresAt: number;
  actors: readonly Actor[];
  claims: Claims | undefined;
}>;

const isServer = (one: Client): boolean => one.id.startsWith('srv_');

async function personToken(scopes: readonly string[], life: number): Promise<Held> {
  const expiresAt = Math.floor(Date.now() / 1_000) + life;
  const token = await world.personToken(`person ${randomUUID()}`, {
    client_id: first.id,
    scope: scopes.join(' '),
    exp: expiresAt,
  });
  return {
    token,
    type: ACCESS_TOKEN,
    holders: [first],
    kind: 'person',
    scopes,
    expiresAt,
    actors: [],
    claims: undefined,
  };
}

async function credentials(by: Client, instance: string | undefined): Promise<Form> {
  const now = Math.floor(Date.now() / 1_000);
  const actor =
    instance === undefined
      ? {}
      : {
          actor_token_type: `${TYPE}jwt`,
          actor_token: await assertion(world.issuer, by, {
            claims: { sub: `${by.id}/${instance}`, exp: now + 240 },
            header: { typ: undefined },
          }),
        };
  return {
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: await assertion(world.issuer, by),
    ...actor,
  };
}

function targetOf({ to, tools: named, uses }: Step): Form {
  if (to.kind === 'domain') return { audience: DOMAIN };
  if (to.kind === 'agent') return { audience: agents[to.n]?.id };
  const resource = servers[to.n]?.resource ?? '';
  if (named === undefined) return { resource };
  const max_uses = uses === undefined ? {} : { max_uses: uses };
  return { resource, authorization_details: tools(...named.map((name) => tool(name, max_uses, resource))) };
}

async function formOf(held: Held, one: Step, by: Client): Promise<Form> {
  return {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: held.token,
    subject_token_type: held.type,
    ...(one.scopes === undefined ? {} : { scope: one.scopes.join(' ') }),
    ...targetOf(one),
    ...(await credentials(by, one.instance)),
  };
}

/** The chain that must come of it, by RFC 8693 section 4.1 and nothing else. */
function actorsAfter({ actors, kind }: Held, { to, instance }: Step, by: Client): readonly Actor[] {
  const sub = instance === undefined ? by.id : `${by.id}/${instance}`;
  const presenter: Actor = { sub, iss: world.issuer, sub_profile: isServer(by) ? 'service' : 'ai_agent' };
  const [current] = actors;
  if ((to.kind === 'domain' && kind === 'transaction') || current?.sub === sub) return actors;
  return [presenter, ...actors];
}

/** Everything that a token may have of the one that it was made from, and no more. */
function expectBounded(parent: Held, one: Step, by: Client, { body }: Reply): Held {
  const {
    access_token: token,
    expires_in,
    scope = '',
  } = body as { access_token: string; expires_in: number; scope?: string };
  const claims = decodeJwt<Claims>(token);
  const actors = actorsAfter(parent, one, by);
  // Scope: within the parent's, and within what was asked.
  const scopes = scope.split(' ').filter((word) => word !== '');
  expect([claims.scope, scopes.filter((word) => !parent.scopes.includes(word))]).toEqual([scope, []]);
  if (one.scopes !== undefined) expect(scopes.filter((word) => one.scopes?.includes(word) !== true)).toEqual([]);
  // Life: ends with the parent at the latest, and with its own shape.
  expect(claims.exp).toBeLessThanOrEqual(parent.expiresAt);
  expect(claims.exp - claims.iat).toBeLessThanOrEqual(one.to.kind === 'domain' ? 60 : 180);
  expect(expires_in).toBe(claims.exp - claims.iat);
  // Depth and chain: exact.
  expect(flattenAct(claims.act)).toEqual(actors);
  expect(actors.length).toBeLessThanOrEqual(DEPTH);
  expect(new Set(actors.map(({ sub }) => sub)).size).toBe(actors.length);
  // Audience: the one that was asked, nobody else, and a redeemer where there is one.
  expectAudience(claims, one);
  if (parent.claims !== undefined) expectSameTransaction(claims, parent.claims, parent);
  expectDetails(claims, one, parent);
  const { kind, holders } = holdersOf(one, by);
  const names = {
    transaction: one.to.kind === 'domain' ? 'txn_token' : 'txn_access_token',
    'hand-over': 'access_token',
  };
  return { token, type: `${TYPE}${names[kind]}`, holders, kind, scopes, expiresAt: claims.exp, actors, claims };
}

function expectAudience({ aud, may_act }: Claims, { to }: Step): void {
  const meant = {
    domain: () => [DOMAIN, undefined],
    agent: () => [world.issuer, { sub: to.kind === 'agent' ? agents[to.n]?.id : '', iss: world.issuer }],
    server: () => [to.kind === 'server' ? servers[to.n]?.resource : '', undefined],
  }[to.kind]();
  expect([aud, may_act]).toEqual(meant);
}

/** What is handed over goes on in a session of its own, below the one that it comes from. */
function expectSameTransaction(claims: Claims, earlier: Claims, { actors, kind }: Held): void {
  expect([claims.sub, claims.txn]).toEqual([earlier.sub, earlier.txn]);
  expect(claims.writ.session === earlier.writ.session).toBe(kind !== 'hand-over');
  const path = earlier.tctx.call_chain;
  expect(claims.tctx.call_chain.slice(0, path.length)).toEqual(path);
  expect(claims.tctx.call_chain.length).toBeLessThanOrEqual(MAX_CHAIN * 2);
  expect(flattenAct(claims.act).slice(-actors.length)).toEqual(actors);
  expect(claims.jti).not.toBe(earlier.jti);
}

function expectDetails(
  { authorization_details: details = [], aud }: Claims,
  { to, tools: named, uses }: Step,
  parent: Held,
): void {
  const before = parent.claims?.authorization_details;
  for (const { identifier, locations, max_uses } of details) {
    const held = before?.find((one) => one.identifier === identifier && one.locations[0] === locations[0]);
    if (held !== undefined) expect(max_uses).toBeLessThanOrEqual(held.max_uses);
    if (to.kind !== 'server') {
      expect(held).toBeDefined();
      continue;
    }
    expect(locations).toEqual([aud]);
    if (named !== undefined) expect(named).toContain(identifier);
    if (named !== undefined && uses !== undefined) expect(max_uses).toBe(uses);
    // What the transaction was given for at a server is all that it can be used for there.
    if (before?.some((one) => one.locations[0] === aud) === true) expect(held).toBeDefined();
  }
}

function holdersOf(
  { to }: Step,
  by: Client,
): Readonly<{ kind: 'hand-over' | 'transaction'; holders: readonly Client[] }> {
  if (to.kind === 'agent') return { kind: 'hand-over', holders: agents.slice(to.n, to.n + 1) };
  if (to.kind === 'server') return { kind: 'transaction', holders: servers.slice(to.n, to.n + 1) };
  return { kind: 'transaction', holders: [...servers, by] };
}

function expectNoToken(reply: Reply): void {
  expect([400, 401]).toContain(reply.status);
  expect(reply.body).toEqual({ error: expect.any(String), error_description: expect.any(String) });
}

/** The same request again, and its parts again in new ones: a credential is good once, whatever it comes with. */
async function expectNoReplay(form: Form, by: Client): Promise<void> {
  const again = await world.post('/token', form);
  expectNoToken(again);
  // Of two that were used before, either is named.
  if (form['actor_token'] === undefined) {
    expect(again.body).toMatchObject({ error: 'invalid_client' });
    return;
  }
  const { actor_token, actor_token_type } = form;
  const stale = { ...form, ...(await credentials(by, undefined)), actor_token, actor_token_type };
  const answer = await world.post('/token', stale);
  expect([answer.status, answer.body]).toMatchObject([400, { error_description: 'actor_token is not acceptable' }]);
}

/** A step out of its order: the token in the hands of everybody who is not next. */
async function expectNobodyElse(held: Held, wish: Step): Promise<void> {
  const others = [...agents, ...servers].filter(({ id }) => !held.holders.some((holder) => holder.id === id));
  for (const by of others) expectNoToken(await world.post('/token', await formOf(held, wish, by)));
}

const seen = { issued: 0, refused: 0, tools: 0, deepest: 0, kinds: new Set<string>() };

/** One of these, whatever the number. */
function pick<T>(all: readonly T[], n: number): T {
  const [one] = all.slice(n % all.length);
  if (one === undefined) throw new Error('there is nothing to pick from');
  return one;
}

async function grow(plan: Tree): Promise<void> {
  const tokens: Held[] = [await personToken(plan.scopes, plan.life)];
  for (const [n, one] of plan.steps.entries()) {
    // Mostly the newest, or trees would be bushes.
    const held = pick(tokens, one.from < 60 ? tokens.length - 1 : one.from);
    const by = one.by === undefined ? pick(held.holders, one.from) : pick([...agents, ...servers], one.by);
    const form = await formOf(held, one, by);
    const reply = await world.post('/token', form);
    if (reply.status !== 200) {
      expectNoToken(reply);
      seen.refused += 1;
      continue;
    }
    expect(held.holders.map(({ id }) => id)).toContain(by.id);
    const made = expectBounded(held, one, by, reply);
    tokens.push(made);
    seen.issued += 1;
    seen.tools += made.claims?.authorization_details?.length ?? 0;
    seen.deepest = Math.max(seen.deepest, made.actors.length);
    seen.kinds.add(`${held.kind} ${String(decodeProtectedHeader(made.token).typ)}`);
    if (n % 3 === 0) await expectNoReplay(form, by);
  }
  await expectNobodyElse(pick(tokens, tokens.length - 1), pick(plan.steps, 0));
}

describe('any tree of exchanges: person, agents, their instances, sub-agents, servers, trust domain', () => {
  it('has tokens whose scope, life, audience and depth never grow, whose chain is exact, and which are good once and in order', async () => {
    await fc.assert(fc.asyncProperty(tree, grow), {
      numRuns: 60,
      examples: [[{ scopes: SCOPES, life: 600, steps: lineOfAgents }]],
      interruptAfterTimeLimit: 60_000,
      markInterruptAsFailure: false,
    });
    // That these were trees at all.
    expect(seen.issued).toBeGreaterThan(30);
    expect(seen.tools).toBeGreaterThan(10);
    expect(seen.refused).toBeGreaterThan(10);
    expect(seen.deepest).toBe(DEPTH);
    expect([...seen.kinds]).toEqual(
      expect.arrayContaining(['person at+jwt', 'hand-over at+jwt', 'hand-over txnat+jwt', 'transaction txnat+jwt']),
    );
  }, 150_000);
});
