import { describe, expect, it } from '@jest/globals';
import type { Subject, WantedTool } from '../../src/delegation/index.js';
import { decide, policyTools } from '../../src/policy/index.js';
import type { McpToolCall } from '../../src/protocol/index.js';
import {
  Agent,
  type AgentInput,
  makeSnapshot,
  McpServer,
  type McpServerInput,
  Tool,
  type ToolInput,
} from '../../src/registry/index.js';
import { delegation, ISS, NOW, presenter, RS, subject, wanted } from '../support/delegations.js';
import { permitEverything, setOf } from '../support/policies.js';
import { pinOf, reviewedTool } from '../support/tools.js';

type World = Readonly<{ agent?: Partial<AgentInput>; server?: Partial<McpServerInput> }>;

const authentication = { method: 'client_secret_basic' as const };
const agent = (changes: Partial<AgentInput> = {}) => ({
  ...Agent.parse({
    client_id: 'agt_a',
    name: 'A',
    owner: 'o',
    purpose: 'p',
    authentication,
    allow: [{ resource: RS, scopes: ['files:read', 'files:write'], tools: ['read', 'list', 'write', 'wipe'] }],
    hand_over_to: ['agt_b', 'agt_off', 'agt_a'],
    expires_at: new Date((NOW + 86_400) * 1000).toISOString(),
    ...changes,
  }),
  secretHash: undefined,
});
const files = (changes: Partial<McpServerInput> = {}) => ({
  ...McpServer.parse({
    resource: RS,
    client_id: 'srv_files',
    name: 'Files',
    owner: 'o',
    authentication,
    scopes: ['files:read', 'files:write', 'files:admin'],
    tools: [
      reviewedTool('read', { scopes: ['files:read'], tier: 'low', action: 'read' }),
      reviewedTool('list', { scopes: ['files:read'], tier: 'low', action: 'read' }),
      reviewedTool('move', { scopes: ['files:read', 'files:write'], tier: 'low', action: 'write' }),
      reviewedTool('write', { scopes: ['files:write'], tier: 'medium', action: 'write' }),
      reviewedTool('wipe', { scopes: ['files:write'], tier: 'high', action: 'delete' }),
    ],
    ...changes,
  }),
  secretHash: undefined,
});

const rules = ({ agent: a, server: s }: World = {}) => {
  const registry = makeSnapshot(1, {
    agents: [agent(a), agent({ client_id: 'agt_b' }), agent({ client_id: 'agt_off', status: 'disabled' })],
    servers: [files(s)],
    issuers: [],
  });
  const policies = permitEverything(policyTools(registry.servers));
  return { registry, policies, issuer: ISS, trustDomain: 'trust.example' };
};
const tool = (name: string, changes: Partial<WantedTool> = {}): WantedTool => ({
  name,
  arguments: undefined,
  argumentsSha256: undefined,
  definitionSha256: undefined,
  maxUses: undefined,
  ...changes,
});
const detail = (identifier: string, changes: Partial<McpToolCall> = {}): McpToolCall => ({
  type: 'mcp_tool_call',
  locations: [RS],
  actions: ['tools/call'],
  identifier,
  definition_sha256: pinOf(identifier),
  max_uses: 10,
  ...changes,
});

type Wish = Parameters<typeof wanted>[0] & Readonly<{ subject?: Subject; world?: World; jkt?: string }>;
const decided = ({ subject: of, world, jkt, ...wish }: Wish) => {
  const made = delegation({
    subject: of ?? subject(),
    presenter: presenter('agt_a', { jkt }),
    wanted: wanted(wish),
  });
  return decide(made, rules(world), NOW);
};
const permitted = (wish: Wish) => {
  const decision = decided(wish);
  if (!decision.ok) throw new Error(JSON.stringify(decision.error));
  const { scopes, details, localUses, shape, audience } = decision.value.spend();
  return { scopes, details, localUses, shape, audience };
};
const refusal = (wish: Wish): unknown => {
  const decision = decided(wish);
  return decision.ok ? 'permitted' : decision.error;
};
const D1 = 'a'.repeat(43);
const D2 = 'b'.repeat(43);

describe('permission is person AND agent AND server AND request', () => {
  it('gives the named tool with the scope that it needs', () => {
    expect(permitted({ tools: [tool('read')] })).toEqual({
      scopes: ['files:read'],
      details: [detail('read')],
      localUses: true,
      shape: 'txnat+jwt',
      audience: RS,
    });
  });

  it('asked for nothing, gives nothing but the door', () => {
    expect(permitted({})).toMatchObject({ scopes: [], details: undefined });
  });

  it('asked for a scope alone, names the low tools that it covers and no other', () => {
    expect(permitted({ scopes: ['files:read'] }).details).toEqual([detail('read'), detail('list')]);
  });

  it.each<[string, Wish, unknown]>([
    [
      'the person',
      { scopes: ['files:write'], subject: subject({ scopes: ['files:read'] }) },
      { reason: 'scope_too_wide', term: 'person', scopes: ['files:write'] },
    ],
    ['the agent', { scopes: ['files:admin'] }, { reason: 'scope_too_wide', term: 'agent', scopes: ['files:admin'] }],
    ['the server', { scopes: ['mail:read'] }, { reason: 'scope_too_wide', term: 'server', scopes: ['mail:read'] }],
    [
      'the person, for a tool',
      { tools: [tool('write')], subject: subject({ scopes: ['files:read'] }) },
      { reason: 'scope_too_wide', term: 'person', scopes: ['files:write'] },
    ],
    [
      'the request, which asks for more than its tools need',
      { scopes: ['files:read', 'files:write'], tools: [tool('read')] },
      { reason: 'scope_too_wide', term: 'request', scopes: ['files:write'] },
    ],
    [
      'the request, which asks for less',
      { scopes: ['files:read'], tools: [tool('write')] },
      { reason: 'scope_misses_tool', term: 'request', tool: 'write' },
    ],
    [
      'the request, when its scope covers no low tool',
      { scopes: ['files:write'] },
      { reason: 'nothing_granted', term: 'request' },
    ],
  ])('refuses a scope beyond %s', (_, wish, wantedRefusal) => {
    expect(refusal(wish)).toEqual(wantedRefusal);
  });

  it.each<[string, Wish, unknown]>([
    [
      'the server does not have',
      { tools: [tool('format')] },
      { reason: 'tool_not_granted', term: 'server', tool: 'format' },
    ],
    ['the agent may not call', { tools: [tool('move')] }, { reason: 'tool_not_granted', term: 'agent', tool: 'move' }],
    [
      'the transaction was not given for',
      { tools: [tool('list')], subject: subject({ details: [detail('read')] }) },
      { reason: 'tool_not_granted', term: 'person', tool: 'list' },
    ],
    [
      'the transaction was given for at another server',
      {
        tools: [tool('read')],
        subject: subject({ details: [detail('read', { locations: ['https://mcp2.example'] })] }),
      },
      { reason: 'tool_not_granted', term: 'person', tool: 'read' },
    ],
    [
      'make more than 32',
      { tools: Array.from({ length: 33 }, (_, n) => tool(`t${n}`)) },
      { reason: 'too_many_tools', term: 'request' },
    ],
  ])('refuses a tool that %s', (_, wish, wantedRefusal) => {
    expect(refusal(wish)).toEqual(wantedRefusal);
  });

  it('reads the star of an agent’s ceiling as every registered tool', () => {
    const allow = [{ resource: RS, scopes: ['files:read', 'files:write'], tools: '*' as const }];
    expect(permitted({ tools: [tool('move')], world: { agent: { allow } } }).scopes).toEqual([
      'files:read',
      'files:write',
    ]);
  });
});

describe('a tool can be called only as it was reviewed (TL-01)', () => {
  const OTHER = 'B'.repeat(43);
  const draft = Tool.parse({ name: 'read', scopes: ['files:read'], tier: 'low' });
  const reviewed = reviewedTool('read', { scopes: ['files:read'], tier: 'low', action: 'read' });
  const changed: ToolInput = {
    ...reviewed,
    changed: { sha256: OTHER, seen_by: 'import', seen_at: '2026-11-22T12:00:00Z' },
  };
  const having = (one: ToolInput): World => ({ server: { tools: [one] } });
  it.each([
    ['a draft', having(draft), tool('read'), { reason: 'tool_not_reviewed', term: 'tool', tool: 'read' }],
    [
      'one that has changed since',
      having(changed),
      tool('read'),
      { reason: 'tool_needs_review', term: 'tool', tool: 'read' },
    ],
    [
      'one that the agent was shown in another form',
      having(reviewed),
      tool('read', { definitionSha256: OTHER }),
      { reason: 'tool_changed', term: 'tool', tool: 'read', seen: OTHER },
    ],
  ])('refuses %s', (_title, world, wish, refusal) => {
    expect(decided({ world, tools: [wish] })).toEqual({ ok: false, error: refusal });
  });
  it.each<[string, Wish, object]>([
    ['person without its scope', { subject: subject({ scopes: ['files:write'] }) }, { term: 'person' }],
    [
      'agent without its scope',
      { world: { agent: { allow: [{ resource: RS, scopes: ['files:write'], tools: '*' }] } } },
      { term: 'agent' },
    ],
  ])('takes no word on its form from a %s', (_who, wish, term) => {
    expect(decided({ ...wish, tools: [tool('read', { definitionSha256: OTHER })] })).toEqual({
      ok: false,
      error: { reason: 'scope_too_wide', scopes: ['files:read'], ...term },
    });
  });
  it('takes no word on the form of a tool that the transaction was not given for', () => {
    const held = subject({ details: [detail('list')] });
    expect(decided({ tools: [tool('read', { definitionSha256: OTHER })], subject: held })).toEqual({
      ok: false,
      error: { reason: 'tool_not_granted', term: 'person', tool: 'read' },
    });
  });
  it.each([
    ['permit for the agent', '@id("people") permit(principal is Person, action, resource);', 'policy_does_not_permit'],
    [
      'policy but one that forbids',
      '@id("all") permit(principal, action, resource); @id("no") forbid(principal == Agent::"agt_a", action, resource);',
      'policy_forbids',
    ],
  ])('takes no word on its form where there is no %s', (_what, text, reason) => {
    const shown = delegation({
      subject: subject(),
      presenter: presenter(),
      wanted: wanted({ tools: [tool('read', { definitionSha256: OTHER })] }),
    });
    const { registry, ...others } = rules();
    const policies = setOf(text, policyTools(registry.servers));
    expect(decide(shown, { ...others, registry, policies }, NOW)).toMatchObject({ ok: false, error: { reason } });
  });
  it('refuses what the transaction held in another form', () => {
    const held = subject({ details: [detail('read', { definition_sha256: OTHER })] });
    expect(decided({ tools: [tool('read')], subject: held })).toEqual({
      ok: false,
      error: { reason: 'tool_changed', term: 'tool', tool: 'read', seen: OTHER },
    });
  });
  it('permits the form that was reviewed, and the token says which', () => {
    const wish = tool('read', { definitionSha256: pinOf('read') });
    expect(permitted({ tools: [wish] }).details).toEqual([detail('read')]);
  });
  it('leaves drafts out of what a scope alone covers', () => {
    expect(decided({ world: having(draft), scopes: ['files:read'] })).toEqual({
      ok: false,
      error: { reason: 'nothing_granted', term: 'request' },
    });
  });
});

describe('authority is proportional to risk', () => {
  it.each<[string, Wish, readonly McpToolCall[]]>([
    ['a low tool has ten uses', { tools: [tool('read')] }, [detail('read')]],
    [
      'a low tool has as many as were named',
      { tools: [tool('read', { maxUses: 100 })] },
      [detail('read', { max_uses: 100 })],
    ],
    [
      'a low tool with exact arguments has one',
      { tools: [tool('read', { argumentsSha256: D1 })] },
      [detail('read', { arguments_sha256: D1, max_uses: 1 })],
    ],
    ['a medium tool has one', { tools: [tool('write')] }, [detail('write', { max_uses: 1 })]],
    [
      'a high tool has one with exact arguments',
      { tools: [tool('wipe', { argumentsSha256: D1 })] },
      [detail('wipe', { arguments_sha256: D1, max_uses: 1 })],
    ],
    [
      'uses never exceed what the transaction held',
      { tools: [tool('read')], subject: subject({ details: [detail('read', { max_uses: 3 })] }) },
      [detail('read', { max_uses: 3 })],
    ],
    [
      'exact arguments of the transaction stay exact',
      { tools: [tool('read')], subject: subject({ details: [detail('read', { arguments_sha256: D1 })] }) },
      [detail('read', { arguments_sha256: D1, max_uses: 1 })],
    ],
  ])('%s', (_, wish, details) => {
    expect(permitted(wish).details).toEqual(details);
  });

  it.each<[string, Wish, unknown]>([
    [
      'more uses than any token has',
      { tools: [tool('read', { maxUses: 101 })] },
      { reason: 'too_many_uses', term: 'server', tool: 'read' },
    ],
    [
      'a second use of a medium tool',
      { tools: [tool('write', { maxUses: 2 })] },
      { reason: 'too_many_uses', term: 'server', tool: 'write' },
    ],
    [
      'more uses than the transaction held',
      { tools: [tool('read', { maxUses: 4 })], subject: subject({ details: [detail('read', { max_uses: 3 })] }) },
      { reason: 'too_many_uses', term: 'server', tool: 'read' },
    ],
    [
      'a medium tool beside another',
      { tools: [tool('read'), tool('write')] },
      { reason: 'one_call_per_token', term: 'server', tool: 'write' },
    ],
    [
      'a high tool without its arguments',
      { tools: [tool('wipe')] },
      { reason: 'arguments_required', term: 'server', tool: 'wipe' },
    ],
    [
      'other arguments than the transaction’s',
      {
        tools: [tool('read', { argumentsSha256: D2 })],
        subject: subject({ details: [detail('read', { arguments_sha256: D1 })] }),
      },
      { reason: 'arguments_changed', term: 'person', tool: 'read' },
    ],
  ])('refuses %s', (_, wish, wantedRefusal) => {
    expect(refusal(wish)).toEqual(wantedRefusal);
  });

  it('lets the server count uses itself only where no tool is high or critical', () => {
    expect(permitted({ tools: [tool('read')] }).localUses).toBe(true);
    expect(permitted({ tools: [tool('wipe', { argumentsSha256: D1 })] }).localUses).toBe(false);
  });
});

describe('the target', () => {
  it.each<[string, Wish, unknown]>([
    [
      'a server that nobody registered',
      { target: { kind: 'server', resource: 'https://x.example' } },
      { reason: 'unknown_target', term: 'server' },
    ],
    [
      'a server that is disabled',
      { world: { server: { status: 'disabled' } } },
      { reason: 'unknown_target', term: 'server' },
    ],
    [
      'a server that the agent has no ceiling for',
      { world: { agent: { allow: [] } } },
      { reason: 'target_not_allowed', term: 'agent' },
    ],
    [
      'the domain, without the right to it',
      { target: { kind: 'domain', name: 'trust.example' } },
      { reason: 'domain_not_allowed', term: 'agent' },
    ],
    [
      'a sub-agent that is not named',
      { target: { kind: 'agent', clientId: 'agt_x' } },
      { reason: 'hand_over_not_allowed', term: 'agent' },
    ],
    [
      'a sub-agent that is disabled',
      { target: { kind: 'agent', clientId: 'agt_off' } },
      { reason: 'hand_over_not_allowed', term: 'agent' },
    ],
    ['itself', { target: { kind: 'agent', clientId: 'agt_a' } }, { reason: 'hand_over_not_allowed', term: 'agent' }],
    [
      'a sub-agent with tools',
      { target: { kind: 'agent', clientId: 'agt_b' }, tools: [tool('read')] },
      { reason: 'tools_not_here', term: 'request' },
    ],
    [
      'a sub-agent with a scope beyond the agent’s own',
      {
        target: { kind: 'agent', clientId: 'agt_b' },
        scopes: ['mail:read'],
        subject: subject({ scopes: ['mail:read'] }),
      },
      { reason: 'scope_too_wide', term: 'agent', scopes: ['mail:read'] },
    ],
    [
      'a sub-agent when nothing is left',
      { target: { kind: 'agent', clientId: 'agt_b' }, subject: subject({ scopes: ['mail:read'] }) },
      { reason: 'nothing_granted', term: 'agent' },
    ],
    [
      'a sub-agent with a scope that the person did not give',
      {
        target: { kind: 'agent', clientId: 'agt_b' },
        scopes: ['files:write'],
        subject: subject({ scopes: ['files:read'] }),
      },
      { reason: 'scope_too_wide', term: 'person', scopes: ['files:write'] },
    ],
    [
      'a bound one, unbound, for the server',
      { world: { server: { dpop_required: true } } },
      { reason: 'proof_of_possession_required', term: 'server' },
    ],
    [
      'a bound one, unbound, for the agent',
      { world: { agent: { dpop_required: true } } },
      { reason: 'proof_of_possession_required', term: 'agent' },
    ],
    [
      'anything after its own end',
      { world: { agent: { expires_at: new Date(NOW * 1000).toISOString() } } },
      { reason: 'life_is_over', term: 'person' },
    ],
  ])('may not be %s', (_, wish, wantedRefusal) => {
    expect(refusal(wish)).toEqual(wantedRefusal);
  });

  it('is a sub-agent for what agent and person both have', () => {
    const of = subject({ scopes: ['files:read', 'mail:read'], details: [detail('read')] });
    expect(permitted({ target: { kind: 'agent', clientId: 'agt_b' }, subject: of })).toEqual({
      scopes: ['files:read'],
      details: [detail('read')],
      localUses: false,
      shape: 'hand-over',
      audience: ISS,
    });
  });

  it('is the trust domain with the scope of the transaction, or less', () => {
    const world = { agent: { transaction_tokens: true } };
    const target = { kind: 'domain' as const, name: 'trust.example' };
    expect(permitted({ target, world })).toMatchObject({
      scopes: ['files:read', 'files:write'],
      shape: 'txntoken+jwt',
      audience: 'trust.example',
    });
    expect(permitted({ target, world, scopes: ['files:read'] }).scopes).toEqual(['files:read']);
  });

  it('gets the shape of token that it was registered with', () => {
    expect(permitted({ tools: [tool('read')], world: { server: { token_shape: 'at+jwt' } } }).shape).toBe('at+jwt');
  });
});

describe('a permit', () => {
  it('is spent once', () => {
    const decision = decided({ tools: [tool('read')] });
    if (!decision.ok) throw new Error('refused');
    expect(decision.value.spend().decision).toMatch(/^dec_/);
    expect(() => decision.value.spend()).toThrow(new TypeError('a Permit is spent once'));
  });
  it('shows nothing of itself before', () => {
    const decision = decided({ tools: [tool('read')] });
    expect(decision.ok && JSON.stringify(decision.value)).toBe('{}');
  });
  it('ends with the agent when that ends first', () => {
    const expires_at = new Date((NOW + 60) * 1000).toISOString();
    const decision = decided({ tools: [tool('read')], world: { agent: { expires_at } } });
    expect(decision.ok && decision.value.spend().notAfter).toBe(NOW + 60);
  });
});
