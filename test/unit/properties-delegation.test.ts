import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { delegate, type Delegation, type Presenter, type Subject, type Wanted } from '../../src/delegation/index.js';
import { decide, type Grant } from '../../src/policy/index.js';
import { type McpToolCall, MAX_CHAIN } from '../../src/protocol/index.js';
import { Agent, makeSnapshot, McpServer, type RegistrySnapshot } from '../../src/registry/index.js';
import { ISS, NOW } from '../support/delegations.js';
import { aTool, permitEverything } from '../support/policies.js';
import { reviewedTool } from '../support/tools.js';

const AGENTS = ['agt_a', 'agt_b', 'agt_c'] as const;
const SERVERS = ['one', 'two'] as const;
const SCOPES = ['files:read', 'files:write', 'mail:read', 'admin'] as const;
const TOOLS = ['read', 'list', 'write', 'wipe'] as const;
const DOMAIN = 'trust.example';
const uriOf = (name: string): string => `https://${name}.example`;

const some = <T>(all: readonly T[]): fc.Arbitrary<T[]> => fc.subarray([...all]);
/** Mostly all of them, so that enough is granted to say something about what is. */
const most = <T>(all: readonly T[]): fc.Arbitrary<T[]> =>
  fc.oneof({ weight: 2, arbitrary: fc.constant(all).map((whole) => [...whole]) }, { weight: 1, arbitrary: some(all) });
const maybe = <T>(one: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(one, { nil: undefined, freq: 2 });
const mostly = fc.nat({ max: 9 }).map((n) => n > 0);
const digest = fc.constantFrom('a'.repeat(43), 'b'.repeat(43));
const key = fc.constantFrom('k1', 'k2');
const clientId = fc.constantFrom(...AGENTS, ...AGENTS, ...SERVERS.map((name) => `srv_${name}`));
const moment = fc.nat({ max: 1_200 }).map((late) => (late % 10 === 9 ? NOW - late : NOW + 1 + late));
const word = fc.oneof({ weight: 12, arbitrary: fc.constant('x') }, { weight: 1, arbitrary: fc.constant('y') });

const actor = fc
  .record({
    client: clientId,
    instance: fc.constantFrom('', '/1', '/2'),
    iss: fc.constantFrom(ISS, ISS, ISS, uriOf('x')),
  })
  .map(({ client, instance, iss }) => ({ sub: `${client}${instance}`, iss, sub_profile: 'ai_agent' as const }));
const workload = fc.constantFrom(...AGENTS, ...SERVERS.map(uriOf));
const hop = fc
  .record({ wl: workload, tool: maybe(fc.constantFrom(...TOOLS)) })
  .map(({ wl, tool }) => (tool === undefined ? { wl } : { wl, tool }));
const held: fc.Arbitrary<McpToolCall> = fc
  .record({
    resource: fc.constantFrom(...SERVERS.map(uriOf)),
    identifier: fc.constantFrom(...TOOLS),
    arguments_sha256: maybe(digest),
    max_uses: fc.integer({ min: 1, max: 100 }),
  })
  .map(({ resource, arguments_sha256, ...rest }) => ({
    type: 'mcp_tool_call',
    locations: [resource],
    actions: ['tools/call'],
    ...rest,
    ...(arguments_sha256 === undefined ? {} : { arguments_sha256 }),
  }));

const subject: fc.Arbitrary<Subject> = fc.record({
  kind: fc.constantFrom('person', 'hand-over', 'transaction', 'foreign'),
  person: fc.constant({ id: 'prs_1', issuer: undefined, subject: undefined, attributes: {} }),
  exchangeableBy: clientId,
  rootAgent: fc.constantFrom(...AGENTS),
  scopes: most(SCOPES),
  actors: fc.array(actor, { maxLength: 9, size: '-1' }),
  callChain: fc.array(hop, { maxLength: 16 }),
  details: maybe(fc.array(held, { minLength: 1, maxLength: 4 })),
  context: fc.record({ task: maybe(word), purpose: maybe(word) }),
  transaction: maybe(word),
  run: fc.constant({ key: 'run' }),
  expiresAt: moment,
  issuedSince: moment,
  acr: maybe(word),
  amr: maybe(fc.array(word, { maxLength: 3 })),
  authTime: maybe(moment),
  jkt: maybe(key),
  mustBind: fc.boolean(),
  mayAct: fc.option(fc.record({ sub: clientId, iss: fc.constantFrom(ISS, uriOf('x')) }), { nil: undefined, freq: 2 }),
  lineage: fc.constant(['token:1']),
  recordedAs: fc.constant(undefined),
});

const presenterOf = (client: string): fc.Arbitrary<Presenter> => {
  const isServer = client.startsWith('srv_');
  return fc.record({
    clientId: fc.constant(client),
    kind: fc.constant(isServer ? ('server' as const) : ('agent' as const)),
    actor: fc.constantFrom('', '/1', '/2').map((instance) => ({
      sub: `${client}${instance}`,
      iss: ISS,
      sub_profile: isServer ? ('service' as const) : ('ai_agent' as const),
    })),
    workload: fc.constant(isServer ? uriOf(client.slice(4)) : client),
    jkt: maybe(key),
    expiresAt: maybe(moment),
  });
};

const wantedTool = fc.record({
  name: fc.constantFrom(...TOOLS, 'unknown'),
  arguments: fc.constant(undefined),
  argumentsSha256: maybe(digest),
  definitionSha256: fc.constant(undefined),
  maxUses: maybe(fc.integer({ min: 1, max: 120 })),
});
const wanted: fc.Arbitrary<Wanted> = fc
  .record({
    target: fc.oneof(
      {
        weight: 3,
        arbitrary: fc
          .constantFrom(...SERVERS, 'none')
          .map((name) => ({ kind: 'server' as const, resource: uriOf(name) })),
      },
      { weight: 1, arbitrary: fc.constant({ kind: 'domain' as const, name: DOMAIN }) },
      { weight: 1, arbitrary: fc.constantFrom(...AGENTS).map((id) => ({ kind: 'agent' as const, clientId: id })) },
    ),
    scopes: maybe(some(SCOPES)),
    tools: maybe(fc.uniqueArray(wantedTool, { minLength: 1, maxLength: 3, selector: ({ name }) => name })),
    task: maybe(word),
    purpose: maybe(word),
  })
  .chain((one) => mostly.map((plain) => (one.target.kind !== 'server' && plain ? { ...one, tools: undefined } : one)));

type Case = Readonly<{ subject: Subject; presenter: Presenter; wanted: Wanted; maxActors: number }>;
/** Mostly requests of the one who may, with the key that it must have, so that many of them are granted. */
const request: fc.Arbitrary<Case> = fc
  .record({ subject, client: clientId, fits: fc.integer({ min: 0, max: 9 }) })
  .chain(({ subject: drawn, client, fits }) => {
    const by = fits < 8 ? drawn.exchangeableBy : client;
    const mayAct = fits < 7 && drawn.mayAct !== undefined ? { sub: by, iss: ISS } : drawn.mayAct;
    return fc.record({
      subject: fc.constant({ ...drawn, mayAct }),
      presenter: presenterOf(by).map((one) =>
        fits < 8 ? { ...one, jkt: drawn.jkt ?? one.jkt ?? (drawn.mustBind ? 'k1' : undefined) } : one,
      ),
      wanted,
      maxActors: fc.integer({ min: 1, max: 9 }),
    });
  });

const authentication = { method: 'client_secret_basic' as const };
const ceiling = (resource: string) =>
  fc.record({
    resource: fc.constant(resource),
    scopes: most(SCOPES),
    tools: fc.oneof(fc.constant('*' as const), most(TOOLS)),
  });
const common = {
  dpop_required: mostly.map((is) => !is),
  transaction_tokens: mostly,
  status: mostly.map((is) => (is ? ('active' as const) : ('disabled' as const))),
  allow: fc
    .tuple(ceiling(uriOf('one')), ceiling(uriOf('two')), mostly)
    .map(([one, two, both]) => (both ? [one, two] : [one])),
};

const agentOf = (id: string) => {
  const plain = { client_id: id, name: id, owner: 'o', purpose: 'p', authentication };
  const agent = { ...Agent.parse({ ...plain, expires_at: '2099-01-01T00:00:00Z' }), secretHash: undefined };
  const life = fc.integer({ min: -10, max: 2_000 });
  return fc.record({ ...common, hand_over_to: most(AGENTS), life }).map(({ life: seconds, ...rest }) => ({
    ...agent,
    ...rest,
    expires_at: new Date((NOW + seconds) * 1_000).toISOString(),
  }));
};
const serverOf = (name: string) => {
  const plain = { resource: uriOf(name), client_id: `srv_${name}`, name, owner: 'o', authentication };
  const server = { ...McpServer.parse({ ...plain, scopes: [...SCOPES], tools: [] }), secretHash: undefined };
  const tool = fc.record({
    tier: fc.constantFrom('low' as const, 'low' as const, 'medium' as const, 'high' as const, 'critical' as const),
    scopes: fc.subarray([...SCOPES], { minLength: 1, maxLength: 2 }),
  });
  return fc
    .record({
      ...common,
      token_shape: fc.constantFrom('txnat+jwt' as const, 'at+jwt' as const),
      tools: fc
        .tuple(...TOOLS.map(() => tool))
        .map((all) => all.map((one, n) => reviewedTool(TOOLS[n] ?? '', { ...one, action: 'write' }))),
    })
    .map((rest) => ({ ...server, ...rest }));
};
const registry: fc.Arbitrary<RegistrySnapshot> = fc
  .record({ agents: fc.tuple(...AGENTS.map(agentOf)), servers: fc.tuple(...SERVERS.map(serverOf)) })
  .map((contents) => makeSnapshot(1, { ...contents, issuers: [] }));

const within = (part: readonly string[], whole: readonly string[]): boolean => part.every((one) => whole.includes(one));

/** What must hold of every delegation, whatever was asked. */
function expectBounded(made: Delegation, { subject: from, presenter, wanted: wish, maxActors }: Case): void {
  expect(from.exchangeableBy).toBe(presenter.clientId);
  if (from.mayAct !== undefined) expect(from.mayAct).toEqual({ sub: presenter.clientId, iss: ISS });
  // Life: not past the subject's end, nor the actor token's.
  expect(made.notAfter).toBe(Math.min(from.expiresAt, presenter.expiresAt ?? Infinity));
  // Depth, and the chain: what was there, unchanged, with at most the presenter before it.
  expect(made.actors.length).toBeLessThanOrEqual(Math.min(maxActors, MAX_CHAIN));
  const added = made.actors.slice(0, made.actors.length - from.actors.length);
  expect([...added, ...from.actors]).toEqual(made.actors);
  expect([[], [presenter.actor]]).toContainEqual(added);
  if (wish.target.kind !== 'domain')
    expect(made.actors[0]).toEqual(expect.objectContaining({ sub: presenter.actor.sub, iss: ISS }));
  if (added.length > 0)
    for (const { sub, iss } of from.actors.slice(1))
      expect([sub.split('/')[0], iss]).not.toEqual([presenter.clientId, ISS]);
  // The call chain only grows.
  expect(made.callChain.slice(0, from.callChain.length)).toEqual(from.callChain);
  expect(made.callChain.length).toBeLessThanOrEqual(MAX_CHAIN * 2);
  // A binding is kept or raised; what it is for stays.
  if (from.jkt !== undefined || from.mustBind) expect(made.jkt).toBeDefined();
  expect(made.jkt).toBe(presenter.jkt);
  for (const member of ['task', 'purpose'] as const) {
    if (from.context[member] !== undefined) expect(made.context[member]).toBe(from.context[member]);
  }
}

/** What must hold of every grant: person AND agent AND server AND request. */
function expectNarrowed(grant: Grant, made: Delegation, snapshot: RegistrySnapshot): void {
  const { subject: from, wanted: wish, presenter } = made;
  const client = snapshot.agent(presenter.clientId) ?? snapshot.serverByClientId(presenter.clientId);
  expect(within(grant.scopes, from.scopes)).toBe(true);
  if (wish.scopes !== undefined) expect(within(grant.scopes, wish.scopes)).toBe(true);
  expect(grant.notAfter).toBeLessThanOrEqual(made.notAfter);
  expect(grant.notAfter).toBeGreaterThan(NOW);
  if (client !== undefined && 'expires_at' in client)
    expect(grant.notAfter).toBeLessThanOrEqual(Date.parse(client.expires_at) / 1_000);
  if (client?.dpop_required === true) expect(made.jkt).toBeDefined();
  switch (wish.target.kind) {
    case 'domain':
      expect([grant.shape, grant.audience, grant.details]).toEqual(['txntoken+jwt', DOMAIN, from.details]);
      expect(client?.transaction_tokens).toBe(true);
      return;
    case 'agent':
      expect([grant.shape, grant.audience, grant.details]).toEqual(['hand-over', ISS, from.details]);
      expect(client !== undefined && 'hand_over_to' in client && client.hand_over_to).toContain(wish.target.clientId);
      expect(snapshot.agent(wish.target.clientId)?.status).toBe('active');
      return;
    case 'server':
      expectAtServer(grant, made, snapshot, wish.target.resource);
  }
}

function expectAtServer(
  grant: Grant,
  { subject: from, wanted: wish, presenter, jkt }: Delegation,
  snapshot: RegistrySnapshot,
  resource: string,
): void {
  const client = snapshot.agent(presenter.clientId) ?? snapshot.serverByClientId(presenter.clientId);
  const server = snapshot.serverByResource(resource);
  const ceilingThere = client?.allow.find((one) => one.resource === resource);
  expect([grant.audience, grant.shape, server?.status]).toEqual([resource, server?.token_shape, 'active']);
  expect(within(grant.scopes, ceilingThere?.scopes ?? [])).toBe(true);
  expect(within(grant.scopes, server?.scopes ?? [])).toBe(true);
  if (server?.dpop_required === true) expect(jkt).toBeDefined();
  const needed = new Set<string>();
  for (const { identifier, arguments_sha256, max_uses, locations } of grant.details ?? []) {
    const tool = server?.tools.find(({ name }) => name === identifier);
    const asked = wish.tools?.find(({ name }) => name === identifier);
    const before = from.details?.find((one) => one.identifier === identifier && one.locations[0] === resource);
    expect(locations).toEqual([resource]);
    if (ceilingThere?.tools !== '*') expect(ceilingThere?.tools).toContain(identifier);
    if (wish.tools !== undefined) expect(asked).toBeDefined();
    for (const scope of tool?.scopes ?? []) needed.add(scope);
    // A tool of the transaction stays within what the transaction has of it, arguments and uses.
    if (before !== undefined) {
      expect(max_uses).toBeLessThanOrEqual(before.max_uses);
      if (before.arguments_sha256 !== undefined) expect(arguments_sha256).toBe(before.arguments_sha256);
    } else if (from.details !== undefined) {
      expect([from.kind, tool?.tier]).toEqual(['transaction', 'low']);
      expect(from.details.map((one) => one.locations[0])).not.toContain(resource);
    }
    if (asked?.argumentsSha256 !== undefined) expect(arguments_sha256).toBe(asked.argumentsSha256);
    if (tool?.tier !== 'low') expect([max_uses, grant.details?.length]).toEqual([1, 1]);
    if (tool?.tier === 'high' || tool?.tier === 'critical') {
      expect(arguments_sha256).toBeDefined();
      expect(grant.localUses).toBe(false);
    }
  }
  expect([...needed].sort()).toEqual([...grant.scopes].sort());
}

const RUNS = 3_000;

describe('a delegation', () => {
  it('never outlives, outgrows or rewrites what it was made from', () => {
    let delegated = 0;
    fc.assert(
      fc.property(request, (one) => {
        const made = delegate(one, { issuer: ISS, maxActors: one.maxActors });
        if (!made.ok) return;
        delegated += 1;
        expectBounded(made.value, one);
      }),
      { numRuns: RUNS },
    );
    expect(delegated).toBeGreaterThan(RUNS / 20);
  });
});

describe('a decision', () => {
  const policies = permitEverything(
    SERVERS.flatMap((server) => TOOLS.map((name) => aTool({ server: uriOf(server), name, action: 'write' }))),
  );
  const decided = fc.record({ request, registry });

  it('never grants more than person, agent, server and request each have', () => {
    const granted = { server: 0, domain: 0, agent: 0 };
    fc.assert(
      fc.property(decided, ({ request: one, registry: snapshot }) => {
        const made = delegate(one, { issuer: ISS, maxActors: one.maxActors });
        if (!made.ok) return;
        const decision = decide(made.value, { registry: snapshot, policies, issuer: ISS, trustDomain: DOMAIN }, NOW);
        if (!decision.ok) return;
        granted[one.wanted.target.kind] += 1;
        expectNarrowed(decision.value.spend(), made.value, snapshot);
      }),
      { numRuns: RUNS },
    );
    for (const count of Object.values(granted)) expect(count).toBeGreaterThan(RUNS / 200);
  });

  it('refuses with less whatever it refuses with more: a narrower agent gets nothing that a wider one does not', () => {
    fc.assert(
      fc.property(decided, some(SCOPES), ({ request: one, registry: snapshot }, kept) => {
        const made = delegate(one, { issuer: ISS, maxActors: one.maxActors });
        if (!made.ok) return;
        const narrower = makeSnapshot(1, {
          agents: [...snapshot.agents].map((agent) => ({
            ...agent,
            allow: agent.allow.map((at) => ({
              ...at,
              scopes: at.scopes.filter((scope) => kept.some((one) => one === scope)),
            })),
          })),
          servers: [...snapshot.servers],
          issuers: [],
        });
        const by = (registryThen: RegistrySnapshot) =>
          decide(made.value, { registry: registryThen, policies, issuer: ISS, trustDomain: DOMAIN }, NOW);
        const [wide, narrow] = [by(snapshot), by(narrower)];
        if (!narrow.ok) return;
        expect(wide.ok).toBe(true);
        if (wide.ok) expect(within(narrow.value.spend().scopes, wide.value.spend().scopes)).toBe(true);
      }),
      { numRuns: RUNS },
    );
  });
});
