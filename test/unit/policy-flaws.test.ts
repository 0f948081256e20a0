import { describe, expect, it } from '@jest/globals';
import { compilePolicySet } from '../../src/policy/index.js';
import { anInput, aTool, BANK, FILES, flawsOf, setOf, transfer } from '../support/policies.js';

const fine = '@id("fine") permit(principal, action, resource);';
const TRANSFER = `action == Action::"${BANK}#transfer"`;
const forbid = (condition: string, annotations = '@id("no")'): string =>
  `${annotations} forbid(principal, ${TRANSFER}, resource) ${condition};`;
const GUARD = '@id("guard") forbid(principal, action, resource) unless { context has arguments };';

describe('a policy set is refused whole, with line and column,', () => {
  it.each([
    [
      'a syntax error',
      `${fine}\n\n  @id("b") forbd(principal, action, resource);`,
      3,
      12,
      undefined,
      'invalid policy effect: forbd',
    ],
    [
      'a syntax error after text that is not ASCII',
      `${fine}\n@id("b") @reason("é€😀") forbid(principal, action, resource) when { contxt.x };`,
      2,
      68,
      undefined,
      'invalid member access',
    ],
    [
      'a string that does not close',
      `${fine}\n@id("b") forbid(principal, action, resource) when { "; };`,
      2,
      53,
      undefined,
      'invalid token',
    ],
    [
      'a policy without its semicolon',
      `${fine}\n@id("b") permit(principal, action, resource)`,
      2,
      45,
      undefined,
      'unexpected end of input',
    ],
    [
      'a template',
      `${fine}\n@id("b") permit(principal == ?principal, action, resource);`,
      2,
      30,
      undefined,
      'expected a static policy',
    ],
    [
      'an unknown annotation',
      `${fine}\n@id("b") @resaon("x") forbid(principal, action, resource);`,
      2,
      1,
      'b',
      'has an unknown annotation @resaon',
    ],
    ['no @id', `${fine}\npermit(principal, action, resource);`, 2, 1, undefined, 'has no @id'],
    [
      'an @id that no header could carry',
      '@id("a b") permit(principal, action, resource);',
      1,
      1,
      'a b',
      'has an @id that is not',
    ],
    [
      'two policies with one id',
      `${fine}\n// again\n${fine}`,
      3,
      1,
      'fine',
      'has the @id of the policy at test.cedar:1',
    ],
    [
      'an action that no tool is',
      `@id("b") permit(principal, action == Action::"${FILES}#read_fil", resource);`,
      1,
      38,
      'b',
      'unrecognized action',
    ],
    [
      'a group that there is not',
      '@id("b") permit(principal, action in Action::"reed", resource);',
      1,
      38,
      'b',
      'unrecognized action',
    ],
    [
      'a type that there is not',
      '@id("b") permit(principal is Human, action, resource);',
      1,
      30,
      'b',
      'unrecognized entity type `Human`',
    ],
    [
      'an attribute that there is not',
      '@id("b") permit(principal, action, resource) when { context.session.count > 1 };',
      1,
      53,
      'b',
      'attribute `session.count` in context',
    ],
    [
      'an argument that the schema has not',
      forbid('unless { context has arguments && context.arguments.amont > 5 }'),
      1,
      undefined,
      'no',
      'amont',
    ],
    [
      'a comparison of different types',
      forbid('unless { context has arguments && context.arguments.amount < 5 }'),
      1,
      undefined,
      'no',
      'unexpected type',
    ],
    [
      'a policy that is always false',
      '@id("b") permit(principal, action, resource) when { false };',
      1,
      1,
      'b',
      'policy is impossible',
    ],
    [
      'a policy that its types make impossible',
      '@id("b") permit(principal is Server, action, resource);',
      1,
      1,
      'b',
      'unable to find an applicable action',
    ],
    [
      'an integer that would be rounded',
      forbid('when { context.session.age > 9007199254740993 }'),
      1,
      1,
      'no',
      'has a number beyond 2^53',
    ],
    ['the context as a whole', forbid('when { context == context }'), 1, 1, 'no', 'looks at context as a whole'],
    [
      'a question to an entity beside the request',
      forbid('when { Agent::"a".owner == "x" }'),
      1,
      1,
      'no',
      'asks something of an entity that it names',
    ],
    [
      'brackets in brackets',
      forbid(`when { ${'('.repeat(25)}true${')'.repeat(25)} }`),
      1,
      undefined,
      undefined,
      'nests too deep',
    ],
    [
      'an expression without end',
      forbid(`when { ${Array(2_000).fill('true').join('&&')} }`),
      1,
      undefined,
      undefined,
      'is too long',
    ],
    [
      'an expression that is too deep for the engine',
      forbid(`when { ${Array(90).fill('context.sender_constrained').join(' && ')} }`),
      1,
      1,
      'no',
      'nests too deep',
    ],
  ] as const)('for %s', (_name, text, line, column, policy, problem) => {
    const [flaw, ...others] = flawsOf(text);
    expect(others).toEqual([]);
    expect(flaw).toEqual({
      path: 'test.cedar',
      line,
      column: column ?? expect.any(Number),
      policy,
      problem: expect.stringContaining(problem),
    });
  });

  it.each([
    ['@requires("aproval")', 'something else than'],
    ['@requires("approval") @approvers("a,,b")', 'has @approvers that is not a list'],
    ['@approvers("a")', 'has @approvers without'],
    ['@requires("approval") @max_age("5")', 'has @acr_values or @max_age without'],
    ['@requires("reauthentication") @max_age("soon")', 'not in seconds'],
    ['@requires("reauthentication")', 'without @acr_values or @max_age'],
    ['@requires("reauthentication") @max_age("5")', 'does not look at context.authn'],
    ['@requires("exact_call")', 'does not look at context.arguments'],
    ['@reason("")', 'has a @reason that is not a sentence'],
    ['@reason("a\\u{7}b")', 'has a @reason that is not a sentence'],
  ])('for the annotations %s', (annotations, problem) => {
    expect(flawsOf(forbid('', `@id("no") ${annotations}`))).toEqual([
      { path: 'test.cedar', line: 1, column: 1, policy: 'no', problem: expect.stringContaining(problem) },
    ]);
  });

  it('for @requires on a permit, which it could not lift', () => {
    expect(flawsOf('@id("a") @requires("approval") permit(principal, action, resource);')).toMatchObject([
      { policy: 'a', problem: 'has @requires on a permit; it lifts forbids only' },
    ]);
  });

  it('and every policy that is wrong is named', () => {
    expect(flawsOf(`${fine}\npermit(principal, action, resource);\n@id("b") forbid(principal);`)).toMatchObject([
      { line: 2 },
      { line: 3 },
    ]);
  });

  it.each([
    ['10 MB', [{ path: 'a.cedar', text: `// ${'x'.repeat(10_485_760)}` }], 'the set is larger than 4194304 characters'],
    [
      '6,000 policies',
      [{ path: 'a.cedar', text: 'permit(principal,action,resource);'.repeat(6_000) }],
      'the set has more than 5000 policies',
    ],
    ['a file of another kind', [{ path: 'a.txt', text: fine }], 'is not a .cedar file'],
    [
      'one file twice',
      [
        { path: 'a.cedar', text: '' },
        { path: 'a.cedar', text: fine },
      ],
      'is in the set twice',
    ],
    ['half a surrogate pair', [{ path: 'a.cedar', text: `${fine}// \ud800` }], 'is not plain Unicode text'],
    [
      'a character that no database keeps',
      [{ path: 'a.cedar', text: `${fine}// \u0000` }],
      'is not plain Unicode text',
    ],
  ])('for %s', (_name, files, problem) => {
    expect(compilePolicySet(files, [])).toEqual({
      ok: false,
      error: [{ path: files[0]?.path, line: 1, column: 1, policy: undefined, problem }],
    });
  });

  it('and the sets that live go on', () => {
    const live = setOf(fine);
    flawsOf(forbid(`when { ${'('.repeat(3_000)}true${')'.repeat(3_000)} }`));
    flawsOf(forbid(`when { ${Array(5_000).fill('context.sender_constrained').join('||')} }`));
    flawsOf(forbid(`when { ${'if context.sender_constrained then true else '.repeat(900)} true }`));
    expect(live.decide(anInput()).verdict).toBe('allow');
  });
});

describe('a policy may name an argument', () => {
  const large = (guard: string): string =>
    `@id("large") forbid(principal, ${TRANSFER}, resource) when { context has arguments && ${guard} };`;
  const amount = large('context.arguments.amount.greaterThan(decimal("100.0"))');
  const note = large('context.arguments has note && context.arguments.note == "x"');

  it.each([
    ['that is required, when a policy forbids a call without arguments', `${amount}${GUARD}`],
    [
      'that is required, when an exact call is demanded',
      `${amount}@id("g") @requires("exact_call") ${forbid('unless { context has arguments }', '')}`,
    ],
    [
      'when the policy itself forbids its absence',
      forbid('unless { context has arguments && context.arguments has note && context.arguments.note == "x" }'),
    ],
    ['that is required, when a guard says so the other way', `${amount}${forbid('when { !(context has arguments) }')}`],
    [
      'that is optional, when a policy forbids its absence',
      `${note}${forbid('unless { context has arguments.note }')}`,
    ],
    [
      'that is optional, when the guard is for agents, who are half of every yes',
      `${note}@id("g") forbid(principal is Agent, ${TRANSFER}, resource) unless { context has arguments.note };`,
    ],
    [
      'in a permit that needs it',
      `@id("p") permit(principal, ${TRANSFER}, resource) when { context has arguments && context.arguments has note && context.arguments.note == "x" };`,
    ],
  ])('%s', (_name, text) => {
    expect(flawsOf(text)).toEqual([]);
  });

  it.each([
    ['arguments', 'required, when a call may come without arguments', amount],
    [
      'arguments',
      'required, when the guard is for one agent',
      `${amount}@id("g") forbid(principal == Agent::"a", ${TRANSFER}, resource) unless { context has arguments };`,
    ],
    [
      'arguments',
      'required, when the guard is for another tool',
      `${amount}@id("g") forbid(principal, action == Action::"${FILES}#read_file", resource) unless { context has arguments };`,
    ],
    [
      'arguments',
      'required, when a human may lift the guard',
      `${amount}${forbid('unless { context has arguments }', '@id("g") @requires("approval")')}`,
    ],
    [
      'arguments',
      'required, when the guard has a second condition',
      `${amount}${forbid('unless { context has arguments } when { context.sender_constrained }')}`,
    ],
    [
      'arguments',
      'required, when the guard is one of two ways out',
      `${amount}${forbid('unless { context has arguments || context.sender_constrained }')}`,
    ],
    ['arguments.note', 'optional, when only the arguments are sure', `${note}${GUARD}`],
    [
      'arguments',
      'in an exception of a permit',
      `@id("large") permit(principal, ${TRANSFER}, resource) unless { context has arguments && context.arguments.to == "x" };`,
    ],
  ])('but not context.%s: %s', (path, _name, text) => {
    expect(flawsOf(text).filter(({ policy }) => policy === 'large')).toEqual([
      {
        path: 'test.cedar',
        line: 1,
        column: 1,
        policy: 'large',
        problem: `names context.${path}, which a call of transfer can lack, and no policy forbids its absence: add a forbid unless { context has ${path} }`,
      },
    ]);
  });

  it('of a form that has a type in Cedar only', () => {
    const query = { anyOf: [{ type: 'string' }, { type: 'integer' }] };
    const tool = aTool({ inputSchema: { type: 'object', properties: { query }, required: ['query'] } });
    expect(
      flawsOf(
        '@id("q") forbid(principal, action, resource) unless { context has arguments && context.arguments.query == "x" };',
        [tool],
      ),
    ).toMatchObject([{ policy: 'q', problem: expect.stringContaining('`arguments.query` in context') }]);
  });

  it('in a policy for a class only if every tool of the class has it', () => {
    const policy =
      '@id("q") forbid(principal, action in Action::"read", resource) unless { context has arguments && context.arguments.path == "x" };';
    const inputSchema = { type: 'object', properties: { path: { type: 'string' } }, required: ['path'] };
    expect(flawsOf(policy, [aTool({ inputSchema }), transfer])).toEqual([]);
    expect(flawsOf(policy, [aTool({ inputSchema }), aTool({ name: 'list' })])).toMatchObject([{ policy: 'q' }]);
  });
});
