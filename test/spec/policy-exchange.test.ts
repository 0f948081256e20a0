import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { activate } from '../support/policies.js';
import { pinOf, reviewedTool } from '../support/tools.js';
import { RS1, startWorld, tool, tools, type World } from '../support/world.js';

const BANK = 'https://bank.example/mcp';
const PAY = {
  inputSchema: {
    type: 'object',
    properties: { amount: { type: 'number' }, to: { type: 'string' }, note: { type: 'string' } },
    required: ['amount', 'to'],
    additionalProperties: false,
  },
};

const POLICIES = `
@id("people") permit (principal is Person, action, resource) unless { action == Action::"${RS1}#wipe" };
@id("agents") permit (principal is Agent, action, resource) unless { action == Action::"${RS1}#delete_repo" };

@id("exact-payments") @requires("exact_call") @reason("Payments are decided on their exact arguments.")
forbid (principal, action in Action::"pay", resource) unless { context has arguments };

@id("small-payments-only") @reason("An agent pays 500 at most.")
forbid (principal, action == Action::"${BANK}#pay", resource)
when { context has arguments && context.arguments.amount.greaterThan(decimal("500.0")) };

@id("payments-ask") @requires("approval") @approvers("finance") @reason("Someone in finance approves each payment.")
forbid (principal, action in Action::"pay", resource);

@id("from-here-only") @reason("Only from this machine.")
forbid (principal, action, resource)
unless { context.network has ip && context.network.ip.isInRange(ip("127.0.0.0/8")) };

@id("messages-fresh-login") @requires("reauthentication") @acr_values("urn:example:phr") @max_age("300")
forbid (principal, action in Action::"send", resource)
unless { context.authn has acr && context.authn.acr == "urn:example:phr" };
`;

let world: World;
beforeAll(async () => {
  world = await startWorld();
  const { body: agent } = await world.admin('GET', `/agents/${world.a1.id}`);
  const a1 = agent as Record<string, unknown>;
  const bank = {
    resource: BANK,
    client_id: 'srv_bank',
    name: 'Bank',
    owner: 'finance',
    authentication: { method: 'client_secret_basic' },
    scopes: ['bank:pay', 'bank:send'],
    tools: [
      reviewedTool('pay', { scopes: ['bank:pay'], tier: 'medium', action: 'pay', ...PAY }),
      reviewedTool('message', { scopes: ['bank:send'], tier: 'low', action: 'send' }),
      reviewedTool('note', { scopes: ['bank:send'], tier: 'low', action: 'send' }),
    ],
  };
  const allow = [
    { resource: RS1, scopes: ['repo:read', 'repo:write', 'repo:admin'], tools: '*' },
    { resource: BANK, scopes: ['bank:pay', 'bank:send'], tools: '*' },
  ];
  const applied = await world.admin('POST', '/apply', { servers: [bank], agents: [{ ...a1, allow }] });
  if (applied.status !== 200) throw new Error(applied.text);
  await activate(world, POLICIES);
});
afterAll(() => world.close());

const asked = async (name: string, args?: object, resource = BANK, claims: Record<string, unknown> = {}) =>
  world.exchange({
    resource,
    subject_token: await world.personToken('alice', {
      scope: 'bank:pay bank:send repo:read repo:write repo:admin',
      ...claims,
    }),
    authorization_details: tools(tool(name, args === undefined ? {} : { arguments: args }, resource)),
  });

const lastRecord = async () => {
  const { body } = await world.admin('GET', '/log?kind=exchange&limit=200');
  return (body as { items: { facts: Record<string, unknown>; outcome: Record<string, unknown> }[] }).items.at(-1);
};

describe('a policy set decides each tool', () => {
  it('permits what one policy permits for the person and one for the agent, and the record names both', async () => {
    const answer = await asked('read_file', undefined, RS1);
    expect([answer.status, (answer.body as { scope: string }).scope]).toEqual([200, 'repo:read']);
    const record = await lastRecord();
    expect(record?.facts).toMatchObject({
      policy: expect.stringMatching(/^sha256:/),
      policies: ['agents', 'people'],
      tools: [{ name: 'read_file', arguments_sha256: null, max_uses: 10 }],
    });
  });

  it.each([
    ['the agent', 'delete_repo', { owner: 'a' }, 'agent'],
    ['the person', 'wipe', { owner: 'a' }, 'person'],
  ])('refuses what no policy permits for %s', async (_who, name, args, term) => {
    const answer = await asked(name, args, RS1);
    expect([answer.status, answer.body]).toEqual([
      400,
      {
        error: 'transaction_denied',
        error_description: `no policy permits ${name} for this ${term}`,
        decision: expect.stringMatching(/^dec_/),
        tool: name,
        policies: [],
        term,
        remedy: 'change_policy',
      },
    ]);
  });

  it('answers an ask for the exact call first, so that the agent asks again with the arguments', async () => {
    const answer = await asked('pay');
    expect([answer.status, answer.body]).toEqual([
      400,
      {
        error: 'invalid_authorization_details',
        error_description: 'the tool pay is decided on its exact arguments; ask again with them',
        decision: expect.stringMatching(/^dec_/),
        tool: 'pay',
        policies: ['exact-payments', 'payments-ask'],
        reasons: ['Payments are decided on their exact arguments.', 'Someone in finance approves each payment.'],
        term: 'policy',
        remedy: 'exact_call',
      },
    ]);
    expect((await lastRecord())?.outcome).toMatchObject({ decision: 'ask', reason: 'exact_call_required' });
  });

  it('asks a person with the decision id while policies would permit the exact call', async () => {
    const answer = await asked('pay', { amount: 500, to: 'DE12' });
    const decision = (answer.body as { decision: string }).decision;
    expect([answer.status, answer.body]).toEqual([
      400,
      {
        error: 'transaction_denied',
        error_description: `a person has to approve this call (decision ${decision})`,
        decision,
        tool: 'pay',
        policies: ['payments-ask'],
        reasons: ['Someone in finance approves each payment.'],
        term: 'policy',
        remedy: 'approval',
      },
    ]);
    const record = await lastRecord();
    expect(record?.outcome).toMatchObject({ decision: 'ask', reason: 'approval_required' });
    const metrics = await (await fetch(`${world.issuer}/metrics`)).text();
    expect(metrics).toMatch(/^writ_exchanges_total\{outcome="asked",reason="approval_required"\} [1-9]/m);
    expect(record?.facts).toMatchObject({ decision, evidence: { policies: 'payments-ask', tool: 'pay' } });
  });

  it('refuses what a plain policy forbids, whatever another would ask for', async () => {
    const answer = await asked('pay', { amount: 500.01, to: 'DE12' });
    expect([answer.status, answer.body]).toEqual([
      400,
      {
        error: 'transaction_denied',
        error_description: 'a policy forbids pay here',
        decision: expect.stringMatching(/^dec_/),
        tool: 'pay',
        policies: ['payments-ask', 'small-payments-only'],
        reasons: ['An agent pays 500 at most.'],
        term: 'policy',
        remedy: 'change_policy',
      },
    ]);
    expect((await lastRecord())?.outcome).toMatchObject({ decision: 'refuse', reason: 'policy_forbids' });
  });

  it.each([
    ['missing', { to: 'DE12' }, 'arguments.amount'],
    ['null', { amount: null, to: 'DE12' }, 'arguments.amount'],
    ['a string', { amount: '1', to: 'DE12' }, 'arguments.amount'],
    [
      'an object that pretends to be a decimal',
      { amount: { __extn: { fn: 'decimal', arg: '1.0' } }, to: 'DE12' },
      'arguments',
    ],
    ['beyond what a decimal holds', { amount: 922_337_203_685_478, to: 'DE12' }, 'arguments.amount'],
    ['finer than a decimal', { amount: 0.00001, to: 'DE12' }, 'arguments.amount'],
  ])('refuses an amount that is %s, and names the argument but not its value', async (_how, args, path) => {
    const answer = await asked('pay', args);
    expect([answer.status, answer.body]).toEqual([
      400,
      {
        error: 'invalid_authorization_details',
        error_description: `the arguments of pay are not what its reviewed schema wants: ${path}`,
        decision: expect.stringMatching(/^dec_/),
        tool: 'pay',
        policies: [],
        term: 'request',
        remedy: 'correct_arguments',
      },
    ]);
    expect((await lastRecord())?.outcome).toMatchObject({ decision: 'refuse', reason: 'policy_cannot_read' });
  });

  it('asks for a fresh or stronger sign-in in the words of RFC 9470, and permits with it', async () => {
    const answer = await asked('message');
    expect([answer.status, answer.body]).toEqual([
      400,
      {
        error: 'insufficient_user_authentication',
        error_description: 'the person has to sign in again for this call',
        decision: expect.stringMatching(/^dec_/),
        tool: 'message',
        policies: ['messages-fresh-login'],
        term: 'policy',
        remedy: 'reauthentication',
        acr_values: 'urn:example:phr',
        max_age: 300,
      },
    ]);
    const signedIn = await asked('message', undefined, BANK, {
      acr: 'urn:example:phr',
      auth_time: Math.floor(Date.now() / 1000),
    });
    expect(signedIn.status).toBe(200);
  });

  it('refuses all of several tools for one refusal, and grants nothing of the rest', async () => {
    const subject_token = await world.personToken('alice', { scope: 'repo:read repo:write' });
    const both = [tool('read_file', {}, RS1), tool('nothing', {}, RS1)];
    const answer = await world.exchange({ subject_token, authorization_details: tools(...both) });
    expect(answer.status).toBe(400);
  });

  it('carries the pin of the reviewed definition in the token', async () => {
    const answer = await asked('read_file', undefined, RS1);
    const [detail] = (answer.body as { authorization_details: Record<string, unknown>[] }).authorization_details;
    expect(detail?.['definition_sha256']).toBe(pinOf('read_file'));
  });
});

describe('text of the policy language where a value belongs', () => {
  const KNOWN_ONLY = `
@id("people") permit (principal is Person, action, resource);
@id("agents") permit (principal is Agent, action, resource);
@id("known-only") forbid (principal, action == Action::"${BANK}#pay", resource)
unless { context has arguments && context.arguments.to == "landlord" };
@id("phr-only") forbid (principal, action == Action::"${BANK}#message", resource)
unless { context.authn has acr && context.authn.acr == "phr" };
`;
  const EVIL = ['" || true || "', '"); permit(principal, action, resource); //', '\\u{22}) || true', '" == "'];
  beforeAll(async () => {
    await activate(world, KNOWN_ONLY);
  });

  it.each(EVIL)('IJ-08 is data in an argument and in a claim: %s', async (evil) => {
    const inArgument = await asked('pay', { amount: 1, to: `landlord${evil}` });
    expect([inArgument.status, inArgument.body]).toMatchObject([400, { policies: ['known-only'] }]);
    const inClaim = await asked('message', undefined, BANK, { acr: `phr${evil}` });
    expect([inClaim.status, inClaim.body]).toMatchObject([400, { policies: ['phr-only'] }]);
    const note = await asked('pay', { amount: 1, to: 'landlord', note: evil });
    expect(note.status).toBe(200);
  });

  it.each([
    ['an entity', { __entity: { type: 'Agent', id: 'agt_boss' } }],
    ['a function', { __extn: { fn: 'decimal', arg: '1.0' } }],
    ['an expression', { __expr: '"landlord"' }],
  ])('IJ-08 is no value where an argument would be %s of the engine', async (_what, to) => {
    const answer = await asked('pay', { amount: 1, to });
    expect([answer.status, answer.body]).toMatchObject([
      400,
      { error: 'invalid_authorization_details', tool: 'pay', policies: [] },
    ]);
    expect((await lastRecord())?.outcome).toMatchObject({ reason: 'policy_cannot_read' });
  });

  it.each(EVIL)('IJ-08 is no name of a tool, registered or asked for: %s', async (evil) => {
    const named = { ...reviewedTool('read_file', { scopes: ['bank:pay'], tier: 'low', action: 'read' }), name: evil };
    const { body } = await world.admin('GET', `/servers/${encodeURIComponent(BANK)}`);
    const registered = await world.admin('POST', '/apply', { servers: [{ ...(body as object), tools: [named] }] });
    expect(registered.status).toBe(400);
    const answer = await asked(`pay${evil}`, { amount: 1, to: 'landlord' });
    expect([answer.status, answer.body]).toMatchObject([400, { error: 'invalid_authorization_details' }]);
  });
});

describe('a forbid that errs, which Cedar itself skips', () => {
  const ERRING = `
@id("people") permit (principal is Person, action, resource);
@id("agents") permit (principal is Agent, action, resource);
@id("overflows") forbid (principal is Agent, action == Action::"${BANK}#message", resource)
when { context.chain.depth * 9007199254740991 * 1025 > 0 };
`;
  beforeAll(async () => {
    await activate(world, ERRING);
  });

  it('refuses the call, names the policy in answer and record, and is reported once for all calls', async () => {
    const before = world.faults.length;
    for (const claims of [{}, { purpose: 'again' }]) {
      const answer = await asked('message', undefined, BANK, claims);
      expect([answer.status, answer.body]).toEqual([
        400,
        {
          error: 'transaction_denied',
          error_description: expect.any(String),
          decision: expect.stringMatching(/^dec_/),
          tool: 'message',
          policies: ['overflows'],
          term: 'policy',
          remedy: 'change_policy',
        },
      ]);
      expect(await lastRecord()).toMatchObject({
        facts: { evidence: { policies: 'overflows' } },
        outcome: { decision: 'refuse', reason: 'policy_broken' },
      });
    }
    expect(world.faults.slice(before)).toMatchObject([{ name: 'Fault', code: 'policy_broken' }]);
  });

  it('refuses all the tools that are asked for with it', async () => {
    const subject_token = await world.personToken('alice', { scope: 'bank:pay bank:send' });
    const both = [tool('message', {}, BANK), tool('note', {}, BANK)];
    const answer = await world.exchange({ resource: BANK, subject_token, authorization_details: tools(...both) });
    expect([answer.status, answer.body]).toMatchObject([400, { policies: ['overflows'], tool: 'message' }]);
  });

  it('refuses nothing where it is not asked', async () => {
    expect((await asked('read_file', undefined, RS1)).status).toBe(200);
  });
});
