import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { decide, type Opinion, type Opinions, policyTools, questionOf } from '../../src/policy/index.js';
import { Agent, makeSnapshot, McpServer } from '../../src/registry/index.js';
import { delegation, ISS, NOW, presenter, RS, subject, wanted } from '../support/delegations.js';
import { permitEverything, setOf } from '../support/policies.js';
import { reviewedTool } from '../support/tools.js';

const authentication = { method: 'client_secret_basic' as const };
const keep = {
  ...reviewedTool('keep', { scopes: ['files:read'], tier: 'low', action: 'read' }),
  sensitive: ['secret'],
};
const registry = makeSnapshot(1, {
  agents: [
    {
      ...Agent.parse({
        client_id: 'agt_a',
        name: 'A',
        owner: 'o',
        purpose: 'p',
        authentication,
        allow: [{ resource: RS, scopes: ['files:read'], tools: '*' }],
        expires_at: new Date((NOW + 86_400) * 1000).toISOString(),
      }),
      secretHash: undefined,
    },
  ],
  servers: [
    {
      ...McpServer.parse({
        resource: RS,
        client_id: 'srv_files',
        name: 'Files',
        owner: 'o',
        authentication,
        scopes: ['files:read'],
        tools: [
          reviewedTool('read', { scopes: ['files:read'], tier: 'low', action: 'read' }),
          reviewedTool('list', { scopes: ['files:read'], tier: 'low', action: 'read' }),
          keep,
        ],
      }),
      secretHash: undefined,
    },
  ],
  issuers: [],
});
const catalogue = policyTools(registry.servers);

type Args = Readonly<Record<string, string>>;
const asking = (names: readonly string[], args?: Args, person = subject().person) =>
  delegation({
    subject: subject({ person }),
    presenter: presenter('agt_a'),
    wanted: wanted({
      tools: names.map((name) => ({
        name,
        arguments: args,
        argumentsSha256: undefined,
        definitionSha256: undefined,
        maxUses: undefined,
      })),
    }),
  });
const decided = (opinions: Opinions | undefined, names = ['read', 'list'], policies = permitEverything(catalogue)) => {
  const decision = decide(
    asking(names),
    { registry, policies, opinions, issuer: ISS, trustDomain: 'trust.example' },
    NOW,
  );
  return decision.ok ? 'permitted' : decision.error;
};
const yes = (point: string, tools: readonly string[] = ['read', 'list']): Opinion => ({
  point,
  says: 'yes',
  because: 'decided',
  tools,
});
const no = (because: Opinion['because'], refused?: string): Opinion => ({
  ...yes('one'),
  says: 'no',
  because,
  ...(refused === undefined ? {} : { refused }),
});
const refused = (reason: string, because: string, tool: string) => ({
  reason,
  term: 'policy',
  point: 'one',
  because,
  tool,
  decision: expect.stringMatching(/^dec_/),
  policies: [],
  messages: [],
});

describe('a decision with other decision points', () => {
  it('is a permit without any that is configured', () => {
    expect(decided(undefined)).toBe('permitted');
  });

  it('is a permit when each of them says yes to every tool', () => {
    expect(decided({ wanted: ['one', 'two'], given: [yes('one'), yes('two')] })).toBe('permitted');
  });

  it.each<[string, readonly Opinion[], string]>([
    ['nobody has been asked', [], 'read'],
    ['another one has answered', [yes('two')], 'read'],
    ['the answer is about one tool only', [yes('one', ['read'])], 'list'],
    ['the answer is about other tools', [yes('one', ['keep'])], 'read'],
  ])('is a refusal for silence when %s', (_, given, tool) => {
    expect(decided({ wanted: ['one'], given })).toEqual(refused('decision_point_silent', 'malformed', tool));
  });

  it.each<[Opinion['because'], string]>([
    ['decided', 'decision_point_refuses'],
    ['obligation', 'decision_point_refuses'],
    ['timeout', 'decision_point_silent'],
    ['unreachable', 'decision_point_silent'],
    ['wrong_status', 'decision_point_silent'],
    ['malformed', 'decision_point_silent'],
    ['too_large', 'decision_point_silent'],
    ['not_discovered', 'decision_point_silent'],
    ['circuit_open', 'decision_point_silent'],
  ])('is a refusal when one says no because of %s', (because, reason) => {
    expect(decided({ wanted: ['two', 'one'], given: [yes('two'), no(because, 'list')] })).toEqual(
      refused(reason, because, 'list'),
    );
  });

  it('is a refusal when one point says yes and no', () => {
    expect(decided({ wanted: ['one'], given: [yes('one'), no('decided')] })).toEqual(
      refused('decision_point_refuses', 'decided', 'read'),
    );
  });

  it('asks no human for what another point refuses, and says first what a policy forbids', () => {
    const asks = setOf(
      '@id("all") permit (principal, action, resource); @id("ask") @requires("approval") forbid (principal, action, resource);',
      catalogue,
    );
    const forbids = setOf('@id("none") forbid (principal, action, resource);', catalogue);
    expect(decided({ wanted: ['one'], given: [yes('one')] }, ['read', 'list'], asks)).toMatchObject({
      ask: 'approval',
    });
    const dissent = { wanted: ['one'], given: [no('decided', 'read')] };
    expect(decided(dissent, ['read', 'list'], asks)).toEqual(refused('decision_point_refuses', 'decided', 'read'));
    expect(decided(dissent, ['read', 'list'], forbids)).toMatchObject({ reason: 'policy_forbids' });
  });

  it('is a permit only if every wanted point has said yes to every tool, and none has said no', () => {
    const point = fc.constantFrom('one', 'two', 'three');
    const opinion = fc.record({
      point,
      says: fc.constantFrom('yes' as const, 'no' as const),
      because: fc.constant('decided' as const),
      tools: fc.subarray(['read', 'list']),
    });
    fc.assert(
      fc.property(fc.uniqueArray(point, { minLength: 1 }), fc.array(opinion, { maxLength: 6 }), (names, given) => {
        const isUnanimous = names.every(
          (name) =>
            given.every((one) => one.point !== name || one.says === 'yes') &&
            ['read', 'list'].every((tool) => given.some((one) => one.point === name && one.tools.includes(tool))),
        );
        expect(decided({ wanted: names, given }) === 'permitted').toBe(isUnanimous);
      }),
    );
  });
});

describe('the question to other decision points', () => {
  it('has the arguments of a call but those that the catalogue marks as sensitive', () => {
    const question = questionOf(asking(['keep'], { path: 'a', secret: 'x' }), registry);
    expect(question?.tools).toEqual([
      {
        name: 'keep',
        action: 'read',
        data: 'internal',
        tier: 'low',
        argumentsSha256: undefined,
        arguments: { path: 'a' },
      },
    ]);
  });

  it('names a person whom nobody has met in a way that no id of ours can be written', () => {
    const stranger = { id: undefined, issuer: 'https://idp.example', subject: 'prs_1', attributes: {} };
    expect(questionOf(asking(['read'], undefined, stranger), registry)?.person.id).toBe('https://idp.example#prs_1');
    expect(questionOf(asking(['read']), registry)?.person.id).toBe('prs_1');
  });

  it('is not asked for what the ceilings refuse', () => {
    expect(questionOf(asking(['unheard_of']), registry)).toBeUndefined();
  });
});
