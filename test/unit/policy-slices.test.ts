import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { compilePolicySet, type DecisionInput, type PolicyTool } from '../../src/policy/index.js';
import { actionOf } from '../../src/policy/set/tool.js';
import { anInput, aTool, BANK, FILES, transfer } from '../support/policies.js';
import { wholeSet } from '../support/whole-set.js';

const TOOLS: readonly PolicyTool[] = [
  aTool(),
  aTool({ name: 'write_file', action: 'write', tier: 'high' }),
  aTool({ server: BANK }),
  transfer,
];

const actions = ['read', 'write', 'pay', 'data:confidential', 'tier:low', ...TOOLS.map(actionOf)].map(
  (id) => `Action::"${id}"`,
);
const servers = [FILES, BANK].map((id) => `Server::"${id}"`);

const principalScope = fc.constantFrom(
  ...['principal', 'principal is Person', 'principal is Agent', 'principal == Agent::"agt_planner"'],
  ...[
    'principal == Person::"prs_ada"',
    'principal in Agent::"agt_other"',
    'principal is Agent in Agent::"agt_planner"',
  ],
);
const actionScope = fc.oneof(
  fc.constant('action'),
  fc.constantFrom(...actions).map((one) => `action == ${one}`),
  fc.constantFrom(...actions).map((one) => `action in ${one}`),
  fc
    .uniqueArray(fc.constantFrom(...actions), { minLength: 1, maxLength: 3 })
    .map((some) => `action in [${some.join(', ')}]`),
);
const resourceScope = fc.oneof(
  fc.constantFrom('resource', 'resource is Server'),
  fc.constantFrom(...servers).map((one) => `resource == ${one}`),
  fc.constantFrom(...servers).map((one) => `resource is Server in ${one}`),
);
const condition = fc.constantFrom(
  ...['true', 'context.chain.depth > 1', '!context.sender_constrained', 'context has task', 'context.session has age'],
  ...['action in Action::"pay"', `resource == ${servers[0] ?? ''}`],
  ...['context.person.hasTag("department") && context.person.getTag("department") == "finance"'],
  ...[
    'context.agent.kind == "agent"',
    'context.agent == Agent::"agt_other"',
    'principal is Agent && principal.owner like "p*"',
  ],
  ...['context.time.now > datetime("2026-11-22T12:00:00Z")', 'context.time.hour < 6 || context.time.weekday == 7'],
  ...[
    'principal == context.agent',
    'principal is Agent && [context.agent].contains(principal)',
    '{ principal: principal }.principal is Agent',
  ],
  ...[
    'principal is Person && context has task && principal.hasTag(context.task)',
    'resource is Server && principal is Agent && principal.kind == "agent"',
  ],
  ...['context has arguments', 'context.network has ip && context.network.ip.isInRange(ip("192.0.2.0/24"))'],
  ...['context.authn has age && context.authn.age + 9007199254740991 * 1024 > 0'],
  ...['context has arguments && context.chain.agents.contains("agt_other")'],
);
const policy = fc
  .tuple(fc.constantFrom('permit', 'permit', 'forbid'), principalScope, actionScope, resourceScope, condition)
  .map(
    ([effect, ...[principal, action, resource, when]]) =>
      `${effect}(${principal}, ${action}, ${resource}) ${when.includes('has arguments') && effect === 'forbid' ? 'unless' : 'when'} { ${when} };`,
  );

const input: fc.Arbitrary<DecisionInput> = fc
  .record({
    tool: fc.constantFrom(...TOOLS).map(({ server, name }) => ({ server, name })),
    person: fc.constantFrom(
      { id: 'prs_ada', attributes: { department: 'finance' } },
      { id: undefined, attributes: {} },
    ),
    agent: fc.constantFrom(
      { id: 'agt_planner', owner: 'platform', kind: 'agent' as const },
      { id: 'agt_other', owner: 'x', kind: 'mcp_server' as const },
    ),
    chain: fc.constantFrom(['agt_planner'], ['agt_planner', 'agt_other']),
    task: fc.constantFrom(undefined, 'T-1'),
    now: fc.constantFrom(1_795_305_600, 1_795_348_801),
    ip: fc.constantFrom(undefined, '192.0.2.7', '2001:db8::/64'),
    authTime: fc.constantFrom(undefined, 1_795_305_000, 0),
    senderConstrained: fc.boolean(),
    arguments: fc.constantFrom(undefined, { amount: 5, to: 'a', times: 1 }),
  })
  .map((difference) => anInput(difference));

describe('slices', () => {
  it('decide what the whole set decides, for any policies, tool and input', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(
        fc.array(policy, { minLength: 1, maxLength: 8 }),
        fc.array(input, { minLength: 6, maxLength: 6 }),
        (texts, inputs) => {
          const policies = Object.fromEntries(texts.map((text, index) => [`p${String(index)}`, text]));
          const text = Object.entries(policies)
            .map(([id, one]) => `@id("${id}") ${one}`)
            .join('\n');
          const compiled = compilePolicySet([{ path: 'a.cedar', text }], TOOLS, { remember: 4 });
          // What is impossible by its types, or may lack its arguments, is refused before it decides anything.
          fc.pre(compiled.ok);
          for (const asked of [...inputs, ...inputs]) {
            const decided = compiled.value.decide(asked);
            seen.add(decided.verdict === 'deny' ? decided.reason : decided.verdict);
            expect(decided).toMatchObject(wholeSet(policies, asked, TOOLS));
          }
        },
      ),
      { numRuns: 100 },
    );
    expect([...seen].sort()).toEqual(['allow', 'broken', 'forbidden', 'not_permitted']);
  });
});
