import { describe, expect, it } from '@jest/globals';
import { compilePolicySet, type DecisionInput, type PolicyTool } from '../../src/policy/index.js';
import { anInput, aTool, FILES, flawsOf, setOf, transfer } from '../support/policies.js';
import { wholeSet } from '../support/whole-set.js';

const ODD = aTool({
  name: 'odd',
  inputSchema: {
    type: 'object',
    properties: { principal: { type: 'string' }, agent: { type: 'string' }, n: { type: 'integer' } },
    required: ['principal', 'agent', 'n'],
  },
});
const TOOLS: readonly PolicyTool[] = [aTool(), ODD, transfer];

const people: readonly DecisionInput['person'][] = [
  { id: 'prs_ada', attributes: { owner: 'platform', agent: 'agt_planner', prs_ada: 'x' } },
  { id: undefined, attributes: {} },
  // One id for both, told apart by their types alone.
  { id: 'agt_planner', attributes: { owner: 'x' } },
];
const agents: readonly DecisionInput['agent'][] = [
  { id: 'agt_planner', owner: 'platform', kind: 'agent' },
  { id: 'prs_ada', owner: 'principal', kind: 'mcp_server' },
];
const ARGUMENTS = { principal: 'platform', agent: 'principal', n: 9_007_199_254_740_991 };
const inputs: readonly DecisionInput[] = people.flatMap((person) =>
  agents.flatMap((agent) =>
    [undefined, ARGUMENTS].map((args) =>
      anInput({ tool: { server: FILES, name: 'odd' }, person, agent, chain: [agent.id], arguments: args }),
    ),
  ),
);

/** What the engine errs on. */
const ERRS = 'context.chain.depth * 9007199254740991 * 9007199254740991 > 0';
const GUARDED = 'context has arguments &&';
/** What a policy may say of its principal, in every form that the engine reads. */
const attacks: readonly (readonly [string, string])[] = [
  ['in an entity', 'principal in Agent::"agt_planner"'],
  ['in the agent', 'principal in context.agent'],
  ['in a set with the person', 'principal in [context.person]'],
  ['of a type, in an entity', 'principal is Agent in Agent::"agt_planner"'],
  ['as the agent', 'principal == context.agent'],
  ['as not the agent', 'principal != context.agent'],
  ['as the person', 'context.person == principal'],
  ['as the resource', 'principal == resource || resource == principal'],
  ['with its owner', 'principal is Agent && principal.owner == "platform"'],
  ['with an attribute looked for', 'principal is Agent && principal has owner && principal has kind'],
  ['with an attribute that nobody has', 'principal has owner.kind || principal has "no such"'],
  [
    'with a tag that is named',
    'principal is Person && principal.hasTag("owner") && principal.getTag("owner") == "platform"',
  ],
  ['with a tag of the name of its agent', 'principal is Person && principal.hasTag(context.agent.owner)'],
  [
    'with a tag that is missing for one of them',
    'principal is Person && context.person.hasTag("agent") && principal.getTag("agent") == "agt_planner"',
  ],
  [
    'in an if, as what is asked',
    'if principal is Agent then context.agent.kind == "agent" else context.person.hasTag("owner")',
  ],
  ['in an if, as what comes of it', '(if context.sender_constrained then principal else principal) is Agent'],
  ['in an if, one branch of which fails', `if principal is Agent then ${ERRS} else true`],
  ['in an if, the other branch of which fails', `if principal is Agent then true else ${ERRS}`],
  [
    'in an if, an argument of which fails',
    `${GUARDED} (if principal is Agent then context.arguments.n * 1024 * 1024 > 0 else false)`,
  ],
  ['in an if that always fails for one', `if principal == context.person then ${ERRS} else false`],
  ['in a like', 'principal is Agent && principal.owner like "principal*"'],
  ['in a set', '[principal, context.agent].contains(context.agent)'],
  ['in a set of sets', '[[principal]].containsAny([[context.agent]])'],
  ['in a set as an element of records', '[{ who: principal }].contains({ who: context.agent })'],
  ['in a record', '{ principal: principal, context: 1 }.principal is Agent'],
  [
    'in a record by names that mean something',
    '{ "Var": "principal", "Value": principal, "pattern": principal }.Value is Person',
  ],
  ['in a record beside a name of the tree', '{ "entity_type": principal }.entity_type is Agent'],
  ['in a record named left', '{ left: { attr: principal } }.left.attr == context.agent'],
  ['behind two noes', '!(!(principal is Agent))'],
  ['as an argument’s name only', `${GUARDED} context.arguments.principal == context.arguments.agent`],
  ['beside an argument of its name', `${GUARDED} principal is Agent && context.arguments.principal == principal.owner`],
  ['as text only', 'context.agent.owner == "principal"'],
  ['with the action', 'action in Action::"read" && principal is Agent'],
];
const scopes = ['principal', 'principal is Agent', 'principal == Person::"prs_ada"'];
const PERMIT_ALL = { all: 'permit(principal, action, resource);' };
const PERMIT_OTHERS = {
  people: 'permit(principal is Person, action, resource);',
  planner: 'permit(principal == Agent::"agt_planner", action, resource);',
};

function compile(policies: Readonly<Record<string, string>>): ReturnType<typeof compilePolicySet> {
  const text = Object.entries(policies)
    .map(([id, one]) => `@id("${id}") ${one}`)
    .join('\n');
  return compilePolicySet([{ path: 'a.cedar', text }], TOOLS, { remember: 100 });
}

const policies = (effect: string, condition: string): readonly Readonly<Record<string, string>>[] =>
  scopes.flatMap((scope) =>
    ['when', 'unless'].flatMap((clause) =>
      [PERMIT_ALL, PERMIT_OTHERS].map((rest) => ({
        own: `${effect}(${scope}, action == Action::"${FILES}#odd", resource) ${clause} { ${condition} };`,
        ...(effect === 'permit' && rest === PERMIT_ALL ? {} : rest),
      })),
    ),
  );

describe('person and agent in one question: a policy that speaks of its principal', () => {
  it.each(attacks)('%s says what it says when each is asked alone', (_where, condition) => {
    const compiled = [...policies('permit', condition), ...policies('forbid', condition)].flatMap((texts) => {
      const set = compile(texts);
      return set.ok ? [{ texts, set: set.value }] : [];
    });
    expect(compiled.length).toBeGreaterThan(2);
    for (const { texts, set } of compiled)
      for (const input of inputs)
        expect([texts, input, set.decide(input)]).toMatchObject([texts, input, wholeSet(texts, input, TOOLS)]);
  });

  it('is asked of a human for the one that it forbids, and of nobody for the other', () => {
    const set = setOf(
      `@id("all") permit(principal, action, resource);
@id("servers") @requires("approval") forbid(principal, action, resource)
  when { principal is Agent && principal.kind == "mcp_server" };`,
      TOOLS,
    );
    const verdicts = inputs.map((input) => [input.agent.kind, set.decide(input).verdict]);
    expect(new Set(verdicts.map(String))).toEqual(new Set(['agent,allow', 'mcp_server,ask']));
  });

  it.each(['principal == ?principal, action, resource', 'principal in ?principal, action, resource'])(
    'is refused as a template: %s',
    (scope) => {
      expect(flawsOf(`@id("t") permit(${scope});`, TOOLS)).toHaveLength(1);
    },
  );

  it('names nobody by an empty id: whoever we have never met has none', () => {
    const unmet = 'names an entity without an id, which nobody has';
    for (const text of [
      '@id("a") permit(principal == Person::"", action, resource);',
      '@id("a") permit(principal is Person in Person::"", action, resource);',
      '@id("a") permit(principal, action, resource) when { principal == Person::"" };',
      '@id("a") permit(principal, action, resource) when { [Agent::"", context.agent].contains(principal) };',
    ])
      expect([text, flawsOf(text, TOOLS).map(({ problem }) => problem)]).toEqual([text, [unmet]]);
  });
});
